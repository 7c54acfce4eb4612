/* A network at work in the page: what every exit answers, where it leaves, and what that saved. */
import { announcer, group, slider, table } from "./controls.js";
import { h, metric, percent, say } from "./dom.js";
import { energyParts, energyTotal } from "./energy.js";
import { journey } from "./journey.js";
import { networkOf } from "./module.js";
import { colourOf } from "./pictures.js";
import { exitName, priceControls } from "./prices.js";
import { send, watch } from "./state.js";

/** What a run cost at each exit, per image. */
function spentAt(found, { costs, bits_per_weight }, prices) {
  return found.answers.map(({ acs }, exit) => {
    const { macs, updates, bits } = costs;
    const sums = { macs: macs[exit], acs, updates: updates[exit], bits: bits[exit], samples: 1 };
    const energy = energyTotal(energyParts(sums, prices[bits_per_weight]));
    return { operations: sums.macs + acs, energy };
  });
}

/** One sentence: the answer, where, how sure, and what that saved. */
function verdict({ answers, leaves, spent, label }, exits, named) {
  const { prediction, confidence } = answers[leaves],
    last = leaves === exits - 1;
  const wrong =
    label !== null && label !== prediction ? ` (wrong: it is labelled ${named(label)})` : "";
  const who = last ? "The last exit" : `Exit ${leaves + 1}`,
    says = `${who} says ${named(prediction)}${wrong}, ${percent(confidence, 0)} sure`;
  if (last) return `${says}. No exit before it was sure enough: nothing is saved.`;
  const saved = percent(1 - spent[leaves].energy / spent[exits - 1].energy, 0);
  return (
    `${says}, and there it leaves: ${metric(spent[leaves].energy, "J")} instead of ` +
    `${metric(spent[exits - 1].energy, "J")}, ${saved} of the modelled energy saved.`
  );
}

/** Every exit in numbers, whether it was needed or not. */
function everyExit(exits, named) {
  const rows = Array.from({ length: exits }, () => Array.from({ length: 5 }, () => h("span")));
  const head = ["Exit", "Answer", "Confidence", "Operations", "Energy"];
  return {
    node: table("At every exit (energy is modelled)", head, rows),
    show: (run) =>
      rows.forEach((row, exit) => {
        const answer = run?.answers[exit];
        const texts = run
          ? [
              `${exitName(exit, exits)}${exit === run.leaves ? " \u2713" : ""}`,
              named(answer.prediction),
              percent(answer.confidence, 1),
              metric(run.spent[exit].operations),
              metric(run.spent[exit].energy, "J"),
            ]
          : [exitName(exit, exits), "\u2013", "\u2013", "\u2013", "\u2013"];
        texts.forEach((text, i) => say(row[i], text));
        row[0].closest("tr").classList.toggle("sq-chosen", exit === run?.leaves);
      }),
  };
}

/** The network of an explorer, answering its image: `empty` is said of a blank one, `named` names
    a class, `refresh(run)` draws what else depends on image and state, `recoloured` what depends on
    the theme. Returns the journey, the image's bytes, and `start`, which lays the page out around
    the nodes that show the image, begins, and gives the clean-up function. */
export async function atWork({
  model,
  root,
  arrays,
  empty,
  named,
  refresh,
  recoloured = () => {},
}) {
  const about = model.get("about"),
    network = model.get("network"),
    answersTo = await networkOf(arrays.code, network);
  const { exits, timesteps } = network,
    spoken = announcer(),
    priced = priceControls(model),
    numbers = everyExit(exits, named),
    sentence = h("p", { class: "sq-verdict" });
  let run = null;
  const answer = () => (run ? verdict(run, exits, named) : empty);
  const trip = journey(
    exits,
    timesteps,
    (there, place) => {
      sentence.classList.toggle("sq-pending", !there);
      say(sentence, there ? answer() : place);
      if (there && run) spoken.say(answer());
    },
    named,
  );
  const sliders = Array.from({ length: exits - 1 }, (_, exit) =>
    slider({
      label: `Exit ${exit + 1}`,
      min: 0,
      max: 1,
      step: 0.01,
      text: (v) => v.toFixed(2),
      input: (value) =>
        send(model, {
          thresholds: model.get("thresholds").map((old, i) => (i === exit ? value : old)),
        }),
    }),
  );
  const details = h(
    "details",
    {},
    h("summary", {}, "How sure is sure enough, and every exit in numbers"),
    group("Leave when confidence reaches", ...sliders.map(({ row }) => row)),
    h(
      "div",
      { class: "sq-scroll", tabindex: 0, role: "region", "aria-label": "Answers of the exits" },
      numbers.node,
    ),
  );

  const size = network.input_shape.reduce((a, b) => a * b);
  function pixels() {
    const data = model.get("image");
    const found = new Uint8Array(data.buffer ?? data, data.byteOffset ?? 0, data.byteLength);
    if (found.length !== size) throw new Error("its image is incomplete");
    return found;
  }
  function infer() {
    const given = pixels(),
      began = performance.now();
    run = given.some((value) => value) ? answersTo(given) : null;
    root.dataset.inferMs = (performance.now() - began).toFixed(3);
    update();
  }
  function update() {
    const prices = model.get("constants"),
      thresholds = model.get("thresholds"),
      picked = model.get("picked");
    if (run) {
      let leaves = 0;
      while (leaves < exits - 1 && !(run.answers[leaves].confidence >= thresholds[leaves]))
        leaves++;
      const spent = spentAt(run, about, prices);
      Object.assign(run, { leaves, spent, label: picked >= 0 ? arrays.labels[picked] : null });
    }
    say(sentence, answer());
    refresh(run);
    numbers.show(run);
    sliders.forEach((control, exit) => control.show(thresholds[exit]));
    priced.show(prices);
    const at = run?.spent[run.leaves];
    root.dataset.leaves = run?.leaves ?? "";
    root.dataset.prediction = run?.answers[run.leaves].prediction ?? "";
    root.dataset.operations = at?.operations ?? "";
    root.dataset.energy = at?.energy ?? "";
    trip.show(run, run?.leaves, thresholds);
  }
  function recolour() {
    trip.colours(Array.from({ length: exits }, (_, exit) => colourOf(root, `--exit-${exit % 5}`)));
    recoloured();
  }
  function start(...image) {
    const answers = h("div", {}, sentence, trip.road, trip.player);
    const columns = h("div", { class: "sq-columns sq-digit" }, h("div", {}, ...image), answers);
    root.append(columns, details, priced.node, spoken.node);
    recolour();
    infer();
    trip.replay();
    const theme = new MutationObserver(recolour);
    const attributeFilter = ["data-theme", "data-jp-theme-light"];
    for (const node of [document.documentElement, document.body]) {
      theme.observe(node, { attributes: true, attributeFilter });
    }
    return watch(
      model,
      { image: infer, "thresholds constants picked": update },
      spoken.stop,
      trip.stop,
      () => theme.disconnect(),
    );
  }
  return { trip, pixels, start };
}
