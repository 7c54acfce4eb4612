/* The conversion explorer: accuracy against timesteps for each way to convert. */
import { h, s, set, say, percent } from "./dom.js";
import { explorer, watch, send } from "./state.js";
import { slider, group, announcer, table } from "./controls.js";
import { frame, line } from "./plot.js";

const CURVES = [
  "var(--line-0)",
  "var(--line-1)",
  "var(--line-2)",
  "var(--line-3)",
  "var(--line-4)",
];
const DASHES = ["none", "7 4", "2 4", "10 3 2 3", "14 4"];

async function build({ model, root }) {
  const curves = model.get("curves"),
    names = Object.keys(curves),
    steps = model.get("steps"),
    ann = model.get("ann_accuracy");
  if (!names.length || !steps.length) throw new Error("its curves are missing");
  const spoken = announcer(),
    at = (name, T) => curves[name][String(T)];
  const plot = frame({
    title: "Accuracy against the number of timesteps, one curve for each way to convert",
    height: 360,
  });
  const knob = slider({
    label: "Timesteps",
    min: 0,
    max: steps.length - 1,
    step: 1,
    text: (index) => `T = ${steps[index]}`,
    input: (index) => send(model, { timesteps: steps[index] }),
  });
  const values = names.flatMap((name) => Object.values(curves[name])),
    floor = s("g");
  const cells = names.map(() => [h("span"), h("span")]);
  const swatch = (i) =>
    s(
      "svg",
      { width: 34, height: 12, "aria-hidden": "true" },
      s("path", {
        d: "M1,6H33",
        stroke: CURVES[i % 5],
        "stroke-width": 3,
        "stroke-dasharray": DASHES[i % 5],
      }),
    );
  const rows = names.map((name, i) => [
    h("span", { class: "sq-line-name" }, swatch(i), name),
    ...cells[i],
  ]);
  root.append(
    h(
      "div",
      { class: "sq-columns" },
      h("div", {}, plot.svg),
      h(
        "div",
        {},
        group("How many timesteps", knob.row),
        table(
          "Accuracy by way of conversion",
          ["Conversion", "Accuracy", ann == null ? "" : "Against ANN"],
          rows,
        ),
      ),
    ),
    spoken.node,
  );

  const low = Math.min(...values),
    room = (1 - low) * 0.06;
  const { px, py } = plot.axes({
    x: {
      low: steps[0],
      high: steps.at(-1),
      log: steps.length > 1,
      at: steps,
      text: String,
      name: "timesteps T",
    },
    y: {
      low: Math.max(0, low - room),
      high: Math.min(1, Math.max(ann ?? 0, ...values) + room),
      text: (v) => `${Number((100 * v).toFixed(1))} %`,
      name: "accuracy",
    },
  });
  if (ann != null)
    floor.append(
      s("path", { class: "sq-dash", d: `M${plot.left},${py(ann)}H${plot.width - plot.right}` }),
      s("text", { class: "sq-name", x: plot.left + 6, y: py(ann) - 5 }, "ANN"),
    );
  const cursor = s("path", { class: "sq-cross" });
  plot.marks.append(
    floor,
    cursor,
    ...names.map((name, i) =>
      s("path", {
        class: "sq-curve",
        stroke: CURVES[i % 5],
        "stroke-dasharray": DASHES[i % 5],
        d: line(steps.filter((T) => at(name, T) != null).map((T) => [px(T), py(at(name, T))])),
      }),
    ),
  );
  const rings = names.map((_, i) =>
    plot.marks.appendChild(
      s("circle", { r: 6, fill: "var(--page)", stroke: CURVES[i % 5], "stroke-width": 3 }),
    ),
  );

  function update() {
    const T = model.get("timesteps");
    knob.show(steps.indexOf(T));
    set(cursor, "d", `M${px(T)},${plot.top}V${plot.height - plot.bottom}`);
    names.forEach((name, i) => {
      const value = at(name, T);
      say(cells[i][0], value == null ? "\u2013" : percent(value));
      if (ann != null)
        say(
          cells[i][1],
          value == null ? "\u2013" : `${(100 * (value - ann)).toFixed(2).replace("-", "\u2212")}`,
        );
      set(rings[i], "visibility", value == null ? "hidden" : "visible");
      if (value != null) {
        set(rings[i], "cx", px(T));
        set(rings[i], "cy", py(value));
      }
    });
    root.dataset.timesteps = T;
    spoken.say(
      `${T} timesteps: ${names
        .filter((name) => at(name, T) != null)
        .map((name) => `${name} ${percent(at(name, T), 1)}`)
        .join(", ")}.`,
    );
  }
  update();
  return watch(model, { timesteps: update }, spoken.stop);
}

export default explorer(build);
