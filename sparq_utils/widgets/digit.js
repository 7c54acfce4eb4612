/* The digit explorer: draw or pick a digit, and see where the network is sure of it. */
import { button, slider } from "./controls.js";
import { h, say } from "./dom.js";
import { atWork } from "./live.js";
import { centred, pad } from "./pad.js";
import { colourOf, paint } from "./pictures.js";
import { explorer, send, unpack } from "./state.js";

/** Digits to pick from: a button per kind, pressed again it shows the next; else a slider. */
function picker(model, arrays, area, choose) {
  const kinds = model.get("kinds"),
    side = Math.sqrt(area);
  if (!kinds.length) {
    const knob = slider({
      label: "Test digit",
      min: 0,
      max: arrays.labels.length - 1,
      step: 1,
      text: (i) => (i < 0 ? "" : `no. ${i + 1}, a ${arrays.labels[i]}`),
      input: choose,
    });
    return { nodes: [knob.row], show: (picked) => picked >= 0 && knob.show(picked), ink() {} };
  }
  const buttons = kinds.map(({ name, digits }) => {
    const face = h("canvas", { class: "sq-face", "aria-hidden": "true" });
    const press = () => {
      const at = digits.indexOf(model.get("picked"));
      choose(digits[(at + 1) % digits.length]);
    };
    const one = button("", press, { "aria-pressed": "false" });
    one.append(face, name);
    return { one, face, digits, shown: digits[0] };
  });
  let colour = [0, 0, 0];
  const draw = ({ face, shown }) =>
    paint(face, side, side, (x, y) => arrays.images[shown * area + y * side + x], colour);
  return {
    nodes: [h("div", { class: "sq-buttons sq-kinds" }, ...buttons.map(({ one }) => one))],
    show: (picked) => {
      for (const kind of buttons) {
        const mine = kind.digits.includes(picked);
        kind.one.setAttribute("aria-pressed", mine);
        if (mine) kind.shown = picked;
        draw(kind);
      }
    },
    ink: (given) => {
      colour = given;
      buttons.forEach(draw);
    },
  };
}

async function build({ model, root }) {
  const arrays = await unpack(model),
    side = model.get("network").input_shape[1],
    area = side * side;
  const view = (bytes) => new DataView(bytes.buffer);

  const sheet = pad(side, {
    started(drawn) {
      if (model.get("picked") >= 0) drawn.fill(0); // a stroke over a test digit begins anew
    },
    changed(drawn) {
      if (drawn) send(model, { picked: -1, image: view(centred(drawn, side)) });
      else face(); // the keyboard's pen moved
    },
    ended: () => live.trip.replay(),
    cleared: () => clear(),
  });
  const clear = () => {
    sheet.clear();
    send(model, { picked: -1, image: view(new Uint8Array(area)) });
  };
  const choose = (index) => {
    sheet.clear();
    const image = view(arrays.images.slice(index * area, (index + 1) * area));
    send(model, { picked: index, image });
    live.trip.replay();
  };
  const picks = picker(model, arrays, area, choose);
  const label = h("p", { class: "sq-note" });
  /** The pad shows the test digit, or what was drawn as it was drawn. */
  function face() {
    const own = model.get("picked") < 0 && sheet.drawn.some((ink) => ink);
    const shown = own ? sheet.drawn : live.pixels(),
      pen = sheet.pen();
    const near = (x, y) => pen && Math.hypot(y - pen.at[0], x - pen.at[1]) < 1.2;
    const ink = (x, y) => (near(x, y) ? (pen.down ? 255 : 130) : shown[y * side + x]);
    paint(sheet.canvas, side, side, ink, colourOf(root, "--ink"));
  }
  const live = await atWork({
    model,
    root,
    arrays,
    empty: "Draw a digit, or pick one: nothing to answer yet.",
    named: String,
    refresh(run) {
      const picked = model.get("picked");
      const whose =
        picked >= 0 ? `A test digit, labelled ${arrays.labels[picked]}.` : "Your drawing.";
      say(label, run ? whose : "Draw here.");
      face();
      picks.show(picked);
    },
    recoloured() {
      picks.ink(colourOf(root, "--ink"));
      face();
    },
  });
  const anew = h("div", { class: "sq-buttons" }, button("Clear and draw", clear));
  return live.start(sheet.canvas, label, ...picks.nodes, anew);
}

export default explorer(build);
