/* The Q-learning explorer: the table as it learns, the thresholds it implies, its reward. */
import { announcer, group, slider } from "./controls.js";
import { h, percent, s, say, set } from "./dom.js";
import { frame, line } from "./plot.js";
import { explorer, send, unpack, watch } from "./state.js";
import { tiles } from "./tiles.js";

async function build({ model, root }) {
  const { gain, optimum, visited } = await unpack(model),
    about = model.get("about");
  const { exits, bins, episodes, rewards, thresholds, edges, best_reward: best } = about,
    spoken = announcer();
  const cells = (exits - 1) * bins;
  if (gain.length !== cells * episodes.length) throw new Error("its Q-tables are incomplete");
  const strongest = gain.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
  const knob = slider({
    label: "Episode",
    min: 0,
    max: episodes.length - 1,
    step: 1,
    text: (i) => episodes[i].toLocaleString("en"),
    input: (snapshot) => send(model, { snapshot }),
  });
  const headline = tiles([
    "Mean reward",
    "Share of the optimum",
    ...Array.from({ length: exits - 1 }, (_, i) => `Implied threshold, exit ${i + 1}`),
  ]);
  const boxes = [],
    name = (bin) => `${bin ? edges[bin - 1] : 0} to ${bin < edges.length ? edges[bin] : 1}`;
  const map = h(
    "table",
    { class: "sq-map" },
    h(
      "caption",
      {},
      h("span", {}, "Value of leaving minus value of going on, by exit and confidence"),
    ),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col" }, "confidence from"),
        ...Array.from({ length: bins }, (_, bin) =>
          h("th", { scope: "col" }, String(bin ? edges[bin - 1] : 0)),
        ),
      ),
    ),
    h(
      "tbody",
      {},
      ...Array.from({ length: exits - 1 }, (_, exit) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, `exit ${exit + 1}`),
          ...Array.from({ length: bins }, (__, bin) => {
            const cell = h("td", {
              class: optimum[exit * bins + bin] && visited[exit * bins + bin] ? "sq-best" : "",
            });
            boxes.push(cell);
            return cell;
          }),
        ),
      ),
    ),
  );
  const plot = frame({
    title: "Mean reward of the greedy policy against episodes; dashed: the exact optimum",
    height: 300,
  });
  const low = Math.min(best, ...rewards),
    room = (best - low || 0.1) * 0.1;
  const { px, py } = plot.axes({
    x: { low: 0, high: episodes.at(-1), text: (v) => v.toLocaleString("en"), name: "episodes" },
    y: {
      low: low - room,
      high: Math.max(best, ...rewards) + room,
      text: (v) => String(Number(v.toFixed(3))),
      name: "mean reward",
    },
  });
  const now = s("circle", { class: "sq-now", r: 7 });
  plot.marks.append(
    s("path", { class: "sq-dash", d: `M${plot.left},${py(best)}H${plot.width - plot.right}` }),
    s(
      "text",
      { class: "sq-name", x: plot.width - plot.right, y: py(best) - 6, "text-anchor": "end" },
      "exact optimum",
    ),
    s("path", {
      class: "sq-curve",
      stroke: "var(--line-0)",
      d: line(episodes.map((episode, i) => [px(episode), py(rewards[i])])),
    }),
    now,
  );
  root.append(
    headline.node,
    h("div", { class: "sq-columns" }, plot.svg, group("How long it has learned", knob.row)),
    h("div", { class: "sq-scroll", tabindex: 0, role: "region", "aria-label": "Q-table" }, map),
    h(
      "p",
      { class: "sq-note" },
      "L: leave, c: continue, a dot: nothing learned there yet. " +
        "Framed: where the exact optimum leaves.",
    ),
    spoken.node,
  );

  function update() {
    const i = model.get("snapshot");
    knob.show(i);
    boxes.forEach((cell, at) => {
      const value = gain[i * cells + at],
        strength = Math.round(100 * Math.sqrt(Math.abs(value) / strongest));
      say(cell, value > 0 ? "L" : value < 0 ? "c" : "\u00b7");
      cell.style.setProperty("--mix", `${Math.min(100, strength)}%`);
      cell.style.setProperty("--hue", value > 0 ? "var(--line-0)" : "var(--line-1)");
      set(
        cell,
        "title",
        `exit ${Math.floor(at / bins) + 1}, confidence ${name(at % bins)}: ${value.toFixed(3)}`,
      );
    });
    [
      rewards[i].toFixed(4),
      percent(rewards[i] / best),
      ...thresholds[i].map((t) => (t == null ? "never leave" : String(t))),
    ].forEach((text, j) => say(headline.values[j], text));
    set(now, "cx", px(episodes[i]));
    set(now, "cy", py(rewards[i]));
    Object.assign(root.dataset, { episode: episodes[i], reward: rewards[i] });
    spoken.say(
      `After ${episodes[i]} episodes the mean reward is ` +
        `${percent(rewards[i] / best, 1)} of the optimum.`,
    );
  }
  update();
  return watch(model, { snapshot: update }, spoken.stop);
}

export default explorer(build);
