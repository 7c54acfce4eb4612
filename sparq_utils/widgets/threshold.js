/* The threshold explorer. */
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** Sliders for each exit, each under the histogram of what that exit is confident of. */
function exitControls(state, move) {
  const { trace } = state, { samples, exits } = trace;
  const rows = [], box = group("Leave when confidence reaches");
  for (let exit = 0; exit < exits - 1; exit++) {
    const mark = s("line", { y1: -2, y2: 46, x1: 0, x2: 0 });
    const picture = s("svg", { class: "sq-hist", viewBox: "0 0 100 46", preserveAspectRatio: "none", role: "img",
      "aria-label": `Confidences at exit ${exit + 1}: right answers grey, wrong ones red, heights as square roots` },
    ...histogram(trace.confidence.subarray(exit * samples, (exit + 1) * samples), trace.correct.subarray(exit * samples)), mark);
    const control = slider({
      label: `Exit ${exit + 1}`, min: 0, max: 1, step: 0.01, value: 0,
      text: (value) => (Number(value.toFixed(2)) === value ? value.toFixed(2) : String(Number(value.toPrecision(4)))),
      input: (value) => move(exit, value),
    });
    rows.push({ ...control, mark });
    const column = h("div", { class: "sq-under" }, picture);
    control.range.replaceWith(column);
    column.append(control.range);
    box.append(control.row);
  }
  box.append(h("p", { class: "sq-note" }, "Bars: how confident each exit is, wrong answers in red."));
  return { box, rows };
}
function histogram(confidence, correct, bins = 50) {
  const right = new Uint32Array(bins), all = new Uint32Array(bins);
  confidence.forEach((value, i) => {
    const bin = Math.min(bins - 1, Math.floor(value * bins));
    all[bin]++;
    right[bin] += correct[i];
  });
  const tall = 44 / Math.sqrt(Math.max(...all)), width = 100 / bins;
  const bars = (klass, from, to) => s("path", { class: klass, d: Array.from(all, (_, i) => (to(i) > from(i)
    ? `M${i * width},${46 - tall * Math.sqrt(from(i))}V${46 - tall * Math.sqrt(to(i))}h${width * 0.9}V${46 - tall * Math.sqrt(from(i))}z` : "")).join("") });
  return [bars("wrong", () => 0, (i) => all[i] - right[i]), bars("right", (i) => all[i] - right[i], (i) => all[i])];
}

function shareBar(exits) {
  const parts = Array.from({ length: exits }, (_, exit) => h("span", { style: `background:${exitColour(exit)}` }));
  const node = h("div", { class: "sq-shares", role: "img" }, ...parts);
  return (shares, label, wide) => {
    parts.forEach((part, exit) => {
      if (part.style.flexGrow !== String(shares[exit])) part.style.flexGrow = shares[exit];
      say(part, wide && shares[exit] > 0.14 ? percent(shares[exit], 1) : "");
    });
    if (label) set(node, "aria-label", label);
    return node;
  };
}

/** Every policy drawn on the plot: presets of this trace, the full network, the paper's points. */
function policiesOf({ trace, arrays }) {
  const { full } = trace;
  const ours = trace.presets.map((preset) => ({
    ...preset,
    sums: totals(trace, preset.thresholds ? leaveAtThresholds(trace, preset.thresholds) : arrays[`${trace.prefix}/${preset.leaving}`]),
  }));
  if (full.own) ours.push({ name: `Full network (${full.label})`, sums: full, fixed: true });
  return ours;
}

