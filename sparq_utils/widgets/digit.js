/* The digit explorer: draw, and the network answers. */
import { uid, h, say, metric, percent } from "./dom.js";
import { unpack, explorer, watch, send } from "./state.js";
import { slider, group, button, announcer, table } from "./controls.js";
import { energyParts, energyTotal } from "./energy.js";
import { prepareNetwork, runNetwork } from "./network.js";
import { exitName, priceControls } from "./prices.js";
import { tiles } from "./tiles.js";

const PEN = 1.35; // radius of the pen, in pixels of the digit

/** Scale a drawing into a 20 x 20 box and centre its mass, as MNIST's digits were made. */
function centred(drawn, side) {
  let [top, left, bottom, right] = [side, side, -1, -1];
  drawn.forEach((ink, i) => {
    if (ink < 40) return;
    const y = Math.floor(i / side),
      x = i % side;
    [top, left, bottom, right] = [
      Math.min(top, y),
      Math.min(left, x),
      Math.max(bottom, y),
      Math.max(right, x),
    ];
  });
  if (bottom < 0) return new Uint8Array(side * side);
  const stretch = (side * 20) / 28 / Math.max(bottom - top + 1, right - left + 1);
  const sample = (y, x) => (y < 0 || x < 0 || y >= side || x >= side ? 0 : drawn[y * side + x]);
  const at = (y, x) => {
    const y0 = Math.floor(y),
      x0 = Math.floor(x),
      fy = y - y0,
      fx = x - x0;
    return (
      (sample(y0, x0) * (1 - fx) + sample(y0, x0 + 1) * fx) * (1 - fy) +
      (sample(y0 + 1, x0) * (1 - fx) + sample(y0 + 1, x0 + 1) * fx) * fy
    );
  };
  let mass = 0,
    my = 0,
    mx = 0;
  drawn.forEach((ink, i) => {
    mass += ink;
    my += ink * Math.floor(i / side);
    mx += ink * (i % side);
  });
  const middle = (side - 1) / 2;
  return Uint8Array.from({ length: side * side }, (_, i) =>
    Math.round(
      at(
        my / mass + (Math.floor(i / side) - middle) / stretch,
        mx / mass + ((i % side) - middle) / stretch,
      ),
    ),
  );
}

/** A canvas to draw on with mouse or finger; the pen leaves soft edges. */
function pad(side, changed) {
  const drawn = new Uint8Array(side * side),
    id = uid();
  const canvas = h("canvas", {
    width: side,
    height: side,
    class: "sq-pad",
    role: "img",
    "aria-label":
      "The digit. Draw here with mouse or finger; with the keyboard, pick a test digit instead",
    id,
  });
  let last = null;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [
      ((event.clientY - box.top) / box.height) * side - 0.5,
      ((event.clientX - box.left) / box.width) * side - 0.5,
    ];
  };
  const dab = (y, x) => {
    for (let row = Math.max(0, Math.floor(y - 3)); row <= Math.min(side - 1, y + 3); row++) {
      for (
        let column = Math.max(0, Math.floor(x - 3));
        column <= Math.min(side - 1, x + 3);
        column++
      ) {
        const ink = 255 * Math.min(1, Math.max(0, PEN + 0.5 - Math.hypot(row - y, column - x)));
        drawn[row * side + column] = Math.max(drawn[row * side + column], ink);
      }
    }
  };
  const stroke = (event) => {
    const [y, x] = place(event),
      [y0, x0] = last ?? [y, x],
      count = Math.ceil(Math.hypot(y - y0, x - x0) * 2) || 1;
    for (let i = 1; i <= count; i++) dab(y0 + ((y - y0) * i) / count, x0 + ((x - x0) * i) / count);
    last = [y, x];
    changed(drawn);
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    last = null;
    stroke(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (last) stroke(event);
  });
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, () => {
      last = null;
    });
  return {
    canvas,
    clear: () => {
      drawn.fill(0);
    },
    drawing: () => last !== null,
  };
}
function paint(canvas, width, height, ink, [r, g, b]) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d"),
    image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++)
    image.data.set([r, g, b, ink(i % width, Math.floor(i / width))], 4 * i);
  context.putImageData(image, 0, 0);
}
/** Channels side by side, or units in rows: [width, height, ink(x, y)] of one layer at one step. */
function mosaic([channels, height, width], values) {
  if (height === undefined) {
    const columns = Math.ceil(Math.sqrt(channels * 1.6)),
      rows = Math.ceil(channels / columns);
    return [
      columns,
      rows,
      (x, y) => (y * columns + x < channels && values[y * columns + x] ? 255 : 0),
    ];
  }
  const across = Math.ceil(Math.sqrt(channels * 1.6)),
    down = Math.ceil(channels / across);
  return [
    across * (width + 1) - 1,
    down * (height + 1) - 1,
    (x, y) => {
      const c = Math.floor(y / (height + 1)) * across + Math.floor(x / (width + 1)),
        row = y % (height + 1),
        column = x % (width + 1);
      return c < channels &&
        row < height &&
        column < width &&
        values[(c * height + row) * width + column]
        ? 255
        : 0;
    },
  ];
}
function ink(root, name) {
  const probe = h("span", { style: `color:var(${name})`, hidden: true });
  root.append(probe);
  const found = getComputedStyle(probe)
    .color.match(/[\d.]+/g)
    .slice(0, 3)
    .map(Number);
  probe.remove();
  return found;
}
const partName = (part, exits) => {
  const index = Number(part.match(/\d+/)[0]);
  if (part.startsWith("stage")) return `stage ${index + 1}`;
  return index === exits - 1 ? "last exit" : `exit ${index + 1}`;
};

