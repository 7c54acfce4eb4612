/* Energy constants and exits' colours: for every explorer that prices operations. */
const CONSTANT_NAMES = {
  mac_j: "Multiply-accumulate (MAC)", ac_j: "Accumulate (AC)", decay_j: "Membrane decay",
  compare_j: "Threshold compare", byte_j: "Memory, a byte",
};
const exitColour = (exit) => `var(--exit-${exit % 5})`;
const exitName = (exit, exits) => (exit === exits - 1 ? "last exit" : `exit ${exit + 1}`);

/** Energy constants in picojoules; every explorer that prices operations shows these. */
function priceControls(model) {
  const presets = model.get("constant_presets"), names = Object.keys(CONSTANT_NAMES);
  const fields = names.map((name) => number({
    label: CONSTANT_NAMES[name], unit: "pJ", value: 0,
    change: (text) => send(model, { constants: { ...model.get("constants"), [name]: Number(/e/i.test(text) ? text * 1e-12 : `${text}e-12`) } }),
  }));
  const buttons = Object.keys(presets).map((name) => button(name, () => send(model, { constants: presets[name] }), { "aria-pressed": "false" }));
  return {
    node: h("details", {}, h("summary", {}, "Energy constants"), h("div", { class: "sq-buttons" }, ...buttons), ...fields.map(({ row }) => row)),
    show: (joules) => {
      fields.forEach((field, i) => field.show(Number((joules[names[i]] * 1e12).toPrecision(9))));
      buttons.forEach((one) => set(one, "aria-pressed", names.every((name) => presets[one.textContent][name] === joules[name])));
    },
  };
}
