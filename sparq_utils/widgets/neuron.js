/* The neuron explorer: one leaky integrate-and-fire neuron, step by step, in float32. */
import { announcer, choice, group, slider } from "./controls.js";
import { h, s, say, set } from "./dom.js";
import { frame, line } from "./plot.js";
import { explorer, send, watch } from "./state.js";
import { tiles } from "./tiles.js";

/** simulate_lif of neuron.py, rounding for rounding. */
function simulateLif({ current, beta, threshold, reset, start }) {
  const f = Math.fround,
    theta = f(threshold),
    decay = f(beta);
  const membrane = new Float32Array(current.length),
    spikes = new Uint8Array(current.length);
  let u = f(f(start) * theta),
    fired = 0;
  for (let t = 0; t < current.length; t++) {
    if (fired && reset === "zero") u = 0;
    u = f(f(decay * u) + f(current[t]));
    if (fired && reset === "subtract") u = f(u - theta);
    fired = spikes[t] = u > theta ? 1 : 0;
    membrane[t] = u;
  }
  return { membrane, spikes };
}
const currentOf = (model) =>
  Float32Array.from({ length: model.get("timesteps") }, (_, t) =>
    t < model.get("current_steps") ? model.get("current") : 0,
  );

async function build({ model, root }) {
  const spoken = announcer(),
    two = (value) => Number(value).toFixed(2);
  const knobs = [
    ["current", "Input current I", 0, 2, 0.01, two],
    ["beta", "Decay \u03b2 per step", 0.5, 1, 0.01, two],
    ["threshold", "Threshold \u03b8", 0.1, 2, 0.01, two],
    ["start", "Start, as a share of \u03b8", 0, 1, 0.05, two],
    ["timesteps", "Timesteps T", 1, 64, 1, String],
    [
      "current_steps",
      "Current lasts (steps)",
      0,
      64,
      1,
      (steps) => (steps < model.get("timesteps") ? String(steps) : "all"),
    ],
  ].map(([name, label, min, max, step, text]) => [
    name,
    slider({ label, min, max, step, text, input: (value) => send(model, { [name]: value }) }),
  ]);
  const reset = choice({
    label: "After a spike",
    options: [
      ["subtract", "subtract \u03b8"],
      ["zero", "reset to 0"],
    ],
    change: (value) => send(model, { reset: value }),
  });
  const plot = frame({
    title: "Membrane potential and spikes over time",
    height: 360,
    top: 44,
    right: 26,
  });
  const trace = s("path", { class: "sq-curve", stroke: "var(--line-0)" }),
    dots = s("path", { class: "sq-dots", stroke: "var(--line-0)" });
  const limit = s("path", { class: "sq-dash" }),
    name = s("text", { class: "sq-name" }, "\u03b8"),
    raster = s("path", { stroke: "var(--line-1)", "stroke-width": 3 });
  const heading = s("text", { x: 80, y: 12, class: "sq-name" }, "spikes");
  plot.marks.append(limit, name, trace, dots, raster, heading);
  const headline = tiles([
    "Spikes",
    "Firing rate",
    "I / \u03b8, what a ReLU passes on",
    "Last potential",
  ]);
  root.append(
    headline.node,
    h(
      "div",
      { class: "sq-columns" },
      h(
        "div",
        {},
        plot.svg,
        h(
          "p",
          { class: "sq-note" },
          "U[t] = \u03b2 U[t\u22121] + I[t] \u2212 \u03b8 S[t\u22121];  " +
            "S[t] = 1 when U[t] > \u03b8. " +
            "The reset acts one step after the spike.",
        ),
      ),
      group("The neuron and its input", ...knobs.map(([, knob]) => knob.row), reset.row),
    ),
    spoken.node,
  );

  function update() {
    const get = (key) => model.get(key),
      T = get("timesteps"),
      current = currentOf(model);
    const { membrane, spikes } = simulateLif({
      current,
      beta: get("beta"),
      threshold: get("threshold"),
      reset: get("reset"),
      start: get("start"),
    });
    for (const [key, knob] of knobs) {
      const lasts = key === "current_steps"; // no longer than there are steps
      if (lasts) set(knob.range, "max", T);
      knob.show(lasts ? Math.min(get(key), T) : get(key));
    }
    reset.show(get("reset"));
    const low = Math.min(0, ...membrane),
      high = Math.max(get("threshold"), ...membrane) * 1.05;
    const { px, py } = plot.axes({
      x: { low: 0, high: T, text: String, name: "timestep", count: Math.min(T, 8) },
      y: { low, high, text: (v) => String(Number(v.toFixed(2))), name: "membrane potential U" },
    });
    const points = [
      [0, get("start") * get("threshold")],
      ...Array.from(membrane, (u, t) => [t + 1, u]),
    ].map(([t, u]) => [px(t), py(u)]);
    set(trace, "d", line(points));
    set(
      dots,
      "d",
      points
        .slice(1)
        .map(([x, y]) => `M${x.toFixed(1)},${y.toFixed(1)}h0`)
        .join(""),
    );
    set(limit, "d", `M${plot.left},${py(get("threshold"))}H${plot.width - plot.right}`);
    set(name, "x", plot.width - plot.right + 3);
    set(name, "y", py(get("threshold")) + 4);
    set(
      raster,
      "d",
      Array.from(spikes, (fired, t) => (fired ? `M${px(t + 1)},18v18` : "")).join(""),
    );
    const count = spikes.reduce((a, b) => a + b, 0),
      passed = Math.max(0, get("current") / get("threshold"));
    [
      `${count} in ${T} steps`,
      (count / T).toFixed(3),
      passed.toFixed(3),
      membrane[T - 1].toFixed(3),
    ].forEach((text, i) => say(headline.values[i], text));
    Object.assign(root.dataset, {
      spikes: Array.from(spikes).join(""),
      membrane: Array.from(membrane),
    });
    spoken.say(`${count} spikes in ${T} steps, firing rate ${(count / T).toFixed(2)}.`);
  }
  update();
  return watch(
    model,
    { "current beta threshold start timesteps current_steps reset": update },
    spoken.stop,
  );
}

export default explorer(build);
