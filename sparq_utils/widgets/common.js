/* Helpers that every explorer is built from. Prepended to each explorer's own file. */
const SVG = "http://www.w3.org/2000/svg";
const TYPES = {
  uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int32: Int32Array,
  uint32: Uint32Array, float32: Float32Array, float64: Float64Array,
};
const uid = () => `sq-${Math.random().toString(36).slice(2, 10)}`;

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}
const h = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const s = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

/** Write only what changed: an unchanged attribute costs no layout. */
function set(node, name, value) {
  const text = String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// ---------------------------------------------------------------- data
/** The named arrays of an explorer; see pack() in base.py. */
async function unpack(model) {
  const contents = model.get("contents"), data = model.get("data");
  const names = Object.keys(contents ?? {});
  if (!names.length || !data?.byteLength) throw new Error("its data is missing");
  const bytes = await inflate(data).catch(() => { throw new Error("its data is damaged"); });
  const arrays = {};
  let offset = 0;
  for (const name of names) {
    const { dtype, length } = contents[name], Type = TYPES[dtype], size = Type.BYTES_PER_ELEMENT;
    if (offset + size * length > bytes.length) throw new Error("its data is cut short");
    const whole = new Uint8Array(size * length);
    for (let plane = 0; plane < size; plane++) {
      for (let i = 0; i < length; i++) whole[i * size + plane] = bytes[offset++];
    }
    arrays[name] = new Type(whole.buffer);
  }
  return arrays;
}
async function inflate(data) {
  const view = new Uint8Array(data.buffer ?? data, data.byteOffset ?? 0, data.byteLength);
  const stream = new Blob([view]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// ---------------------------------------------------------------- words and numbers
const PREFIXES = [[1e-12, "p"], [1e-9, "n"], [1e-6, "\u00b5"], [1e-3, "m"], [1, ""], [1e3, "k"], [1e6, "M"], [1e9, "G"]];
/** A number with its unit and metric prefix, three digits: 1.23 µJ, 341 k. */
function metric(value, unit = "", digits = 3) {
  if (!(Math.abs(value) > 0)) return `0 ${unit}`.trim();
  let [scale, prefix] = PREFIXES[0];
  for (const [size, name] of PREFIXES) {
    if (Number(Math.abs(value).toPrecision(digits)) >= size) [scale, prefix] = [size, name];
  }
  return `${Number((value / scale).toPrecision(digits))} ${prefix}${unit}`.trim();
}
const percent = (share, digits = 2) => `${(100 * share).toFixed(digits)} %`;

// ---------------------------------------------------------------- controls
/** One labelled range input in a 44-pixel row; show(value, text) moves it without an event. */
function slider({ label, min, max, step, value, text = String, input }) {
  const id = uid();
  const output = h("span", { class: "sq-value", "aria-hidden": "true" });
  const range = h("input", {
    type: "range", id, min, max, step, "data-lm-suppress-shortcuts": "true",
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
function choice({ label, options, value, change }) {
  const id = uid();
  const box = h("select", { id, "data-lm-suppress-shortcuts": "true", change: () => change(box.value) },
    ...options.map(([key, name]) => h("option", { value: key }, name)));
  box.value = value;
  const row = h("div", { class: "sq-row sq-row-2" }, h("label", { for: id }, label), box);
  return { row, box, show: (now) => { box.value = now; } };
}
function number({ label, unit, value, change }) {
  const id = uid();
  const box = h("input", {
    type: "number", id, min: 0, step: "any", "data-lm-suppress-shortcuts": "true", inputmode: "decimal",
    input: () => { if (box.value !== "" && box.checkValidity()) change(box.value); },
  });
  box.value = value;
  const row = h("div", { class: "sq-row sq-row-3" }, h("label", { for: id }, label), box, h("span", { "aria-hidden": "true" }, unit));
  return { row, box, show: (now) => { if (now === "" || box.value === "" || Number(box.value) !== now) box.value = now; } };
}
function check({ label, value, change }) {
  const id = uid();
  const box = h("input", { type: "checkbox", id, "data-lm-suppress-shortcuts": "true", change: () => change(box.checked) });
  box.checked = value;
  return { row: h("div", { class: "sq-check" }, box, h("label", { for: id }, label)), box, show: (now) => { box.checked = now; } };
}
const group = (legend, ...children) => h("fieldset", { class: `sq-group ${children.length > 2 ? "sq-aligned" : ""}` }, h("legend", {}, legend), ...children);
const button = (name, click, attributes = {}) => h("button", { type: "button", class: "sq-button", click, ...attributes }, name);

/** A sentence for screen readers, spoken once the reader stops moving. */
function announcer() {
  let timer;
  const node = h("p", { role: "status", class: "sq-hidden" });
  return {
    node,
    say: (text) => { clearTimeout(timer); timer = setTimeout(() => say(node, text), 500); },
    stop: () => clearTimeout(timer),
  };
}
/** A table; cells hold text or nodes, the first of each row is its header. */
function table(caption, head, rows) {
  return h("table", { class: "sq-table" }, h("caption", {}, h("span", {}, caption)),
    h("thead", {}, h("tr", {}, ...head.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map((cell, i) =>
      i ? h("td", {}, cell) : h("th", { scope: "row" }, cell))))));
}

// ---------------------------------------------------------------- plots
/** Round values inside [low, high]: steps of 1, 2 or 5, or decades (with 2 and 5 if few). */
function ticks(low, high, log, count = 5) {
  const found = [];
  if (log) {
    const decades = Math.log10(high / low);
    const parts = decades > 4 ? [1] : decades > 2 ? [1, 3] : [1, 2, 5];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
      for (const part of parts) found.push(Number(`${part}e${power}`));
    }
  } else {
    const rough = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((part) => part * power >= rough) * power;
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(i * step || 0);
  }
  return found.filter((value) => value >= low * (1 - 1e-9) - (log ? 0 : 1e-9) && value <= high * (1 + 1e-9) + (log ? 0 : 1e-9));
}
/** An SVG plot with axes that can be redrawn: frame.axes({x, y}) gives the scales px, py. */
function frame({ title, width = 520, height = 320, left = 80, right = 16, top = 14, bottom = 46 }) {
  const id = uid();
  const grid = s("g", { class: "sq-axis" }), marks = s("g");
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-labelledby": id, class: "sq-plot" },
    s("title", { id }, title), grid, marks);
  const scale = ({ low, high, log }, from, to) => {
    const a = log ? Math.log(low) : low, span = (log ? Math.log(high) : high) - a || 1;
    return (value) => from + (((log ? Math.log(value) : value) - a) / span) * (to - from);
  };
  function axes({ x, y }) {
    const px = scale(x, left, width - right), py = scale(y, height - bottom, top);
    grid.replaceChildren(s("path", { d: `M${left},${top}V${height - bottom}H${width - right}` }));
    for (const value of x.at ?? ticks(x.low, x.high, x.log, x.count)) {
      grid.append(s("path", { class: "sq-grid", d: `M${px(value)},${top}V${height - bottom}` }),
        s("text", { x: px(value), y: height - bottom + 17, "text-anchor": "middle" }, x.text(value)));
    }
    for (const value of ticks(y.low, y.high, y.log, y.count)) {
      grid.append(s("path", { class: "sq-grid", d: `M${left},${py(value)}H${width - right}` }),
        s("text", { x: left - 7, y: py(value) + 4, "text-anchor": "end" }, y.text(value)));
    }
    grid.append(
      s("text", { x: (left + width - right) / 2, y: height - 7, "text-anchor": "middle", class: "sq-name" }, x.name),
      s("text", { transform: `translate(11 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle", class: "sq-name" }, y.name));
    return { px, py };
  }
  return { svg, marks, axes, left, right, top, bottom, width, height };
}
const line = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(2)},${y.toFixed(2)}`).join("");

// ---------------------------------------------------------------- life cycle
/** Wrap an explorer's build function: what goes wrong is said in the page, with the way out. */
function explorer(build) {
  return {
    async render({ model, el }) {
      const root = h("div", { class: "sq" });
      el.append(root);
      try {
        return await build({ model, root });
      } catch (error) {
        console.error("[sparq explorer]", error);
        root.classList.add("sq-broken");
        root.setAttribute("role", "alert");
        root.replaceChildren(h("p", {}, `This explorer cannot be shown: ${error.message}. `
          + "On the page: build the book again with 'make book'. In JupyterLab: run its cell again."));
      }
    },
  };
}
/** Watch traits and tidy up afterwards; returns the clean-up function. */
function watch(model, watchers, ...stops) {
  for (const [names, act] of Object.entries(watchers)) {
    for (const name of names.split(" ")) model.on(`change:${name}`, act);
  }
  return () => {
    for (const stop of stops) stop();
    for (const [names, act] of Object.entries(watchers)) {
      for (const name of names.split(" ")) model.off(`change:${name}`, act);
    }
  };
}
function send(model, values) {
  for (const [name, value] of Object.entries(values)) model.set(name, value);
  model.save_changes();
}
