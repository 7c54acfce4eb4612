/* The chip explorer: thresholds against instructions that an emulated core has counted. */
import { exitControls } from "./confidences.js";
import { announcer, choice, table } from "./controls.js";
import { h, metric, percent, s, say, set } from "./dom.js";
import { frame, line } from "./plot.js";
import { leaveAtThresholds } from "./policy.js";
import { exitColour, exitName } from "./prices.js";
import { shareBar } from "./routes.js";
import { explorer, send, unpack, watch } from "./state.js";

const DASHES = ["none", "7 5", "2 4"]; // by kind of kernels; colours go by network

/** A trace out of the packed arrays. A confidence is known to the hundredth: its middle. */
function traceOf({ name, prefix }, { exits, samples }, arrays) {
  const reached = arrays[`${prefix}/reached`],
    correct = arrays[`${prefix}/correct`];
  if (reached?.length !== (exits - 1) * samples || correct?.length !== exits * samples)
    throw new Error(`what it knows of '${name}' is incomplete`);
  const confidence = Float64Array.from(reached, (count) => (count - 0.5) / 100);
  return { name, exits, samples, correct, confidence };
}

/** What a file does at the thresholds: ChipExplorer.point, sum for sum. */
function outcomeOf({ until }, { leaving, right, samples }, { clock_hz, cycle_j }) {
  let total = 0;
  leaving.forEach((count, exit) => {
    total += count * until[exit];
  });
  const instructions = total / samples;
  return {
    accuracy: right / samples,
    instructions,
    energy_j: instructions * cycle_j,
    per_second: clock_hz / instructions,
    shares: leaving.map((count) => count / samples),
  };
}
function whoLeaves(trace, thresholds) {
  const { exits, samples, correct } = trace,
    leaving = Array(exits).fill(0);
  let right = 0;
  leaveAtThresholds(trace, thresholds).forEach((exit, i) => {
    leaving[exit]++;
    right += correct[exit * samples + i];
  });
  return { leaving, right, samples };
}

const lineColour = (network) => `var(--line-${network % 5})`;
/** How a file is drawn, in the plot and beside its name. */
const lineOf = ({ of, kind }, files) => ({
  stroke: lineColour(of),
  "stroke-dasharray": DASHES[[...new Set(files.map((file) => file.kind))].indexOf(kind) % 3],
});

/** The first and second network, both by their first kernels, in a sentence. */
function verdict(files, points) {
  const of = (place) => files.findIndex((file) => file.of === place);
  const told = (i) =>
    `${files[i].name} take ${metric(points[i].instructions)} instructions per image and get ` +
    `${percent(points[i].accuracy)} right`;
  if (of(1) < 0) return `${told(0)}.`;
  const [one, other] = [of(0), of(1)],
    ratio = points[one].instructions / points[other].instructions,
    less = files[ratio < 1 ? one : other].name;
  const times = (ratio < 1 ? 1 / ratio : ratio).toFixed(2);
  const both = `${told(one)}, ${told(other)}`;
  return `With ${files[0].kind} kernels ${both}: ${less} need ${times} times fewer.`;
}

/** Every file's best thresholds as a curve, and where it stands now as a ring. */
function plotOf(files, fronts) {
  const title =
    "Accuracy against instructions per image: the best thresholds of every file; rings mark yours";
  const plot = frame({ title, height: 380 }),
    until = files.flatMap((file) => file.until),
    ys = fronts.flatMap(({ y }) => [...y]);
  const curves = files.map((file) => s("path", { class: "sq-curve", ...lineOf(file, files) })),
    rings = files.map(({ of }) =>
      s("circle", { r: 7, fill: "none", stroke: lineColour(of), "stroke-width": 3.5 }),
    );
  plot.marks.append(...curves, ...rings);
  return {
    svg: plot.svg,
    show(points) {
      const right = [...ys, ...points.map(({ accuracy }) => accuracy)],
        low = Math.min(...right),
        room = (Math.max(...right) - low) * 0.06 || 0.01;
      const { px, py } = plot.axes({
        x: {
          low: Math.min(...until) / 1.15,
          high: Math.max(...until) * 1.15,
          log: true,
          text: (v) => metric(v),
          name: "instructions per image",
        },
        y: {
          low: low - room,
          high: Math.min(1, Math.max(...right) + room),
          text: (v) => `${Number((100 * v).toFixed(2))} %`,
          name: "accuracy",
        },
      });
      fronts.forEach(({ x, y }, i) => {
        set(curves[i], "d", line(Array.from(x, (value, j) => [px(value), py(y[j])])));
      });
      points.forEach(({ instructions, accuracy }, i) => {
        set(rings[i], "cx", px(instructions).toFixed(2));
        set(rings[i], "cy", py(accuracy).toFixed(2));
      });
    },
  };
}