async function build({ model, root }) {
  const arrays = await unpack(model),
    network = prepareNetwork(model.get("network"), arrays),
    { exits, timesteps } = network;
  const side = network.input_shape[1],
    area = side * side,
    { costs, count, bits_per_weight } = model.get("about"),
    spoken = announcer();
  const priced = priceControls(model),
    canvasOf = pad(side, (drawn) =>
      send(model, { picked: -1, image: new DataView(centred(drawn, side).buffer) }),
    );
  const pick = slider({
    label: "Test digit",
    min: 0,
    max: count - 1,
    step: 1,
    text: (i) => `no. ${i + 1}, a ${arrays.labels[i]}`,
    input: (index) => choose(index),
  });
  const choose = (index) => {
    canvasOf.clear();
    send(model, {
      picked: index,
      image: new DataView(arrays.images.slice(index * area, (index + 1) * area).buffer),
    });
  };
  const clear = button("Clear and draw", () => {
    canvasOf.clear();
    send(model, { picked: -1, image: new DataView(new ArrayBuffer(area)) });
  });
  const sliders = Array.from({ length: exits - 1 }, (_, exit) =>
    slider({
      label: `Exit ${exit + 1}`,
      min: 0,
      max: 1,
      step: 0.01,
      text: (v) => v.toFixed(2),
      input: (value) =>
        send(model, {
          thresholds: model.get("thresholds").map((old, i) => (i === exit ? value : old)),
        }),
    }),
  );
  const headline = tiles([
    "Answer",
    "Leaves at",
    "Operations, share of all",
    "Energy (modelled), share of all",
  ]);
  const rows = Array.from({ length: exits }, () => Array.from({ length: 5 }, () => h("span")));
  const bars = rows.map(([, , cell]) => {
    const bar = h("span", { class: "sq-fill" }),
      text = h("span");
    cell.append(h("span", { class: "sq-gauge" }, bar), text);
    return { bar, text };
  });
  const result = table(
    "At every exit",
    ["Exit", "Answer", "Confidence", "Operations", "Energy"],
    rows,
  );
  const activity = h("div", {
    class: "sq-activity",
    role: "img",
    "aria-label": "Spikes of every layer at every timestep",
  });
  const hint = h("p", { class: "sq-note" });
  root.append(
    headline.node,
    h(
      "div",
      { class: "sq-columns sq-digit" },
      h("div", {}, canvasOf.canvas, pick.row, h("div", { class: "sq-buttons" }, clear), hint),
      h(
        "div",
        {},
        group("Leave when confidence reaches", ...sliders.map(({ row }) => row)),
        h(
          "div",
          { class: "sq-scroll", tabindex: 0, role: "region", "aria-label": "Answers of the exits" },
          result,
        ),
      ),
    ),
    h("p", { class: "sq-title" }, `Spikes, layer by layer, at steps 1 to ${timesteps}`),
    activity,
    priced.node,
    spoken.node,
  );

  let found = null,
    pictures = null;
  function infer() {
    const data = model.get("image"),
      pixels = new Uint8Array(data.buffer ?? data, data.byteOffset ?? 0, data.byteLength);
    if (pixels.length !== area) throw new Error("its digit is incomplete");
    const began = performance.now();
    found = runNetwork(
      network,
      Float32Array.from(pixels, (value) => value / 255),
    );
    root.dataset.inferMs = (performance.now() - began).toFixed(3);
    draw(pixels);
    update();
  }
  function draw(pixels) {
    paint(canvasOf.canvas, side, side, (x, y) => pixels[y * side + x], ink(root, "--ink"));
    pictures ??= found.layers.map(({ part, shape }) => {
      const canvases = Array.from({ length: timesteps }, () => h("canvas", { class: "sq-spikes" })),
        total = h("span", { class: "sq-total" });
      const row = h(
        "div",
        { class: "sq-layer", style: `--steps:${timesteps}` },
        h("span", {}, partName(part, exits), h("small", {}, ` ${shape.join(" \u00d7 ")}`)),
        total,
        h("div", { class: "sq-steps" }, ...canvases),
      );
      activity.append(row);
      return { row, canvases, total };
    });
    const colours = Array.from({ length: exits }, (_, exit) => ink(root, `--exit-${exit % 5}`));
    found.layers.forEach(({ exit, shape, steps }, i) => {
      steps.forEach((values, t) =>
        paint(pictures[i].canvases[t], ...mosaic(shape, values), colours[exit]),
      );
      say(
        pictures[i].total,
        `${steps.reduce((all, step) => all + step.reduce((a, b) => a + b, 0), 0)} spikes`,
      );
    });
  }
  function update() {
    const prices = model.get("constants"),
      thresholds = model.get("thresholds"),
      picked = model.get("picked");
    let leaves = 0;
    while (leaves < exits - 1 && !(found.answers[leaves].confidence >= thresholds[leaves]))
      leaves++;
    const spent = found.answers.map(({ acs }, exit) => {
      const sums = {
        macs: costs.macs[exit],
        acs,
        updates: costs.updates[exit],
        bits: costs.bits[exit],
        samples: 1,
      };
      return {
        operations: sums.macs + acs,
        energy: energyTotal(energyParts(sums, prices[bits_per_weight])),
      };
    });
    found.answers.forEach(({ prediction, confidence }, exit) => {
      const texts = [
        `${exitName(exit, exits)}${exit === leaves ? " \u2713" : ""}`,
        String(prediction),
        null,
        metric(spent[exit].operations),
        metric(spent[exit].energy, "J"),
      ];
      texts.forEach((text, i) => text !== null && say(rows[exit][i], text));
      say(bars[exit].text, percent(confidence, 1));
      bars[exit].bar.style.width = `${100 * confidence}%`;
      rows[exit][0].closest("tr").classList.toggle("sq-chosen", exit === leaves);
      rows[exit][0].closest("tr").classList.toggle("sq-unused", exit > leaves);
    });
    found.layers.forEach(({ exit }, i) =>
      pictures[i].row.classList.toggle("sq-unused", exit > leaves),
    );
    sliders.forEach((control, exit) => control.show(thresholds[exit]));
    if (picked >= 0) pick.show(picked);
    priced.show(prices);
    const answer = found.answers[leaves],
      whole = spent[exits - 1],
      label = picked >= 0 ? arrays.labels[picked] : null;
    say(
      hint,
      label === null
        ? "Your drawing, scaled and centred as MNIST's digits are."
        : `A test digit, labelled ${label}. Draw over it to replace it.`,
    );
    [
      `${answer.prediction} (${percent(answer.confidence, 1)})`,
      exitName(leaves, exits),
      `${metric(spent[leaves].operations)}, ` +
        percent(spent[leaves].operations / whole.operations, 0),
      `${metric(spent[leaves].energy, "J")}, ${percent(spent[leaves].energy / whole.energy, 0)}`,
    ].forEach((text, i) => say(headline.values[i], text));
    Object.assign(root.dataset, {
      leaves,
      prediction: answer.prediction,
      operations: spent[leaves].operations,
      energy: spent[leaves].energy,
    });
    spoken.say(
      `The network answers ${answer.prediction} at the ${exitName(leaves, exits)}, ` +
        `${percent(answer.confidence, 0)} sure.`,
    );
  }
  infer();
  const theme = new MutationObserver(() => infer());
  for (const node of [document.documentElement, document.body])
    theme.observe(node, {
      attributes: true,
      attributeFilter: ["data-theme", "data-jp-theme-light"],
    });
  return watch(model, { image: infer, "thresholds constants picked": update }, spoken.stop, () =>
    theme.disconnect(),
  );
}

export default explorer(build);
