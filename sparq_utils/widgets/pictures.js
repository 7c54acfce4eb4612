/* Layers as pictures: one pixel per neuron. */
import { h } from "./dom.js";

/** Paint width x height pixels in one colour; ink(x, y) is the opacity, 0 to 255. */
export function paint(canvas, width, height, ink, [r, g, b]) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d"),
    image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    image.data.set([r, g, b, ink(i % width, Math.floor(i / width))], 4 * i);
  }
  context.putImageData(image, 0, 0);
}
/** Channels side by side: [width, height, ink(x, y)] of one layer's values, channels last. */
export function mosaic([height, width, channels], values) {
  const across = Math.ceil(Math.sqrt(channels * 1.6)),
    down = Math.ceil(channels / across),
    gap = height * width > 1 ? 1 : 0;
  const ink = (x, y) => {
    const c = Math.floor(y / (height + gap)) * across + Math.floor(x / (width + gap)),
      row = y % (height + gap),
      column = x % (width + gap);
    if (c >= channels || row === height || column === width) return 0;
    return values[(row * width + column) * channels + c];
  };
  return [across * (width + gap) - gap, down * (height + gap) - gap, ink];
}
/** A colour of the style sheet as [red, green, blue]. */
export function colourOf(root, name) {
  const probe = h("span", { style: `color:var(${name})`, hidden: true });
  root.append(probe);
  const found = getComputedStyle(probe)
    .color.match(/[\d.]+/g)
    .slice(0, 3)
    .map(Number);
  probe.remove();
  return found;
}
