/* Plots in SVG that can be redrawn. */
import { uid, s } from "./dom.js";

/** Round values inside [low, high]: steps of 1, 2 or 5, or decades (with 2 and 5 if few). */
export function ticks(low, high, log, count = 5) {
  const found = [];
  if (log) {
    const decades = Math.log10(high / low);
    const parts = decades > 4 ? [1] : decades > 2 ? [1, 3] : [1, 2, 5];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
      for (const part of parts) found.push(Number(`${part}e${power}`));
    }
  } else {
    const rough = (high - low) / count || 1,
      power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((part) => part * power >= rough) * power;
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++)
      found.push(i * step || 0);
  }
  return found.filter(
    (value) =>
      value >= low * (1 - 1e-9) - (log ? 0 : 1e-9) && value <= high * (1 + 1e-9) + (log ? 0 : 1e-9),
  );
}
/** An SVG plot with axes that can be redrawn: frame.axes({x, y}) gives the scales px, py. */
export function frame({
  title,
  width = 520,
  height = 320,
  left = 80,
  right = 16,
  top = 14,
  bottom = 46,
}) {
  const id = uid();
  const grid = s("g", { class: "sq-axis" }),
    marks = s("g");
  const svg = s(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-labelledby": id, class: "sq-plot" },
    s("title", { id }, title),
    grid,
    marks,
  );
  const scale = ({ low, high, log }, from, to) => {
    const a = log ? Math.log(low) : low,
      span = (log ? Math.log(high) : high) - a || 1;
    return (value) => from + (((log ? Math.log(value) : value) - a) / span) * (to - from);
  };
  function axes({ x, y }) {
    const px = scale(x, left, width - right),
      py = scale(y, height - bottom, top);
    grid.replaceChildren(s("path", { d: `M${left},${top}V${height - bottom}H${width - right}` }));
    for (const value of x.at ?? ticks(x.low, x.high, x.log, x.count)) {
      // in the corner the vertical axis has a number of its own
      const anchor = px(value) < left + 16 ? "start" : "middle";
      grid.append(
        s("path", { class: "sq-grid", d: `M${px(value)},${top}V${height - bottom}` }),
        s("text", { x: px(value), y: height - bottom + 17, "text-anchor": anchor }, x.text(value)),
      );
    }
    for (const value of ticks(y.low, y.high, y.log, y.count)) {
      grid.append(
        s("path", { class: "sq-grid", d: `M${left},${py(value)}H${width - right}` }),
        s("text", { x: left - 7, y: py(value) + 4, "text-anchor": "end" }, y.text(value)),
      );
    }
    grid.append(
      s(
        "text",
        { x: (left + width - right) / 2, y: height - 7, "text-anchor": "middle", class: "sq-name" },
        x.name,
      ),
      s(
        "text",
        {
          transform: `translate(11 ${(top + height - bottom) / 2}) rotate(-90)`,
          "text-anchor": "middle",
          class: "sq-name",
        },
        y.name,
      ),
    );
    return { px, py };
  }
  return { svg, marks, axes, left, right, top, bottom, width, height };
}
export const line = (points) =>
  points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(2)},${y.toFixed(2)}`).join("");
