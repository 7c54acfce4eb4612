/* Spikes on their way through the layers, a step at a time, until an exit is sure. */
import { button, slider } from "./controls.js";
import { h, percent, say, set } from "./dom.js";
import { mosaic, paint } from "./pictures.js";
import { exitName } from "./prices.js";

const PAUSE_MS = 130; // between two frames
const DECISION_MS = 650; // time to read what an exit says

/** The frames of a run: each layer at each step, exit after exit, then what that exit says. */
function framesOf(layers, exits, timesteps) {
  return Array.from({ length: exits }, (_, exit) => {
    const own = layers.flatMap((layer, i) => (layer.exit === exit ? [i] : []));
    const steps = Array.from({ length: timesteps }, (__, step) =>
      own.map((layer) => ({ exit, step, layer })),
    );
    return [...steps.flat(), { exit, decides: true }];
  });
}
/** A layer's size in words: 16 x 10 x 10, or 120. */
const sizeOf = ([height, width, channels]) =>
  height * width > 1 ? [channels, height, width].join(" \u00d7 ") : channels;
/** How often each neuron has spiked after 0, 1, ... T steps, as opacity: [T + 1] arrays. */
function opacities({ steps }) {
  const sums = [new Float32Array(steps[0].length)];
  for (const step of steps) sums.push(sums.at(-1).map((sum, i) => sum + step[i]));
  return sums.map((sum) => Uint8Array.from(sum, (n) => (n ? 60 + (195 * n) / steps.length : 0)));
}

/** One leg per exit, and a player; `arrived` hears if it stands at its end, and else where;
    `named` names a class. */
export function journey(exits, timesteps, arrived, named) {
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let legs = null,
    frames = [],
    now = 0,
    timer = null,
    found = null,
    colours = [];
  const road = h("ol", { class: "sq-road" });
  const knob = slider({
    label: "Step",
    min: 0,
    max: 1,
    step: 1,
    text: () => spokenPlace(),
    input: (place) => {
      stop();
      go(place);
    },
  });
  const playing = button("Play", () => (timer ? stop() : play()));
  const step = button("Step", () => {
    stop();
    go(now >= frames.length ? 0 : now + 1);
  });
  const player = h("div", { class: "sq-player" }, playing, step, knob.row);

  function spokenPlace() {
    const frame = frames[now - 1];
    if (!frame) return "start";
    const exit = exitName(frame.exit, exits);
    return frame.decides ? exit : `${exit}, step ${frame.step + 1} of ${timesteps}`;
  }
  function build(layers) {
    legs = Array.from({ length: exits }, (_, exit) => {
      const own = layers.flatMap((layer, i) => (layer.exit === exit ? [{ ...layer, i }] : []));
      const pictures = own.map(({ i, shape }) => ({
        i,
        canvas: h("canvas", { class: "sq-spikes", title: `${sizeOf(shape)} neurons` }),
        shown: -1,
      }));
      const bar = h("span", { class: "sq-fill" }),
        mark = h("span", { class: "sq-mark-line" }),
        text = h("span", { class: "sq-gate-text" });
      const gauge = h("span", { class: "sq-gauge" }, bar, mark);
      const node = h(
        "li",
        { class: "sq-leg" },
        h("span", { class: "sq-leg-name" }, exitName(exit, exits)),
        h("div", { class: "sq-layers" }, ...pictures.map(({ canvas }) => canvas)),
        h("div", { class: "sq-gate" }, gauge, text),
      );
      road.append(node);
      return { node, pictures, bar, mark, text };
    });
  }
  /** Draw the run as it is after `place` frames. */
  function go(place) {
    now = Math.min(place, frames.length);
    const current = frames[now - 1];
    legs.forEach((leg, exit) => {
      const past = frames.slice(0, now).filter((frame) => frame.exit === exit);
      for (const picture of leg.pictures) {
        const steps = past.filter(({ layer }) => layer === picture.i).length;
        const wanted = found ? steps : -2;
        if (picture.shown === wanted) continue;
        picture.shown = wanted;
        const { shape, ink } = found?.layers[picture.i] ?? {
          shape: [1, 1, 1],
          ink: [new Uint8Array(1)],
        };
        paint(picture.canvas, ...mosaic(shape, ink[Math.max(0, steps)]), colours[exit]);
      }
      for (const { canvas, i } of leg.pictures) {
        canvas.classList.toggle("sq-firing", now < frames.length && current?.layer === i);
      }
      const decided = past.some(({ decides }) => decides),
        answer = found?.answers[exit];
      leg.bar.style.width = decided ? `${100 * answer.confidence}%` : "0";
      leg.node.classList.toggle("sq-chosen", decided && exit === found.leaves);
      leg.node.classList.toggle("sq-unused", !found || exit > found.leaves);
      const unused = found && exit > found.leaves && now >= frames.length;
      const text = decided
        ? `${named(answer.prediction)}, ${percent(answer.confidence, 0)} sure`
        : "";
      say(leg.text, unused ? "not needed" : text);
    });
    if (Number(knob.range.max) !== frames.length) set(knob.range, "max", frames.length);
    knob.show(now);
    arrived(now >= frames.length, `On the way: ${spokenPlace()}.`);
  }
  function play() {
    if (now >= frames.length) go(0);
    say(playing, "Pause");
    const next = () => {
      go(now + 1);
      const wait = frames[now - 1]?.decides ? DECISION_MS : PAUSE_MS;
      if (now < frames.length) timer = setTimeout(next, wait);
      else stop();
    };
    timer = setTimeout(next, PAUSE_MS);
  }
  function stop() {
    clearTimeout(timer);
    timer = null;
    say(playing, "Play");
  }
  return {
    road,
    player,
    stop,
    /** A run and where it leaves, or null for an empty pad; it stands at its end. */
    show(run, leaves, thresholds) {
      stop();
      if (!legs && run) build(run.layers);
      if (!legs) return;
      found = run && {
        answers: run.answers,
        leaves,
        layers: run.layers.map((layer) => ({ shape: layer.shape, ink: opacities(layer) })),
      };
      frames = run
        ? framesOf(run.layers, exits, timesteps)
            .slice(0, leaves + 1)
            .flat()
        : [];
      for (const leg of legs) for (const picture of leg.pictures) picture.shown = -1;
      legs.forEach((leg, exit) => {
        leg.mark.hidden = exit === exits - 1;
        leg.mark.style.left = `${100 * (thresholds[exit] ?? 1)}%`;
      });
      for (const control of [playing, step, knob.range]) control.disabled = !run;
      go(frames.length);
    },
    colours(list) {
      colours = list;
      for (const leg of legs ?? []) for (const picture of leg.pictures) picture.shown = -1;
      if (legs) go(now);
    },
    /** From the start, unless the reader asked for less motion. */
    replay() {
      if (still.matches || !frames.length) return;
      go(0);
      play();
    },
  };
}
