/* The energy explorer: where the joules go. */
import { announcer, choice, table } from "./controls.js";
import { h, metric, say, set } from "./dom.js";
import { energyParts, energyTotal } from "./energy.js";
import { priceControls } from "./prices.js";
import { explorer, send, watch } from "./state.js";

const PARTS = [
  ["synaptic", "synapses (MAC, AC)", "var(--exit-0)"],
  ["lif", "neurons (LIF)", "var(--exit-1)"],
  ["memory", "memory traffic", "var(--exit-2)"],
];

async function build({ model, root }) {
  const rows = model.get("rows"),
    spoken = announcer(),
    priced = priceControls(model);
  if (!rows.length) throw new Error("its rows are missing");
  const scale = choice({
    label: "Bars show",
    options: [
      ["joules", "joules"],
      ["log", "joules, logarithmic total"],
      ["shares", "shares of each total"],
    ],
    value: model.get("scale"),
    change: (value) => send(model, { scale: value }),
  });
  const lines = rows.map((row) => {
    const parts = PARTS.map(([, , colour]) => h("span", { style: `background:${colour}` }));
    const bar = h("div", { class: "sq-shares", role: "img" }, ...parts),
      total = h("span", { class: "sq-total" });
    return { row, parts, bar, total };
  });
  const grid = h("div", { class: "sq-joules" });
  for (const { row, bar, total } of lines)
    grid.append(h("span", {}, row.label), h("div", { class: "sq-track" }, bar), total);
  const cells = rows.map(() => Array.from({ length: 4 }, () => h("span")));
  priced.node.open = true;
  root.append(
    h("div", { class: "sq-bar-of-controls" }, scale.row),
    h(
      "ul",
      { class: "sq-legend" },
      ...PARTS.map(([, name, colour]) =>
        h("li", {}, h("span", { class: "sq-swatch", style: `background:${colour}` }), name),
      ),
    ),
    grid,
    h(
      "div",
      { class: "sq-scroll", tabindex: 0, role: "region", "aria-label": "Modelled energy" },
      table(
        "Modelled energy an image",
        ["Variant", "Synapses", "Neurons", "Memory", "Total"],
        rows.map((row, i) => [row.label, ...cells[i]]),
      ),
    ),
    priced.node,
    spoken.node,
  );

  function update() {
    const prices = model.get("constants"),
      how = model.get("scale");
    priced.show(prices);
    scale.show(how);
    const found = rows.map((row) => energyParts(row, prices[row.bits_per_weight])),
      sums = found.map(energyTotal);
    const most = Math.max(...sums),
      least = Math.min(...sums.filter((sum) => sum > 0));
    const width = (sum) =>
      how === "shares"
        ? 1
        : how === "log"
          ? sum > 0
            ? Math.log((sum / least) * 3) / Math.log((most / least) * 3)
            : 0
          : sum / (most || 1);
    lines.forEach(({ parts, bar, total }, i) => {
      const values = PARTS.map(([name]) => found[i][name]);
      bar.style.width = `${(100 * width(sums[i])).toFixed(3)}%`;
      parts.forEach((part, j) => {
        part.style.flexGrow = sums[i] ? values[j] / sums[i] : 0;
      });
      set(
        bar,
        "aria-label",
        `${rows[i].label}: ` +
          PARTS.map(([, name], j) => `${name} ${metric(values[j], "J")}`).join(", "),
      );
      say(total, metric(sums[i], "J"));
      [...values, sums[i]].forEach((value, j) => say(cells[i][j], metric(value, "J")));
    });
    root.dataset.totals = sums;
    const best = sums.indexOf(Math.min(...sums));
    spoken.say(`Least energy: ${rows[best].label}, ${metric(sums[best], "J")} an image.`);
  }
  update();
  return watch(model, { "constants scale": update }, spoken.stop);
}

export default explorer(build);
