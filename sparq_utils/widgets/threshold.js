/* The threshold explorer. */
import { drawCloud, plotOf } from "./cloud.js";
import { exitControls } from "./confidences.js";
import { announcer, button, check, choice, table } from "./controls.js";
import { h, metric, percent, say, set } from "./dom.js";
import { leaveAtThresholds, outcome, readTrace, sweep, totals } from "./policy.js";
import { priceControls } from "./prices.js";
import { routes } from "./routes.js";
import { explorer, send, unpack, watch } from "./state.js";
import { tiles } from "./tiles.js";

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** Every policy drawn on the plot: presets of this trace, the full network, the paper's points. */
function policiesOf({ trace, arrays }) {
  const { full } = trace;
  const ours = trace.presets.map((preset) => ({
    ...preset,
    sums: totals(
      trace,
      preset.thresholds
        ? leaveAtThresholds(trace, preset.thresholds)
        : arrays[`${trace.prefix}/${preset.leaving}`],
    ),
  }));
  if (full.own) ours.push({ name: `Full network (${full.label})`, sums: full, fixed: true });
  return ours;
}

async function build({ model, root }) {
  const arrays = await unpack(model),
    about = model.get("traces");
  const traces = new Map(about.map((one) => [one.key, readTrace(one, arrays)])),
    grids = new Map();
  const spoken = announcer();
  const headline = tiles([
    "Accuracy",
    "Energy, modelled",
    "Synaptic operations",
    "Speed-up in operations",
  ]);
  const plot = plotOf(
    "Accuracy against cost for all combinations of thresholds; the ring marks the current policy",
  );
  const main = h("div"),
    below = h("div"),
    exitOf = new Uint8Array(Math.max(...about.map((one) => one.samples)));
  const network = choice({
    label: "Network",
    options: about.map((one) => [one.key, one.label]),
    value: model.get("selected"),
    change: (key) => send(model, { preset: "", ...fitting(traces.get(key)), selected: key }),
  });
  const axis = choice({
    label: "Cost axis",
    options: [
      ["energy", "Energy"],
      ["operations", "Synaptic operations"],
    ],
    value: model.get("axis"),
    change: (value) => send(model, { axis: value }),
  });
  const paper = check({
    label: "Draw the paper's points",
    value: model.get("show_paper"),
    change: (value) => send(model, { show_paper: value }),
  });
  paper.row.hidden = !about.some((one) => one.paper.length);
  const priced = priceControls(model);
  root.append(
    h("div", { class: "sq-bar-of-controls" }, network.row, axis.row, paper.row),
    headline.node,
    h("div", { class: "sq-columns" }, h("div", {}, plot.svg), main),
    below,
    spoken.node,
  );

  let state, place;
  const fitting = (trace) =>
    model.get("thresholds").length === trace.exits - 1
      ? {}
      : { thresholds: Array(trace.exits - 1).fill(0.8) };
  function choose() {
    const key = model.get("selected"),
      trace = traces.get(key);
    if (!trace) throw new Error(`there is no network '${key}' in it`);
    state = { arrays, trace };
    if (!grids.has(key)) grids.set(key, sweep(trace));
    state.policies = policiesOf(state);
    state.papers = trace.paper;
    [...state.policies, ...state.papers].forEach((one, i) => {
      one.letter = LETTERS[i % 26];
    });
    state.controls = exitControls(state, (exit, value) =>
      send(model, {
        preset: "",
        thresholds: model.get("thresholds").map((old, i) => (i === exit ? value : old)),
      }),
    );
    state.rows = policyRows(state, model);
    state.ways = routes(trace);
    main.replaceChildren(state.controls.box, priced.node, ...state.ways.all);
    below.replaceChildren(
      ...state.ways.classes,
      h(
        "div",
        { class: "sq-scroll", tabindex: 0, role: "region", "aria-label": "Policies side by side" },
        state.rows.node,
      ),
    );
    network.show(key);
    price();
  }
  function price() {
    const prices = model.get("constants"),
      papers = model.get("show_paper") ? state.papers : [];
    axis.show(model.get("axis"));
    paper.show(model.get("show_paper"));
    priced.show(prices);
    for (const one of state.policies) one.point = outcome(one.sums, prices, state.trace.full);
    place = drawCloud(
      plot,
      grids.get(model.get("selected")),
      prices,
      model.get("axis"),
      state.policies,
      papers,
    );
    state.rows.show();
    update();
  }
  function update() {
    const began = performance.now(),
      { trace, policies } = state;
    const preset = policies.find((one) => one.name === model.get("preset") && !one.thresholds);
    const thresholds = model.get("thresholds");
    // thresholds follow the network in the next message
    if (thresholds.length !== trace.exits - 1) return;
    const sums = preset ? preset.sums : totals(trace, leaveAtThresholds(trace, thresholds, exitOf));
    const point = outcome(sums, model.get("constants"), state.trace.full);
    const calculated = performance.now();
    state.controls.rows.forEach(({ show, mark: threshold }, exit) => {
      show(thresholds[exit]);
      set(threshold, "transform", `translate(${100 * thresholds[exit]} 0)`);
    });
    [
      percent(point.accuracy),
      metric(point.energy_j, "J"),
      metric(point.synaptic_ops),
      `${point.speed_up.toFixed(2)} \u00d7`,
    ].forEach((text, i) => say(headline.values[i], text));
    place(point);
    state.ways.show(sums, point.shares);
    state.rows.press(thresholds, preset);
    Object.assign(root.dataset, {
      accuracy: point.accuracy,
      energy: point.energy_j,
      operations: point.synaptic_ops,
      speedUp: point.speed_up,
      shares: point.shares,
    });
    root.dataset.computeMs = (calculated - began).toFixed(3);
    root.dataset.updateMs = (performance.now() - began).toFixed(3);
    spoken.say(
      `Accuracy ${percent(point.accuracy, 1)}, energy ${metric(point.energy_j, "J")}, ` +
        `${point.speed_up.toFixed(1)} times fewer operations than the full network.`,
    );
  }
  choose();
  let pending = false; // several traits that change together are drawn once
  const soon = (act) => () => {
    if (!pending) {
      pending = true;
      queueMicrotask(() => {
        pending = false;
        act();
      });
    }
  };
  return watch(
    model,
    { selected: choose, "constants axis show_paper": price, "thresholds preset": soon(update) },
    spoken.stop,
  );
}

