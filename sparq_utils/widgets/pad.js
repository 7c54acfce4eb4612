/* A pad to draw a digit on: mouse, finger or keyboard. */
import { h } from "./dom.js";

const PEN = 1.35; // radius of the pen, in pixels of the digit
const HELP =
  "Drawing pad. Draw with mouse or finger. By keyboard: arrow keys move the pen, " +
  "Space puts it down or lifts it, Delete clears.";

/** Scale a drawing into a 20 x 20 box and centre its mass, as MNIST's digits were made. */
export function centred(drawn, side) {
  let [top, left, bottom, right] = [side, side, -1, -1];
  drawn.forEach((ink, i) => {
    if (ink < 40) return;
    const y = Math.floor(i / side),
      x = i % side;
    [top, left, bottom, right] = [
      Math.min(top, y),
      Math.min(left, x),
      Math.max(bottom, y),
      Math.max(right, x),
    ];
  });
  if (bottom < 0) return new Uint8Array(side * side);
  const stretch = (side * 20) / 28 / Math.max(bottom - top + 1, right - left + 1);
  const sample = (y, x) => (y < 0 || x < 0 || y >= side || x >= side ? 0 : drawn[y * side + x]);
  const at = (y, x) => {
    const y0 = Math.floor(y),
      x0 = Math.floor(x),
      fy = y - y0,
      fx = x - x0;
    return (
      (sample(y0, x0) * (1 - fx) + sample(y0, x0 + 1) * fx) * (1 - fy) +
      (sample(y0 + 1, x0) * (1 - fx) + sample(y0 + 1, x0 + 1) * fx) * fy
    );
  };
  let mass = 0,
    my = 0,
    mx = 0;
  drawn.forEach((ink, i) => {
    mass += ink;
    my += ink * Math.floor(i / side);
    mx += ink * (i % side);
  });
  const middle = (side - 1) / 2;
  return Uint8Array.from({ length: side * side }, (_, i) =>
    Math.round(
      at(
        my / mass + (Math.floor(i / side) - middle) / stretch,
        mx / mass + ((i % side) - middle) / stretch,
      ),
    ),
  );
}

/** A canvas to draw on; the pen leaves soft edges. `changed` hears of every stroke. */
export function pad(side, { started, changed, ended, cleared }) {
  const drawn = new Uint8Array(side * side);
  const canvas = h("canvas", {
    width: side,
    height: side,
    class: "sq-pad",
    role: "application",
    "aria-roledescription": "drawing pad",
    "aria-label": HELP,
    tabindex: 0,
    "data-lm-suppress-shortcuts": "true",
  });
  const middle = (side - 1) / 2;
  let last = null; // where the pen touched last, while it is down
  let keys = null; // where the keyboard's pen is, once it was used

  const dab = (y, x) => {
    for (let row = Math.max(0, Math.floor(y - 3)); row <= Math.min(side - 1, y + 3); row++) {
      for (
        let column = Math.max(0, Math.floor(x - 3));
        column <= Math.min(side - 1, x + 3);
        column++
      ) {
        const ink = 255 * Math.min(1, Math.max(0, PEN + 0.5 - Math.hypot(row - y, column - x)));
        drawn[row * side + column] = Math.max(drawn[row * side + column], ink);
      }
    }
  };
  function stroke(y, x) {
    const [y0, x0] = last ?? [y, x];
    const count = Math.ceil(Math.hypot(y - y0, x - x0) * 2) || 1;
    for (let i = 1; i <= count; i++) dab(y0 + ((y - y0) * i) / count, x0 + ((x - x0) * i) / count);
    last = [y, x];
    changed(drawn);
  }
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [
      ((event.clientY - box.top) / box.height) * side - 0.5,
      ((event.clientX - box.left) / box.width) * side - 0.5,
    ];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    started(drawn);
    [last, keys] = [null, null];
    stroke(...place(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (last && !keys) stroke(...place(event));
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, () => {
      if (last && !keys) {
        last = null;
        ended();
      }
    });
  }
  const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    const move = MOVES[event.key];
    if (move) {
      const [y, x] = keys ?? [middle, middle];
      keys = [y + move[0], x + move[1]].map((at) => Math.min(side - 2, Math.max(1, at)));
      if (last) stroke(...keys);
      else changed(null);
    } else if (event.key === " ") {
      keys ??= [middle, middle];
      if (last) {
        last = null;
        ended();
      } else {
        started(drawn);
        stroke(...keys);
      }
    } else if (event.key === "Delete" || event.key === "Backspace") {
      cleared();
    } else return;
    event.preventDefault();
  });
  return {
    canvas,
    drawn,
    clear: () => {
      drawn.fill(0);
      last = null;
    },
    pen: () => keys && { at: keys, down: last !== null },
  };
}
