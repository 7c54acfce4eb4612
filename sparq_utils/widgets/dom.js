/* Elements, words and numbers. */
const SVG = "http://www.w3.org/2000/svg";
export const uid = () => `sq-${Math.random().toString(36).slice(2, 10)}`;

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}
export const h = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);
export const s = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

/** Write only what changed: an unchanged attribute costs no layout. */
export function set(node, name, value) {
  const text = String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const PREFIXES = [
  [1e-12, "p"],
  [1e-9, "n"],
  [1e-6, "\u00b5"],
  [1e-3, "m"],
  [1, ""],
  [1e3, "k"],
  [1e6, "M"],
  [1e9, "G"],
];
/** A number with its unit and metric prefix, three digits: 1.23 µJ, 341 k. */
export function metric(value, unit = "", digits = 3) {
  if (!(Math.abs(value) > 0)) return `0 ${unit}`.trim();
  let [scale, prefix] = PREFIXES[0];
  for (const [size, name] of PREFIXES) {
    if (Number(Math.abs(value).toPrecision(digits)) >= size) [scale, prefix] = [size, name];
  }
  return `${Number((value / scale).toPrecision(digits))} ${prefix}${unit}`.trim();
}
export const percent = (share, digits = 2) => `${(100 * share).toFixed(digits)} %`;