/** Presets as buttons with their numbers, then the paper's own numbers. */
function policyRows(state, model) {
  const key = (letter, square) =>
    h("span", { class: `sq-key ${square ? "sq-key-square" : ""}`, "aria-hidden": "true" }, letter);
  const rows = state.policies.map((one) => {
    const face = one.fixed
      ? h("span", {}, key(one.letter), one.name)
      : button(
          "",
          () =>
            send(model, {
              preset: one.name,
              ...(one.thresholds ? { thresholds: one.thresholds } : {}),
            }),
          { "aria-pressed": "false" },
        );
    if (!one.fixed) face.append(key(one.letter), one.name);
    return { one, face, cells: [face, ...Array.from({ length: 4 }, () => h("span"))] };
  });
  const papers = state.papers.map((one) => [
    h("span", {}, key(one.letter, true), one.name),
    `${one.accuracy.toFixed(2)} %`,
    one.energy_j ? metric(one.energy_j, "J") : "\u2013",
    one.synaptic_ops ? metric(one.synaptic_ops) : "\u2013",
    "\u2013",
  ]);
  return {
    node: table(
      papers.length
        ? "Policies side by side (circles: ours; squares: printed in the paper)"
        : "Policies side by side",
      ["Policy", "Accuracy", "Energy", "Operations", "Speed-up"],
      [...rows.map(({ cells }) => cells), ...papers],
    ),
    show: () =>
      rows.forEach(({ one: { point }, cells }) => {
        [
          percent(point.accuracy),
          metric(point.energy_j, "J"),
          metric(point.synaptic_ops),
          `${point.speed_up.toFixed(2)} \u00d7`,
        ].forEach((text, i) => say(cells[i + 1], text));
      }),
    press: (thresholds, preset) =>
      rows.forEach(({ one, face }) => {
        const on = preset
          ? one === preset
          : !!one.thresholds &&
            !one.fixed &&
            one.thresholds.every((value, i) => value === thresholds[i]);
        if (!one.fixed) set(face, "aria-pressed", on);
      }),
  };
}

export default explorer(build);