/** Every file in numbers, its line of the plot before its name. */
function rowsOf(files, { part, clock_hz }) {
  const rows = files.map((file) => {
    const swatch = s(
      "svg",
      { width: 26, height: 12, "aria-hidden": "true" },
      s("path", { d: "M1,6H25", "stroke-width": 3, ...lineOf(file, files) }),
    );
    const name = h("span", { class: "sq-line-name" }, swatch, `${file.name}, ${file.kind}`);
    return [name, ...Array.from({ length: 4 }, () => h("span"))];
  });
  const clock = metric(clock_hz, "Hz"),
    caption = `Modelled on an ${part}: ${clock}, one cycle per instruction`;
  return {
    node: table(caption, ["File", "Accuracy", "Instructions", "Images / s", "Energy"], rows),
    show: (points) =>
      points.forEach((point, i) => {
        const { accuracy, instructions, per_second, energy_j } = point;
        [
          percent(accuracy),
          metric(instructions),
          String(Number(per_second.toPrecision(3))),
          metric(energy_j, "J"),
        ].forEach((text, j) => say(rows[i][j + 1], text));
      }),
  };
}

async function build({ model, root }) {
  const arrays = await unpack(model),
    networks = model.get("networks"),
    about = model.get("about"),
    spoken = announcer(),
    sentence = h("p", { class: "sq-verdict" }),
    main = h("div"),
    below = h("div");
  const network = choice({
    label: "Network",
    options: networks.map(({ key }) => [key, key]),
    value: model.get("selected"),
    change(selected) {
      const wanted = networks.find(({ key }) => key === selected).exits - 1,
        fits = model.get("thresholds").length === wanted;
      send(model, { ...(fits ? {} : { thresholds: Array(wanted).fill(0.7) }), selected });
    },
  });
  network.row.hidden = networks.length < 2;
  const left = h("div");
  root.append(
    h("div", { class: "sq-bar-of-controls" }, network.row),
    sentence,
    h("div", { class: "sq-columns" }, left, main),
    below,
    spoken.node,
  );

  let state;
  function choose() {
    const chosen = networks.find(({ key }) => key === model.get("selected"));
    if (!chosen) throw new Error(`there is no network '${model.get("selected")}' in it`);
    const { files, exits } = chosen,
      traces = chosen.traces.map((one) => traceOf(one, chosen, arrays));
    const fronts = files.map(({ front }) => ({ x: arrays[`${front}/x`], y: arrays[`${front}/y`] }));
    const controls = exitControls(
      { trace: traces[0] },
      (exit, value) =>
        send(model, {
          thresholds: model.get("thresholds").map((old, i) => (i === exit ? value : old)),
        }),
      `Bars: how confident each exit is with ${traces[0].name}, wrong answers in red.`,
    );
    const bars = traces.map(() => shareBar(exits)),
      rows = rowsOf(files, about),
      plot = plotOf(files, fronts);
    state = { files, exits, traces, controls, bars, rows, plot };
    const legend = Array.from({ length: exits }, (_, exit) =>
      h(
        "li",
        {},
        h("span", { class: "sq-swatch", style: `background:${exitColour(exit)}` }),
        exitName(exit, exits),
      ),
    );
    const ways = h("div", { class: "sq-classes" });
    traces.forEach(({ name }, i) =>
      ways.append(h("span", {}, name), bars[i](Array(exits).fill(0))),
    );
    left.replaceChildren(plot.svg);
    main.replaceChildren(
      controls.box,
      h("p", { class: "sq-title" }, "Where images leave"),
      ways,
      h("ul", { class: "sq-legend" }, ...legend),
    );
    below.replaceChildren(
      h(
        "div",
        { class: "sq-scroll", tabindex: 0, role: "region", "aria-label": "Files side by side" },
        rows.node,
      ),
    );
    network.show(chosen.key);
    update();
  }
  function update() {
    const { files, exits, traces, controls, bars, rows, plot } = state,
      thresholds = model.get("thresholds");
    if (thresholds.length !== exits - 1) return;
    const leaves = traces.map((trace) => whoLeaves(trace, thresholds));
    const points = files.map((file) => outcomeOf(file, leaves[file.of], about));
    controls.rows.forEach(({ show, mark }, exit) => {
      show(thresholds[exit]);
      set(mark, "transform", `translate(${100 * thresholds[exit]} 0)`);
    });
    leaves.forEach(({ leaving, samples }, i) => {
      const shares = leaving.map((count) => count / samples),
        told = shares.map((share, exit) => `${exitName(exit, exits)} ${percent(share, 1)}`);
      bars[i](shares, `${traces[i].name}: ${told.join(", ")}`, true);
    });
    plot.show(points);
    rows.show(points);
    say(sentence, verdict(files, points));
    root.dataset.point = JSON.stringify(
      Object.fromEntries(files.map(({ name, kind }, i) => [`${name}, ${kind}`, points[i]])),
    );
    spoken.say(sentence.textContent);
  }
  choose();
  return watch(model, { selected: choose, thresholds: update }, spoken.stop);
}

export default explorer(build);
