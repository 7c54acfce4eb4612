/* A photo of the reader's own, made as small as the network's pictures; it stays in the page. */

/** A canvas with a square part of an image, shrunk by halves: each pixel an average of many. */
function shrunk(source, left, top, side, wanted) {
  let [from, x, y, size] = [source, left, top, side];
  for (;;) {
    const next = Math.max(wanted, Math.floor(size / 2));
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = next;
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.fillStyle = "#fff"; // behind what is transparent
    context.fillRect(0, 0, next, next);
    context.drawImage(from, x, y, size, size, 0, 0, next, next);
    if (next === wanted) return context;
    [from, x, y, size] = [canvas, 0, 0, next];
  }
}
/** The middle square of a picture file as [side * side * 3] bytes, red, green, blue.
    Throws for a file that is no picture this browser can read. */
export async function pixelsOf(file, side) {
  const photo = await createImageBitmap(file).catch(() => {
    throw new Error(`${file.name || "This"} is no picture that your browser can read`);
  });
  const edge = Math.min(photo.width, photo.height);
  const context = shrunk(photo, (photo.width - edge) / 2, (photo.height - edge) / 2, edge, side);
  photo.close();
  const { data } = context.getImageData(0, 0, side, side); // red, green, blue, opacity
  return Uint8Array.from({ length: side * side * 3 }, (_, i) => {
    const pixel = Math.floor(i / 3);
    return data[4 * pixel + (i % 3)];
  });
}
