/* Headline numbers. */
import { h } from "./dom.js";

export function tiles(names) {
  const values = names.map(() => h("dd"));
  return {
    node: h(
      "dl",
      { class: "sq-tiles" },
      ...names.map((name, i) => h("div", { class: "sq-tile" }, h("dt", {}, name), values[i])),
    ),
    values,
  };
}
