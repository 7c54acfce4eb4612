/* Controls that work by mouse, touch and keyboard, and what is said to screen readers. */
import { uid, h, set, say } from "./dom.js";

/** One labelled range input in a 44-pixel row; show(value, text) moves it without an event. */
export function slider({ label, min, max, step, value, text = String, input }) {
  const id = uid();
  const output = h("span", { class: "sq-value", "aria-hidden": "true" });
  const range = h("input", {
    type: "range",
    id,
    min,
    max,
    step,
    "data-lm-suppress-shortcuts": "true",
    input: () => input(Number(range.value)),
  });
  const row = h("div", { class: "sq-row" }, h("label", { for: id }, label), range, output);
  const show = (now) => {
    if (Number(range.value) !== now) range.value = now;
    set(range, "aria-valuetext", text(now));
    say(output, text(now));
  };
  show(value ?? min);
  return { row, range, output, show };
}
export function choice({ label, options, value, change }) {
  const id = uid();
  const box = h(
    "select",
    { id, "data-lm-suppress-shortcuts": "true", change: () => change(box.value) },
    ...options.map(([key, name]) => h("option", { value: key }, name)),
  );
  box.value = value;
  const row = h("div", { class: "sq-row sq-row-2" }, h("label", { for: id }, label), box);
  return {
    row,
    box,
    show: (now) => {
      box.value = now;
    },
  };
}
export function number({ label, unit, value, change }) {
  const id = uid();
  const box = h("input", {
    type: "number",
    id,
    min: 0,
    step: "any",
    "data-lm-suppress-shortcuts": "true",
    inputmode: "decimal",
    input: () => {
      if (box.value !== "" && box.checkValidity()) change(box.value);
    },
  });
  box.value = value;
  const row = h(
    "div",
    { class: "sq-row sq-row-3" },
    h("label", { for: id }, label),
    box,
    h("span", { "aria-hidden": "true" }, unit),
  );
  return {
    row,
    box,
    show: (now) => {
      if (now === "" || box.value === "" || Number(box.value) !== now) box.value = now;
    },
  };
}
export function check({ label, value, change }) {
  const id = uid();
  const box = h("input", {
    type: "checkbox",
    id,
    "data-lm-suppress-shortcuts": "true",
    change: () => change(box.checked),
  });
  box.checked = value;
  return {
    row: h("div", { class: "sq-check" }, box, h("label", { for: id }, label)),
    box,
    show: (now) => {
      box.checked = now;
    },
  };
}
export const group = (legend, ...children) =>
  h(
    "fieldset",
    { class: `sq-group ${children.length > 2 ? "sq-aligned" : ""}` },
    h("legend", {}, legend),
    ...children,
  );
export const button = (name, click, attributes = {}) =>
  h("button", { type: "button", class: "sq-button", click, ...attributes }, name);

/** A sentence for screen readers, spoken once the reader stops moving. */
export function announcer() {
  let timer;
  const node = h("p", { role: "status", class: "sq-hidden" });
  return {
    node,
    say: (text) => {
      clearTimeout(timer);
      timer = setTimeout(() => say(node, text), 500);
    },
    stop: () => clearTimeout(timer),
  };
}
/** A table; cells hold text or nodes, the first of each row is its header. */
export function table(caption, head, rows) {
  return h(
    "table",
    { class: "sq-table" },
    h("caption", {}, h("span", {}, caption)),
    h("thead", {}, h("tr", {}, ...head.map((name) => h("th", { scope: "col" }, name)))),
    h(
      "tbody",
      {},
      ...rows.map((row) =>
        h(
          "tr",
          {},
          ...row.map((cell, i) => (i ? h("td", {}, cell) : h("th", { scope: "row" }, cell))),
        ),
      ),
    ),
  );
}
