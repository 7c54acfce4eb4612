/* Who leaves where: all samples, then each class. */
import { h, percent, say, set } from "./dom.js";
import { exitColour, exitName } from "./prices.js";

export function shareBar(exits) {
  const parts = Array.from({ length: exits }, (_, exit) =>
    h("span", { style: `background:${exitColour(exit)}` }),
  );
  const node = h("div", { class: "sq-shares", role: "img" }, ...parts);
  return (shares, label, wide) => {
    parts.forEach((part, exit) => {
      if (part.style.flexGrow !== String(shares[exit])) part.style.flexGrow = shares[exit];
      say(part, wide && shares[exit] > 0.14 ? percent(shares[exit], 1) : "");
    });
    if (label) set(node, "aria-label", label);
    return node;
  };
}

/** Who leaves where: all samples, then each class. */
export function routes(trace) {
  const { exits, classes, class_names: names } = trace,
    all = shareBar(exits);
  const legend = h(
    "ul",
    { class: "sq-legend" },
    ...Array.from({ length: exits }, (_, exit) =>
      h(
        "li",
        {},
        h("span", { class: "sq-swatch", style: `background:${exitColour(exit)}` }),
        exitName(exit, exits),
      ),
    ),
  );
  const lines = Array.from({ length: classes }, () => shareBar(exits));
  const grid = h("div", { class: "sq-classes" });
  lines.forEach((draw, i) => grid.append(h("span", {}, names[i]), draw(Array(exits).fill(0))));
  return {
    all: [h("p", { class: "sq-title" }, "Where samples leave"), all(Array(exits).fill(0)), legend],
    classes: [h("p", { class: "sq-title" }, "Where each class leaves"), grid],
    show: ({ byClass }, shares) => {
      all(
        shares,
        shares.map((share, exit) => `${exitName(exit, exits)} ${percent(share, 1)}`).join(", "),
        true,
      );
      lines.forEach((draw, i) => {
        const row = byClass.subarray(i * exits, (i + 1) * exits),
          sum = row.reduce((a, b) => a + b, 0) || 1;
        draw(
          Array.from(row, (count) => count / sum),
          `${names[i]}: ` +
            Array.from(row, (n, exit) => `${exitName(exit, exits)} ${percent(n / sum, 0)}`).join(
              ", ",
            ),
        );
      });
    },
  };
}
