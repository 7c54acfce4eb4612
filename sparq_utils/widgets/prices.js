/* Energy constants and exits' colours: for every explorer that prices operations. */
import { button, number } from "./controls.js";
import { h, say, set } from "./dom.js";
import { send } from "./state.js";

const CONSTANT_NAMES = {
  mac_j: "Multiply-accumulate (MAC)",
  ac_j: "Accumulate (AC)",
  decay_j: "Membrane decay",
  compare_j: "Threshold compare",
  byte_j: "Memory, per byte",
};
export const exitColour = (exit) => `var(--exit-${exit % 5})`;
export const exitName = (exit, exits) => (exit === exits - 1 ? "last exit" : `exit ${exit + 1}`);

/** Energy constants in picojoules; every explorer that prices operations shows these. */
export function priceControls(model) {
  const presets = model.get("constant_presets"),
    names = Object.keys(CONSTANT_NAMES);
  const each = (act) =>
    Object.fromEntries(
      Object.entries(model.get("constants")).map(([bits, joules]) => [bits, act(joules)]),
    );
  const fields = names.map((name) =>
    number({
      label: CONSTANT_NAMES[name],
      unit: "pJ",
      value: "",
      change: (text) =>
        send(model, {
          constants: each((joules) => ({
            ...joules,
            [name]: Number(/e/i.test(text) ? text * 1e-12 : `${text}e-12`),
          })),
        }),
    }),
  );
  const buttons = presets.map(({ name, constants }) =>
    button(name, () => send(model, { constants }), { "aria-pressed": "false" }),
  );
  const about = h("p", { class: "sq-note" });
  const equal = (prices, others) =>
    Object.entries(prices).every(([bits, joules]) =>
      names.every((name) => joules[name] === others[bits]?.[name]),
    );
  return {
    node: h(
      "details",
      {},
      h("summary", {}, "Energy constants"),
      h("div", { class: "sq-buttons" }, ...buttons),
      about,
      ...fields.map(({ row }) => row),
    ),
    show: (prices) => {
      const all = Object.values(prices),
        chosen = presets.findIndex(({ constants }) => equal(prices, constants));
      fields.forEach((field, i) => {
        const alike = all.every((joules) => joules[names[i]] === all[0][names[i]]);
        field.show(alike ? Number((all[0][names[i]] * 1e12).toPrecision(9)) : "");
        set(field.box, "placeholder", alike ? "" : "differs");
      });
      buttons.forEach((one, i) => set(one, "aria-pressed", i === chosen));
      say(about, chosen < 0 ? "Constants of your own." : presets[chosen].about);
    },
  };
}
