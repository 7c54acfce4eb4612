/* The break-even explorer: one knob at a time, and who needs less energy. */
import { announcer, button, choice, group, slider } from "./controls.js";
import { h, metric, percent, s, say, set } from "./dom.js";
import { frame, line } from "./plot.js";
import { priceControls } from "./prices.js";
import { explorer, send, watch } from "./state.js";

/** Modelled joules per image out of terms: energy_j of break_even.py, product for product. */
function joulesOf(terms, price, knobs) {
  const factors = { ...knobs, level_bits: Math.floor(Math.log2(knobs.timesteps)) + 1 };
  let total = 0;
  for (const { amount, price: name, times } of terms) {
    let value = amount * price[name];
    for (const factor of times) value *= factors[factor];
    total += value;
  }
  return total;
}
/** What both need, and the spike rate at which they meet: BreakEvenExplorer.point. */
function pointOf({ spiking, opponent }, price, knobs) {
  const at = (rate) => joulesOf(spiking, price, { ...knobs, rate });
  const silent = at(0),
    theirs = joulesOf(opponent, price, knobs),
    slope = at(1) - silent;
  const even = slope ? (theirs - silent) / slope : Infinity;
  return {
    spiking_j: at(knobs.rate),
    opponent_j: theirs,
    break_even: silent < theirs ? even : 0,
  };
}
function verdict({ spiking_j, opponent_j, break_even }) {
  const wins = spiking_j < opponent_j,
    [less, more] = wins ? [spiking_j, opponent_j] : [opponent_j, spiking_j];
  const who = wins ? "The spike wins" : "The opponent wins",
    saved = percent(1 - less / more, 0),
    amounts = `${metric(less, "J")} against ${metric(more, "J")}, ${saved} less`;
  const rate = percent(break_even, 1);
  if (!break_even) return `${who}: ${amounts}. The spiking network would lose in silence too.`;
  if (break_even >= 1) return `${who}: ${amounts}. It wins at any spike rate.`;
  return `${who}: ${amounts}. The spike wins below ${rate} spikes per neuron and step.`;
}

/** Energy against spike rate: the spiking network rises, its opponent does not. */
function plotOf() {
  const title = "Modelled energy against spike rate: the spiking network and its opponent";
  const plot = frame({ title, height: 340 });
  const spiking = s("path", { class: "sq-curve", stroke: "var(--exit-0)" }),
    opponent = s("path", { class: "sq-curve", stroke: "var(--exit-1)", "stroke-dasharray": "8 5" }),
    even = s("path", { class: "sq-dash" }),
    now = s("circle", { class: "sq-now", r: 8 });
  const names = ["spiking", "opponent", "break-even"].map((name) =>
    s("text", { class: "sq-name" }, name),
  );
  plot.marks.append(even, spiking, opponent, now, ...names);
  return (high, at, point, rate) => {
    const most = 1.15 * Math.max(at(high), point.opponent_j) || 1;
    const { px, py } = plot.axes({
      x: { low: 0, high, text: (v) => percent(v, 0), name: "spikes per neuron and step" },
      y: { low: 0, high: most, text: (v) => metric(v, "J"), name: "modelled energy per image" },
    });
    set(spiking, "d", line([0, high].map((x) => [px(x), py(at(x))])));
    set(opponent, "d", line([0, high].map((x) => [px(x), py(point.opponent_j)])));
    set(now, "cx", px(Math.min(rate, high)));
    set(now, "cy", py(at(Math.min(rate, high))));
    const shown = point.break_even > 0 && point.break_even < high,
      x = px(point.break_even);
    set(even, "d", shown ? `M${x},${plot.top}V${plot.height - plot.bottom}` : "");
    set(names[2], "visibility", shown ? "visible" : "hidden");
    const places = [
      [px(high) - 4, py(at(high)) - 7, "end"],
      [px(0) + 6, py(point.opponent_j) - 7, "start"],
      [x + 5, plot.top + 12, "start"],
    ];
    names.forEach((name, i) => {
      ["x", "y", "text-anchor"].forEach((key, j) => set(name, key, places[i][j]));
    });
    return plot;
  };
}

