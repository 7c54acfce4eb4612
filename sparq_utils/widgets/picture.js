/* The picture explorer: drop a photo or pick a picture, and see where the network is sure of it. */
import { button } from "./controls.js";
import { h, say, uid } from "./dom.js";
import { atWork } from "./live.js";
import { pixelsOf } from "./photo.js";
import { explorer, send, unpack } from "./state.js";

/** Paint bytes of red, green, blue on a canvas of side x side pixels. */
function paintColours(canvas, side, bytes) {
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d"),
    image = context.createImageData(side, side);
  for (let i = 0; i < side * side; i++) {
    image.data.set([bytes[3 * i], bytes[3 * i + 1], bytes[3 * i + 2], 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
}

async function build({ model, root }) {
  const arrays = await unpack(model),
    side = model.get("network").input_shape[1],
    bytes = side * side * 3,
    classes = model.get("classes");
  const named = (index) => classes[index];
  const imageOf = (index) => arrays.images.slice(index * bytes, (index + 1) * bytes);
  const show = (picked, pixels) => {
    send(model, { picked, image: new DataView(pixels.buffer) });
    live.trip.replay();
  };
  async function take(file) {
    try {
      show(-1, await pixelsOf(file, side));
    } catch (error) {
      say(label, `${error.message}: try a JPEG or a PNG.`);
    }
  }

  const canvas = h("canvas", { class: "sq-photo", role: "img" });
  const label = h("p", { class: "sq-note", role: "status" });
  const id = uid();
  const file = h("input", {
    type: "file",
    accept: "image/*",
    id,
    class: "sq-file",
    change: () => file.files.length && take(file.files[0]).then(() => (file.value = "")),
  });
  const drop = h(
    "div",
    {
      class: "sq-drop",
      dragover: (event) => {
        event.preventDefault();
        drop.classList.add("sq-over");
      },
      dragleave: () => drop.classList.remove("sq-over"),
      drop: (event) => {
        event.preventDefault();
        drop.classList.remove("sq-over");
        if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
      },
    },
    canvas,
    h("label", { for: id, class: "sq-choose" }, "Drop a photo here, or choose one"),
    file,
  );
  const faces = Array.from({ length: arrays.labels.length }, (_, index) => {
    const face = h("canvas", { class: "sq-face", "aria-hidden": "true" });
    paintColours(face, side, imageOf(index));
    const one = button("", () => show(index, imageOf(index)), {
      "aria-pressed": "false",
      "aria-label": `Test picture ${index + 1}, ${named(arrays.labels[index])}`,
      title: named(arrays.labels[index]),
    });
    one.append(face);
    return one;
  });
  const live = await atWork({
    model,
    root,
    arrays,
    empty: "Drop a photo, or pick a picture: nothing to answer yet.",
    named,
    refresh(run) {
      const picked = model.get("picked");
      const what =
        picked >= 0 ? `A test picture, labelled ${named(arrays.labels[picked])}` : "Your photo";
      const text = run ? `${what}, as the network sees it: ${side} \u00d7 ${side} pixels.` : "";
      say(label, text);
      canvas.setAttribute("aria-label", run ? text : "No picture yet");
      paintColours(canvas, side, live.pixels());
      faces.forEach((one, index) => one.setAttribute("aria-pressed", index === picked));
    },
  });
  return live.start(drop, label, h("div", { class: "sq-buttons sq-faces" }, ...faces));
}

export default explorer(build);