function plotOf(title) {
  const plot = frame({ title, height: 400 });
  const cloud = s("path", { class: "sq-cloud" }), front = s("path", { class: "sq-front" });
  const cross = s("path", { class: "sq-cross" }), now = s("circle", { class: "sq-now", r: 8 });
  const marks = s("g");
  plot.marks.append(cloud, front, cross, marks, now);
  return { ...plot, cloud, front, cross, now, marks };
}
function drawCloud(plot, grid, prices, axis, policies, papers) {
  const cloud = cloudOf(grid, prices, axis), front = paretoFront(cloud);
  const key = axis === "operations" ? "synaptic_ops" : "energy_j";
  const shown = papers.filter((paper) => paper[key] > 0);
  const xs = [...cloud.x, ...policies.map((one) => one.point[key]), ...shown.map((one) => one[key])];
  const ys = [...cloud.y, ...policies.map((one) => one.point.accuracy), ...shown.map((one) => one.accuracy / 100)];
  let x0 = Infinity, x1 = 0, y0 = 1, y1 = 0;
  for (const x of xs) { x0 = Math.min(x0, x); x1 = Math.max(x1, x); }
  for (const y of ys) { y0 = Math.min(y0, y); y1 = Math.max(y1, y); }
  const log = x1 > 6 * x0 && x0 > 0, room = (y1 - y0) * 0.06 || 0.01, wide = (x1 - x0) * 0.05 || x1 * 0.05 || 1;
  const { px, py } = plot.axes({
    x: { low: log ? x0 / 1.15 : Math.max(0, x0 - wide), high: log ? x1 * 1.15 : x1 + wide, log, count: 4,
      text: (v) => metric(v, axis === "operations" ? "" : "J"),
      name: axis === "operations" ? "synaptic operations an image" : "modelled energy an image" },
    y: { low: y0 - room, high: Math.min(1, y1 + room), text: (v) => `${Number((100 * v).toFixed(2))} %`, name: "accuracy" },
  });
  const seen = new Set();
  let d = "";
  for (let p = 0; p < cloud.x.length; p++) {
    const cell = `M${Math.round(px(cloud.x[p]))},${Math.round(py(cloud.y[p]))}h0`;
    if (!seen.has(cell)) { seen.add(cell); d += cell; }
  }
  set(plot.cloud, "d", d);
  set(plot.front, "d", line(front.map((i) => [px(cloud.x[i]), py(cloud.y[i])])));
  plot.marks.replaceChildren(
    ...policies.map((one) => mark(px(one.point[key]), py(one.point.accuracy), one, false)),
    ...shown.map((one) => mark(px(one[key]), py(one.accuracy / 100), one, true)));
  return (point) => {
    const x = px(point[key]).toFixed(2), y = py(point.accuracy).toFixed(2);
    set(plot.now, "cx", x);
    set(plot.now, "cy", y);
    set(plot.cross, "d", `M${x},${plot.height - plot.bottom}V${y}H${plot.left}`);
  };
}
function mark(x, y, { letter, name }, square) {
  const shape = square ? s("rect", { x: -8, y: -8, width: 16, height: 16 }) : s("circle", { r: 8.5 });
  return s("g", { class: "sq-mark", transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` }, s("title", {}, name), shape, s("text", { y: 4 }, letter));
}

async function build({ model, root }) {
  const arrays = await unpack(model), about = model.get("traces");
  const traces = new Map(about.map((one) => [one.key, readTrace(one, arrays)])), grids = new Map();
  const spoken = announcer();
  const headline = tiles(["Accuracy", "Energy, modelled", "Synaptic operations", "Speed-up in operations"]);
  const plot = plotOf("Accuracy against cost for all combinations of thresholds; the ring marks the current policy");
  const main = h("div"), below = h("div"), exitOf = new Uint8Array(Math.max(...about.map((one) => one.samples)));
  const network = choice({ label: "Network", options: about.map((one) => [one.key, one.label]), value: model.get("selected"),
    change: (key) => send(model, { preset: "", ...fitting(traces.get(key)), selected: key }) });
  const axis = choice({ label: "Cost axis", options: [["energy", "Energy"], ["operations", "Synaptic operations"]], value: model.get("axis"),
    change: (value) => send(model, { axis: value }) });
  const paper = check({ label: "Draw the paper's points", value: model.get("show_paper"), change: (value) => send(model, { show_paper: value }) });
  paper.row.hidden = !about.some((one) => one.paper.length);
  const priced = priceControls(model);
  root.append(h("div", { class: "sq-bar-of-controls" }, network.row, axis.row, paper.row), headline.node,
    h("div", { class: "sq-columns" }, h("div", {}, plot.svg), main), below, priced.node, spoken.node);

  let state, place;
  const fitting = (trace) => (model.get("thresholds").length === trace.exits - 1 ? {} : { thresholds: Array(trace.exits - 1).fill(0.8) });
  function choose() {
    const key = model.get("selected"), trace = traces.get(key);
    if (!trace) throw new Error(`there is no network '${key}' in it`);
    state = { arrays, trace };
    if (!grids.has(key)) grids.set(key, sweep(trace));
    state.policies = policiesOf(state);
    state.papers = trace.paper;
    [...state.policies, ...state.papers].forEach((one, i) => { one.letter = LETTERS[i % 26]; });
    state.controls = exitControls(state, (exit, value) =>
      send(model, { preset: "", thresholds: model.get("thresholds").map((old, i) => (i === exit ? value : old)) }));
    state.rows = policyRows(state, model);
    state.ways = routes(trace);
    main.replaceChildren(state.controls.box, ...state.ways.all);
    below.replaceChildren(...state.ways.classes, h("div", { class: "sq-scroll", tabindex: 0, role: "region", "aria-label": "Policies side by side" }, state.rows.node));
    network.show(key);
    price();
  }
  function price() {
    const prices = model.get("constants"), papers = model.get("show_paper") ? state.papers : [];
    axis.show(model.get("axis"));
    paper.show(model.get("show_paper"));
    priced.show(prices);
    for (const one of state.policies) one.point = outcome(one.sums, prices, state.trace.full);
    place = drawCloud(plot, grids.get(model.get("selected")), prices, model.get("axis"), state.policies, papers);
    state.rows.show();
    update();
  }
  function update() {
    const began = performance.now(), { trace, policies } = state;
    const preset = policies.find((one) => one.name === model.get("preset") && !one.thresholds);
    const thresholds = model.get("thresholds");
    if (thresholds.length !== trace.exits - 1) return; // they follow the network in the next message
    const sums = preset ? preset.sums : totals(trace, leaveAtThresholds(trace, thresholds, exitOf));
    const point = outcome(sums, model.get("constants"), state.trace.full);
    const calculated = performance.now();
    state.controls.rows.forEach(({ show, mark: threshold }, exit) => {
      show(thresholds[exit]);
      set(threshold, "transform", `translate(${100 * thresholds[exit]} 0)`);
    });
    [percent(point.accuracy), metric(point.energy_j, "J"), metric(point.synaptic_ops), `${point.speed_up.toFixed(2)} \u00d7`]
      .forEach((text, i) => say(headline.values[i], text));
    place(point);
    state.ways.show(sums, point.shares);
    state.rows.press(thresholds, preset);
    Object.assign(root.dataset, { accuracy: point.accuracy, energy: point.energy_j, operations: point.synaptic_ops, speedUp: point.speed_up, shares: point.shares });
    root.dataset.computeMs = (calculated - began).toFixed(3);
    root.dataset.updateMs = (performance.now() - began).toFixed(3);
    spoken.say(`Accuracy ${percent(point.accuracy, 1)}, energy ${metric(point.energy_j, "J")}, ${point.speed_up.toFixed(1)} times fewer operations than the full network.`);
  }
  choose();
  let pending = false; // several traits that change together are drawn once
  const soon = (act) => () => { if (!pending) { pending = true; queueMicrotask(() => { pending = false; act(); }); } };
  return watch(model, { selected: choose, "constants axis show_paper": price, "thresholds preset": soon(update) }, spoken.stop);
}

/** Presets as buttons with their numbers, then the paper's own numbers. */
function policyRows(state, model) {
  const key = (letter, square) => h("span", { class: `sq-key ${square ? "sq-key-square" : ""}`, "aria-hidden": "true" }, letter);
  const rows = state.policies.map((one) => {
    const face = one.fixed ? h("span", {}, key(one.letter), one.name)
      : button("", () => send(model, { preset: one.name, ...(one.thresholds ? { thresholds: one.thresholds } : {}) }), { "aria-pressed": "false" });
    if (!one.fixed) face.append(key(one.letter), one.name);
    return { one, face, cells: [face, ...Array.from({ length: 4 }, () => h("span"))] };
  });
  const papers = state.papers.map((one) => [h("span", {}, key(one.letter, true), one.name), `${one.accuracy.toFixed(2)} %`,
    one.energy_j ? metric(one.energy_j, "J") : "\u2013", one.synaptic_ops ? metric(one.synaptic_ops) : "\u2013", "\u2013"]);
  return {
    node: table(papers.length ? "Policies side by side (circles: ours; squares: printed in the paper)" : "Policies side by side",
      ["Policy", "Accuracy", "Energy", "Operations", "Speed-up"], [...rows.map(({ cells }) => cells), ...papers]),
    show: () => rows.forEach(({ one: { point }, cells }) => {
      [percent(point.accuracy), metric(point.energy_j, "J"), metric(point.synaptic_ops), `${point.speed_up.toFixed(2)} \u00d7`]
        .forEach((text, i) => say(cells[i + 1], text));
    }),
    press: (thresholds, preset) => rows.forEach(({ one, face }) => {
      const on = preset ? one === preset : !!one.thresholds && !one.fixed && one.thresholds.every((value, i) => value === thresholds[i]);
      if (!one.fixed) set(face, "aria-pressed", on);
    }),
  };
}

/** Who leaves where: all samples, then each class. */
function routes(trace) {
  const { exits, classes, class_names: names } = trace, all = shareBar(exits);
  const legend = h("ul", { class: "sq-legend" }, ...Array.from({ length: exits }, (_, exit) =>
    h("li", {}, h("span", { class: "sq-swatch", style: `background:${exitColour(exit)}` }), exitName(exit, exits))));
  const lines = Array.from({ length: classes }, () => shareBar(exits));
  const grid = h("div", { class: "sq-classes" });
  lines.forEach((draw, i) => grid.append(h("span", {}, names[i]), draw(Array(exits).fill(0))));
  return {
    all: [h("p", { class: "sq-title" }, "Where samples leave"), all(Array(exits).fill(0)), legend],
    classes: [h("p", { class: "sq-title" }, "Where each class leaves"), grid],
    show: ({ byClass }, shares) => {
      all(shares, shares.map((share, exit) => `${exitName(exit, exits)} ${percent(share, 1)}`).join(", "), true);
      lines.forEach((draw, i) => {
        const row = byClass.subarray(i * exits, (i + 1) * exits), sum = row.reduce((a, b) => a + b, 0) || 1;
        draw(Array.from(row, (count) => count / sum), `${names[i]}: ${Array.from(row, (count, exit) => `${exitName(exit, exits)} ${percent(count / sum, 0)}`).join(", ")}`);
      });
    },
  };
}
