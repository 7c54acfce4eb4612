/* The energy explorer: where the joules go. */
import { announcer, choice, group, table } from "./controls.js";
import { h, metric, say, set } from "./dom.js";
import { energyParts, energyTotal } from "./energy.js";
import { ticks } from "./plot.js";
import { priceControls } from "./prices.js";
import { explorer, send, watch } from "./state.js";

const PARTS = [
  ["synaptic", "synapses (MAC, AC)", "var(--exit-0)"],
  ["lif", "neurons (LIF)", "var(--exit-1)"],
  ["memory", "memory traffic", "var(--exit-2)"],
];
const VIEWS = [
  ["dots", "each part, logarithmic"],
  ["joules", "joules, stacked"],
  ["shares", "shares of each total"],
];

/** One variant's line: a stacked bar, or a dot per part on a logarithmic scale. */
function lineOf(label) {
  const coloured = (klass) =>
    PARTS.map(([name, , colour]) =>
      h("span", { class: `${klass} sq-${name}`, style: `background:${colour}` }),
    );
  const parts = coloured("sq-part"),
    dots = coloured("sq-dot");
  const bar = h("div", { class: "sq-shares" }, ...parts),
    field = h("div", { class: "sq-field" }, ...dots),
    track = h("div", { class: "sq-track", role: "img" }, bar, field),
    total = h("span", { class: "sq-total" });
  return { name: h("span", {}, label), track, parts, dots, bar, field, total };
}

async function build({ model, root }) {
  const rows = model.get("rows"),
    memories = model.get("memories"),
    spoken = announcer(),
    priced = priceControls(model);
  if (!rows.length) throw new Error("its rows are missing");
  const scale = choice({
    label: "Show",
    options: VIEWS,
    value: model.get("scale"),
    change: (value) => send(model, { scale: value }),
  });
  const memory = choice({
    label: "Memory model",
    options: memories.map(({ name }) => [name, name.replaceAll("-", " ")]),
    value: model.get("memory"),
    change: (value) => send(model, { memory: value }),
  });
  const about = h("p", { class: "sq-note" }),
    axis = h("div", { class: "sq-field sq-scale", "aria-hidden": "true" });
  const lines = rows.map(({ label }) => lineOf(label));
  const grid = h("div", { class: "sq-joules" });
  for (const { name, track, total } of lines) grid.append(name, track, total);
  grid.append(h("span"), axis, h("span"));
  const cells = rows.map(() => Array.from({ length: 4 }, () => h("span")));
  const legend = PARTS.map(([part, name, colour]) =>
    h("li", {}, h("span", { class: `sq-dot sq-${part}`, style: `background:${colour}` }), name),
  );
  priced.node.open = true;
  root.append(
    group("What is shown, and by which model", scale.row, memory.row, about),
    priced.node,
    h("ul", { class: "sq-legend" }, ...legend),
    grid,
    h(
      "div",
      { class: "sq-scroll", tabindex: 0, role: "region", "aria-label": "Modelled energy" },
      table(
        "Modelled energy per image",
        ["Variant", "Synapses", "Neurons", "Memory", "Total"],
        rows.map((row, i) => [row.label, ...cells[i]]),
      ),
    ),
    spoken.node,
  );

  /** Where a value stands on the logarithmic scale of all parts, 0 to 100. */
  function logarithmic(values) {
    const some = values.filter((value) => value > 0),
      low = Math.min(...some) / 1.5,
      high = Math.max(...some) * 1.5;
    const place = (value) => (100 * Math.log(value / low)) / Math.log(high / low);
    const marks = ticks(low, high, true).map((value) =>
      h("span", { style: `left:${place(value)}%` }, metric(value, "J")),
    );
    axis.replaceChildren(...marks.filter((_, i) => i % Math.ceil(marks.length / 5) === 0));
    return place;
  }
  function update() {
    const prices = model.get("constants"),
      how = model.get("scale"),
      which = model.get("memory");
    priced.show(prices);
    scale.show(how);
    memory.show(which);
    say(about, memories.find(({ name }) => name === which).about);
    const found = rows.map((row) =>
      energyParts({ ...row, bits: row.bits[which] }, prices[row.bits_per_weight]),
    );
    const sums = found.map(energyTotal),
      most = Math.max(...sums) || 1;
    const place = logarithmic(found.flatMap(Object.values));
    axis.hidden = how !== "dots";
    lines.forEach(({ track, parts, dots, bar, field, total }, i) => {
      const values = PARTS.map(([name]) => found[i][name]);
      [bar.hidden, field.hidden] = [how === "dots", how !== "dots"];
      bar.style.width = `${(how === "shares" ? 100 : (100 * sums[i]) / most).toFixed(3)}%`;
      parts.forEach((part, j) => {
        part.style.flexGrow = sums[i] ? values[j] / sums[i] : 0;
      });
      dots.forEach((dot, j) => {
        dot.hidden = !values[j];
        if (values[j]) dot.style.left = `${place(values[j]).toFixed(3)}%`;
      });
      const texts = PARTS.map(([, name], j) => `${name} ${metric(values[j], "J")}`);
      set(track, "aria-label", `${rows[i].label}: ${texts.join(", ")}`);
      say(total, metric(sums[i], "J"));
      [...values, sums[i]].forEach((value, j) => say(cells[i][j], metric(value, "J")));
    });
    root.dataset.totals = sums;
    const best = sums.indexOf(Math.min(...sums));
    spoken.say(`Least energy: ${rows[best].label}, ${metric(sums[best], "J")} per image.`);
  }
  update();
  return watch(model, { "constants scale memory": update }, spoken.stop);
}

export default explorer(build);
