/* Thresholds, each under the histogram of what its exit is confident of. */
import { group, slider } from "./controls.js";
import { h, s } from "./dom.js";

/** Sliders for each exit, each under the histogram of what that exit is confident of; `told` says
    what is seen there. */
export function exitControls(
  state,
  move,
  told = "Bars: how confident each exit is, wrong answers in red.",
) {
  const { trace } = state,
    { samples, exits } = trace;
  const rows = [],
    box = group("Leave when confidence reaches");
  for (let exit = 0; exit < exits - 1; exit++) {
    const mark = s("line", { y1: -2, y2: 46, x1: 0, x2: 0 });
    const picture = s(
      "svg",
      {
        class: "sq-hist",
        viewBox: "0 0 100 46",
        preserveAspectRatio: "none",
        role: "img",
        "aria-label":
          `Confidences at exit ${exit + 1}: right answers grey, wrong ones red, ` +
          "heights as square roots",
      },
      ...histogram(
        trace.confidence.subarray(exit * samples, (exit + 1) * samples),
        trace.correct.subarray(exit * samples),
      ),
      mark,
    );
    const control = slider({
      label: `Exit ${exit + 1}`,
      min: 0,
      max: 1,
      step: 0.01,
      value: 0,
      text: (value) =>
        Number(value.toFixed(2)) === value
          ? value.toFixed(2)
          : String(Number(value.toPrecision(4))),
      input: (value) => move(exit, value),
    });
    rows.push({ ...control, mark });
    const column = h("div", { class: "sq-under" }, picture);
    control.range.replaceWith(column);
    column.append(control.range);
    box.append(control.row);
  }
  box.append(h("p", { class: "sq-note" }, told));
  return { box, rows };
}
function histogram(confidence, correct, bins = 50) {
  const right = new Uint32Array(bins),
    all = new Uint32Array(bins);
  confidence.forEach((value, i) => {
    const bin = Math.min(bins - 1, Math.floor(value * bins));
    all[bin]++;
    right[bin] += correct[i];
  });
  const tall = 44 / Math.sqrt(Math.max(...all)),
    width = 100 / bins;
  const top = (count) => 46 - tall * Math.sqrt(count);
  const bars = (klass, from, to) =>
    s("path", {
      class: klass,
      d: Array.from(all, (_, i) =>
        to(i) > from(i)
          ? `M${i * width},${top(from(i))}V${top(to(i))}h${width * 0.9}V${top(from(i))}z`
          : "",
      ).join(""),
    });
  return [
    bars(
      "wrong",
      () => 0,
      (i) => all[i] - right[i],
    ),
    bars(
      "right",
      (i) => all[i] - right[i],
      (i) => all[i],
    ),
  ];
}
