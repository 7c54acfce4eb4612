/* The trade-off explorer: one slider, how sure an exit must be. */
import { announcer, slider } from "./controls.js";
import { h, metric, percent, s, say, set } from "./dom.js";
import { frame, line } from "./plot.js";
import { exitColour, exitName } from "./prices.js";
import { shareBar } from "./routes.js";
import { explorer, send, watch } from "./state.js";

/** What is gained and lost against going to the end every time. */
function sentenceOf({ accuracy, energy_j }, { end, label }) {
  const lost = 100 * (end.accuracy - accuracy),
    times = (end.energy_j / energy_j).toFixed(1);
  const points = `${Math.abs(lost).toFixed(1)} points ${lost < 0 ? "gained" : "lost"}`;
  return (
    `${label}: ${percent(accuracy, 1)} right at ${metric(energy_j, "J")} per image, ` +
    `${times} times less than going to the end, ${points}.`
  );
}

async function build({ model, root }) {
  const points = model.get("points"),
    about = model.get("about"),
    { exits, end } = about,
    steps = points.length - 1;
  const spoken = announcer(),
    sentence = h("p", { class: "sq-verdict" }),
    shares = shareBar(exits);
  const title =
    "Accuracy against modelled energy per image, for every threshold; the ring marks yours";
  const plot = frame({ title, height: 300 });
  const knob = slider({
    label: "An exit answers if it is this sure",
    min: 0,
    max: steps,
    step: 1,
    text: (step) => percent(step / steps, 0),
    input: (step) => send(model, { step }),
  });
  const legend = h(
    "ul",
    { class: "sq-legend" },
    ...Array.from({ length: exits }, (_, exit) => {
      const swatch = h("span", { class: "sq-swatch", style: `background:${exitColour(exit)}` });
      return h("li", {}, swatch, exitName(exit, exits));
    }),
  );
  root.append(
    h(
      "div",
      { class: "sq-columns" },
      h("div", {}, plot.svg),
      h(
        "div",
        { class: "sq-under" },
        sentence,
        knob.row,
        h("p", { class: "sq-title" }, "Where images leave"),
        shares(Array(exits).fill(0)),
        legend,
      ),
    ),
    spoken.node,
  );

  const xs = [...points, end].map(({ energy_j }) => energy_j),
    ys = [...points, end].map(({ accuracy }) => accuracy);
  const room = (Math.max(...ys) - Math.min(...ys)) * 0.08 || 0.01,
    high = Math.max(...xs) * 1.08;
  const { px, py } = plot.axes({
    x: { low: 0, high, count: 4, text: (v) => metric(v, "J"), name: "modelled energy per image" },
    y: {
      low: Math.min(...ys) - room,
      high: Math.min(1, Math.max(...ys) + room),
      text: (v) => `${Number((100 * v).toFixed(1))} %`,
      name: "accuracy",
    },
  });
  const at = ({ energy_j, accuracy }) => [px(energy_j), py(accuracy)];
  const now = s("circle", { class: "sq-now", r: 8 });
  const [x, y] = at(end);
  plot.marks.append(
    s("path", { class: "sq-curve", stroke: "var(--exit-0)", d: line(points.map(at)) }),
    s("circle", { cx: x, cy: y, r: 5, fill: "var(--soft)" }),
    s("text", { class: "sq-name", x: x - 8, y: y + 18, "text-anchor": "end" }, "never leave early"),
    now,
  );

  function update() {
    const step = model.get("step"),
      point = points[step];
    if (!point) throw new Error(`there is no threshold number ${step}`);
    knob.show(step);
    say(sentence, sentenceOf(point, about));
    const label = point.shares.map((one, exit) => `${exitName(exit, exits)} ${percent(one, 1)}`);
    shares(point.shares, label.join(", "), true);
    const [cx, cy] = at(point);
    set(now, "cx", cx);
    set(now, "cy", cy);
    Object.assign(root.dataset, { accuracy: point.accuracy, energy: point.energy_j });
    spoken.say(sentence.textContent);
  }
  update();
  return watch(model, { step: update }, spoken.stop);
}

export default explorer(build);
