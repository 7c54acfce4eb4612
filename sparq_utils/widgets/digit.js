/* The digit explorer: draw or pick a digit, and see where the network is sure of it. */
import { announcer, button, group, slider, table } from "./controls.js";
import { h, metric, percent, say } from "./dom.js";
import { energyParts, energyTotal } from "./energy.js";
import { journey } from "./journey.js";
import { networkOf } from "./module.js";
import { centred, pad } from "./pad.js";
import { colourOf, paint } from "./pictures.js";
import { exitName, priceControls } from "./prices.js";
import { explorer, send, unpack, watch } from "./state.js";

/** Digits to pick from: a button per kind, pressed again it shows the next; else a slider. */
function picker(model, arrays, area, choose) {
  const kinds = model.get("kinds"),
    side = Math.sqrt(area);
  if (!kinds.length) {
    const knob = slider({
      label: "Test digit",
      min: 0,
      max: arrays.labels.length - 1,
      step: 1,
      text: (i) => (i < 0 ? "" : `no. ${i + 1}, a ${arrays.labels[i]}`),
      input: choose,
    });
    return { nodes: [knob.row], show: (picked) => picked >= 0 && knob.show(picked), ink() {} };
  }
  const buttons = kinds.map(({ name, digits }) => {
    const face = h("canvas", { class: "sq-face", "aria-hidden": "true" });
    const press = () => {
      const at = digits.indexOf(model.get("picked"));
      choose(digits[(at + 1) % digits.length]);
    };
    const one = button("", press, { "aria-pressed": "false" });
    one.append(face, name);
    return { one, face, digits, shown: digits[0] };
  });
  let colour = [0, 0, 0];
  const draw = ({ face, shown }) =>
    paint(face, side, side, (x, y) => arrays.images[shown * area + y * side + x], colour);
  return {
    nodes: [h("div", { class: "sq-buttons sq-kinds" }, ...buttons.map(({ one }) => one))],
    show: (picked) => {
      for (const kind of buttons) {
        const mine = kind.digits.includes(picked);
        kind.one.setAttribute("aria-pressed", mine);
        if (mine) kind.shown = picked;
        draw(kind);
      }
    },
    ink: (given) => {
      colour = given;
      buttons.forEach(draw);
    },
  };
}

/** What a run cost at each exit, per image. */
function spentAt(found, { costs, bits_per_weight }, prices) {
  return found.answers.map(({ acs }, exit) => {
    const { macs, updates, bits } = costs;
    const sums = { macs: macs[exit], acs, updates: updates[exit], bits: bits[exit], samples: 1 };
    const energy = energyTotal(energyParts(sums, prices[bits_per_weight]));
    return { operations: sums.macs + acs, energy };
  });
}

/** One sentence: the answer, where, how sure, and what that saved. */
function verdict({ answers, leaves, spent, label }, exits) {
  const { prediction, confidence } = answers[leaves],
    last = leaves === exits - 1;
  const wrong = label !== null && label !== prediction ? ` (wrong: it is labelled ${label})` : "";
  const who = last ? "The last exit" : `Exit ${leaves + 1}`,
    says = `${who} says ${prediction}${wrong}, ${percent(confidence, 0)} sure`;
  if (last) return `${says}. No exit before it was sure enough: nothing is saved.`;
  const saved = percent(1 - spent[leaves].energy / spent[exits - 1].energy, 0);
  return (
    `${says}, and there it leaves: ${metric(spent[leaves].energy, "J")} instead of ` +
    `${metric(spent[exits - 1].energy, "J")}, ${saved} of the modelled energy saved.`
  );
}

/** Every exit in numbers, whether it was needed or not. */
function everyExit(exits) {
  const rows = Array.from({ length: exits }, () => Array.from({ length: 5 }, () => h("span")));
  const head = ["Exit", "Answer", "Confidence", "Operations", "Energy"];
  return {
    node: table("At every exit (energy is modelled)", head, rows),
    show: (run) =>
      rows.forEach((row, exit) => {
        const answer = run?.answers[exit];
        const texts = run
          ? [
              `${exitName(exit, exits)}${exit === run.leaves ? " \u2713" : ""}`,
              String(answer.prediction),
              percent(answer.confidence, 1),
              metric(run.spent[exit].operations),
              metric(run.spent[exit].energy, "J"),
            ]
          : [exitName(exit, exits), "\u2013", "\u2013", "\u2013", "\u2013"];
        texts.forEach((text, i) => say(row[i], text));
        row[0].closest("tr").classList.toggle("sq-chosen", exit === run?.leaves);
      }),
  };
}