async function build({ model, root }) {
  const rivals = model.get("rivals"),
    memories = model.get("memories"),
    spoken = announcer(),
    priced = priceControls(model);
  const chosen = () => rivals[model.get("selected")];
  const network = choice({
    label: "Network",
    options: Object.keys(rivals).map((label) => [label, label]),
    value: model.get("selected"),
    change: (selected) => send(model, { ...rivals[selected].recorded, selected }),
  });
  const memory = choice({
    label: "Memory model",
    options: memories.map(({ name }) => [name, name.replaceAll("-", " ")]),
    value: model.get("memory"),
    change: (value) => send(model, { memory: value }),
  });
  const knob = (name, label, max, text, scale = 1) =>
    slider({
      label,
      min: name === "rate" ? 0 : 1,
      max,
      step: 1,
      text: (value) => text(value / scale),
      input: (value) => send(model, { [name]: value / scale }),
    });
  const rate = knob("rate", "Spike rate", 400, (value) => percent(value, 2), 1000),
    steps = knob("timesteps", "Timesteps T", 15, (value) => `T = ${value}`),
    bits = knob("bits", "Bits of a weight", 32, String);
  const byte = slider({
    label: "Price of a byte",
    min: -20,
    max: 30,
    step: 1,
    text: (tenths) => `${Number((10 ** (tenths / 10)).toPrecision(3))} pJ`,
    input(tenths) {
      const byte_j = Number((10 ** (tenths / 10)).toPrecision(3)) * 1e-12;
      const each = Object.entries(model.get("constants"));
      const constants = Object.fromEntries(
        each.map(([key, joules]) => [key, { ...joules, byte_j }]),
      );
      send(model, { constants });
    },
  });
  const again = button("As recorded", () => send(model, { ...chosen().recorded }));
  const about = h("p", { class: "sq-note" }),
    sentence = h("p", { class: "sq-verdict" }),
    draw = plotOf(),
    picture = h("div");
  root.append(
    h("div", { class: "sq-bar-of-controls" }, network.row, memory.row),
    about,
    sentence,
    h(
      "div",
      { class: "sq-columns" },
      picture,
      h(
        "div",
        {},
        group("One knob at a time", rate.row, steps.row, bits.row, byte.row, again),
        priced.node,
      ),
    ),
    spoken.node,
  );

  function update() {
    const about_ = chosen(),
      prices = model.get("constants"),
      which = model.get("memory");
    if (!about_) throw new Error(`there is no network '${model.get("selected")}' in it`);
    const knobs = Object.fromEntries(
      ["rate", "timesteps", "bits"].map((name) => [name, model.get(name)]),
    );
    const terms = about_.terms[which],
      price = prices[about_.bits_per_weight],
      point = pointOf(terms, price, knobs);
    network.show(model.get("selected"));
    memory.show(which);
    say(about, memories.find(({ name }) => name === which).about);
    rate.show(Math.round(1000 * knobs.rate * 10) / 10);
    steps.show(knobs.timesteps);
    bits.show(knobs.bits);
    byte.show(Math.max(-20, 10 * Math.log10(price.byte_j * 1e12)));
    priced.show(prices);
    say(sentence, verdict(point));
    const high = Math.min(1, Math.max(0.2, 2 * about_.recorded.rate, knobs.rate));
    const at = (x) => joulesOf(terms.spiking, price, { ...knobs, rate: x });
    picture.replaceChildren(draw(high, at, point, knobs.rate).svg);
    Object.assign(root.dataset, point);
    spoken.say(sentence.textContent);
  }
  update();
  return watch(model, { "selected memory constants rate timesteps bits": update }, spoken.stop);
}

export default explorer(build);
