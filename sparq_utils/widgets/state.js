/* What an explorer reads, and how it lives: arrays unpacked, traits watched, errors said. */
import { h } from "./dom.js";

const TYPES = {
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  float32: Float32Array,
  float64: Float64Array,
};
/** The named arrays of an explorer; see pack() in base.py. */
export async function unpack(model) {
  const contents = model.get("contents"),
    data = model.get("data");
  const names = Object.keys(contents ?? {});
  if (!names.length || !data?.byteLength) throw new Error("its data is missing");
  const bytes = await inflate(data).catch(() => {
    throw new Error("its data is damaged");
  });
  const arrays = {};
  let offset = 0;
  for (const name of names) {
    const { dtype, length } = contents[name],
      Type = TYPES[dtype],
      size = Type.BYTES_PER_ELEMENT;
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

/** Wrap an explorer's build function: what goes wrong is said in the page, with the way out. */
export function explorer(build) {
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
        root.replaceChildren(
          h(
            "p",
            {},
            `This explorer cannot be shown: ${error.message}. ` +
              "On the page: build the book again with 'make book'. " +
              "In JupyterLab: run its cell again.",
          ),
        );
      }
    },
  };
}
/** Watch traits and tidy up afterwards; returns the clean-up function. */
export function watch(model, watchers, ...stops) {
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
export function send(model, values) {
  for (const [name, value] of Object.entries(values)) model.set(name, value);
  model.save_changes();
}