async function build({ model, root }) {
  const arrays = await unpack(model),
    about = model.get("about"),
    network = model.get("network"),
    answersTo = await networkOf(arrays.code, network);
  const { exits, timesteps, input_shape: shape } = network,
    side = shape[1],
    area = side * side;
  const spoken = announcer(),
    priced = priceControls(model);
  const view = (bytes) => new DataView(bytes.buffer);
  let run = null;

  const sheet = pad(side, {
    started(drawn) {
      if (model.get("picked") >= 0) drawn.fill(0); // a stroke over a test digit begins anew
    },
    changed(drawn) {
      if (drawn) send(model, { picked: -1, image: view(centred(drawn, side)) });
      else face(); // the keyboard's pen moved
    },
    ended: () => trip.replay(),
    cleared: () => clear(),
  });
  const clear = () => {
    sheet.clear();
    send(model, { picked: -1, image: view(new Uint8Array(area)) });
  };
  const choose = (index) => {
    sheet.clear();
    const image = view(arrays.images.slice(index * area, (index + 1) * area));
    send(model, { picked: index, image });
    trip.replay();
  };
  const picks = picker(model, arrays, area, choose);
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
  const label = h("p", { class: "sq-note" }),
    sentence = h("p", { class: "sq-verdict" }),
    numbers = everyExit(exits);
  const trip = journey(exits, timesteps, (there, place) => {
    sentence.classList.toggle("sq-pending", !there);
    say(sentence, there ? answerOf(run) : place);
    if (there && run) spoken.say(answerOf(run));
  });
  const answerOf = (found) =>
    found ? verdict(found, exits) : "Draw a digit, or pick one: nothing to answer yet.";
  root.append(
    h(
      "div",
      { class: "sq-columns sq-digit" },
      h(
        "div",
        {},
        sheet.canvas,
        label,
        ...picks.nodes,
        h("div", { class: "sq-buttons" }, button("Clear and draw", clear)),
      ),
      h("div", {}, sentence, trip.road, trip.player),
    ),
    h(
      "details",
      {},
      h("summary", {}, "How sure is sure enough, and every exit in numbers"),
      group("Leave when confidence reaches", ...sliders.map(({ row }) => row)),
      h(
        "div",
        { class: "sq-scroll", tabindex: 0, role: "region", "aria-label": "Answers of the exits" },
        numbers.node,
      ),
    ),
    priced.node,
    spoken.node,
  );

  const pixelsOf = () => {
    const data = model.get("image");
    return new Uint8Array(data.buffer ?? data, data.byteOffset ?? 0, data.byteLength);
  };
  /** The pad shows the test digit, or what was drawn as it was drawn. */
  function face() {
    const own = model.get("picked") < 0 && sheet.drawn.some((ink) => ink);
    const shown = own ? sheet.drawn : pixelsOf(),
      pen = sheet.pen();
    const near = (x, y) => pen && Math.hypot(y - pen.at[0], x - pen.at[1]) < 1.2;
    const ink = (x, y) => (near(x, y) ? (pen.down ? 255 : 130) : shown[y * side + x]);
    paint(sheet.canvas, side, side, ink, colourOf(root, "--ink"));
  }
  function infer() {
    const pixels = pixelsOf();
    if (pixels.length !== area) throw new Error("its digit is incomplete");
    const began = performance.now();
    const empty = !pixels.some((ink) => ink);
    run = empty ? null : answersTo(pixels);
    root.dataset.inferMs = (performance.now() - began).toFixed(3);
    update();
  }
  function update() {
    const prices = model.get("constants"),
      thresholds = model.get("thresholds"),
      picked = model.get("picked");
    if (run) {
      let leaves = 0;
      while (leaves < exits - 1 && !(run.answers[leaves].confidence >= thresholds[leaves]))
        leaves++;
      const spent = spentAt(run, about, prices);
      Object.assign(run, { leaves, spent, label: picked >= 0 ? arrays.labels[picked] : null });
    }
    say(sentence, answerOf(run));
    const whose =
      picked >= 0 ? `A test digit, labelled ${arrays.labels[picked]}.` : "Your drawing.";
    say(label, run ? whose : "Draw here.");
    face();
    picks.show(picked);
    numbers.show(run);
    sliders.forEach((control, exit) => control.show(thresholds[exit]));
    priced.show(prices);
    const at = run?.spent[run.leaves];
    root.dataset.leaves = run?.leaves ?? "";
    root.dataset.prediction = run?.answers[run.leaves].prediction ?? "";
    root.dataset.operations = at?.operations ?? "";
    root.dataset.energy = at?.energy ?? "";
    trip.show(run, run?.leaves, thresholds);
  }
  function recolour() {
    const exitColours = Array.from({ length: exits }, (_, exit) =>
      colourOf(root, `--exit-${exit % 5}`),
    );
    trip.colours(exitColours);
    picks.ink(colourOf(root, "--ink"));
    face();
  }
  recolour();
  infer();
  trip.replay();
  const theme = new MutationObserver(recolour);
  const attributeFilter = ["data-theme", "data-jp-theme-light"];
  for (const node of [document.documentElement, document.body]) {
    theme.observe(node, { attributes: true, attributeFilter });
  }
  return watch(
    model,
    { image: infer, "thresholds constants picked": update },
    spoken.stop,
    trip.stop,
    () => theme.disconnect(),
  );
}

export default explorer(build);
