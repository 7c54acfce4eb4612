/* Accuracy against cost for all combinations of thresholds, and policies among them. */
import { metric, s, set } from "./dom.js";
import { frame, line } from "./plot.js";
import { cloudOf, paretoFront } from "./policy.js";

/** How far from one another marks stand, in the plot's units; on narrow screens they are larger. */
const APART = 28;

export function plotOf(title) {
  const plot = frame({ title, height: 400 });
  const cloud = s("path", { class: "sq-cloud" }),
    front = s("path", { class: "sq-front" });
  const cross = s("path", { class: "sq-cross" }),
    now = s("circle", { class: "sq-now", r: 8 });
  const marks = s("g");
  plot.marks.append(cloud, front, cross, marks, now);
  return { ...plot, cloud, front, cross, now, marks };
}
export function drawCloud(plot, grid, prices, axis, policies, papers) {
  const cloud = cloudOf(grid, prices, axis),
    front = paretoFront(cloud);
  const key = axis === "operations" ? "synaptic_ops" : "energy_j";
  const shown = papers.filter((paper) => paper[key] > 0);
  const xs = [
    ...cloud.x,
    ...policies.map((one) => one.point[key]),
    ...shown.map((one) => one[key]),
  ];
  const ys = [
    ...cloud.y,
    ...policies.map((one) => one.point.accuracy),
    ...shown.map((one) => one.accuracy / 100),
  ];
  let x0 = Infinity,
    x1 = 0,
    y0 = 1,
    y1 = 0;
  for (const x of xs) {
    x0 = Math.min(x0, x);
    x1 = Math.max(x1, x);
  }
  for (const y of ys) {
    y0 = Math.min(y0, y);
    y1 = Math.max(y1, y);
  }
  const log = x1 > 6 * x0 && x0 > 0,
    room = (y1 - y0) * 0.06 || 0.01,
    wide = (x1 - x0) * 0.05 || x1 * 0.05 || 1;
  const { px, py } = plot.axes({
    x: {
      low: log ? x0 / 1.15 : Math.max(0, x0 - wide),
      high: log ? x1 * 1.15 : x1 + wide,
      log,
      count: 4,
      text: (v) => metric(v, axis === "operations" ? "" : "J"),
      name: axis === "operations" ? "synaptic operations per image" : "modelled energy per image",
    },
    y: {
      low: y0 - room,
      high: Math.min(1, y1 + room),
      text: (v) => `${Number((100 * v).toFixed(2))} %`,
      name: "accuracy",
    },
  });
  const seen = new Set();
  let d = "";
  for (let p = 0; p < cloud.x.length; p++) {
    const cell = `M${Math.round(px(cloud.x[p]))},${Math.round(py(cloud.y[p]))}h0`;
    if (!seen.has(cell)) {
      seen.add(cell);
      d += cell;
    }
  }
  set(plot.cloud, "d", d);
  set(plot.front, "d", line(front.map((i) => [px(cloud.x[i]), py(cloud.y[i])])));
  const drawn = [
    ...policies.map((one) => [px(one.point[key]), py(one.point.accuracy), one, false]),
    ...shown.map((one) => [px(one[key]), py(one.accuracy / 100), one, true]),
  ];
  const badges = apart(drawn, plot);
  plot.marks.replaceChildren(...drawn.map((one, i) => mark(...one, badges[i])));
  return (point) => {
    const x = px(point[key]).toFixed(2),
      y = py(point.accuracy).toFixed(2);
    set(plot.now, "cx", x);
    set(plot.now, "cy", y);
    set(plot.cross, "d", `M${x},${plot.height - plot.bottom}V${y}H${plot.left}`);
  };
}
/** Where marks stand so that no two overlap: each as near to its own place as that allows. */
function apart(places, { left, right, top, bottom, width, height }) {
  const at = places.map(([x, y]) => [x, y]);
  const within = (value, low, high) => Math.min(Math.max(value, low), high);
  for (let round = 0, moved = true; moved && round < 200; round++) {
    moved = false;
    for (let i = 0; i < at.length; i++) {
      for (let j = 0; j < i; j++) {
        const dx = at[i][0] - at[j][0] || 0.01,
          dy = at[i][1] - at[j][1],
          far = Math.hypot(dx, dy);
        if (far >= APART - 0.1) continue;
        moved = true;
        const push = (APART - far) / far / 2;
        [at[i], at[j]] = [
          [at[i][0] + push * dx, at[i][1] + push * dy],
          [at[j][0] - push * dx, at[j][1] - push * dy],
        ];
      }
      at[i][0] = within(at[i][0], left + APART / 2, width - right - APART / 2);
      at[i][1] = within(at[i][1], top + APART / 2, height - bottom - APART / 2);
    }
  }
  return at;
}
/** A policy's letter; a line leads to its place where others push it away. */
function mark(x, y, { letter, name }, square, badge) {
  const shape = square
    ? s("rect", { x: -8, y: -8, width: 16, height: 16 })
    : s("circle", { r: 8.5 });
  const [dx, dy] = [badge[0] - x, badge[1] - y];
  return s(
    "g",
    { class: "sq-mark", transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` },
    s("title", {}, name),
    s("path", { class: "sq-leader", d: `M0,0L${dx.toFixed(1)},${dy.toFixed(1)}` }),
    s("path", { class: "sq-leader sq-place", d: "M0,0h0" }),
    s(
      "g",
      { transform: `translate(${dx.toFixed(1)} ${dy.toFixed(1)})` },
      s("g", { class: "sq-badge" }, shape, s("text", { y: 4 }, letter)),
    ),
  );
}
