/* What a leaving policy costs: the arithmetic of sparq_utils/widgets/pricing.py, sum for sum. */
import { energyParts, energyTotal } from "./energy.js";

const SUMMED = ["macs", "acs", "updates", "bits"];

/** A trace out of the packed arrays; counts hold one value an exit, or one an exit and sample. */
export function readTrace(about, arrays) {
  const take = (name) => {
    const found = arrays[`${about.prefix}/${name}`];
    if (!found) throw new Error(`'${name}' of '${about.label}' is missing`);
    return found;
  };
  const { exits, samples } = about;
  const counts = Object.fromEntries(SUMMED.map((name) => [name, take(name)]));
  const trace = {
    ...about,
    counts,
    confidence: take("confidence"),
    correct: take("correct"),
    labels: take("labels"),
  };
  if (trace.confidence.length !== exits * samples || trace.labels.length !== samples) {
    throw new Error(`'${about.label}' has not ${exits} exits and ${samples} samples`);
  }
  return trace;
}

/** Leave at the first exit with confidence >= threshold; the last exit takes the rest. */
export function leaveAtThresholds(trace, thresholds, exitOf = new Uint8Array(trace.samples)) {
  const { samples, confidence } = trace,
    last = trace.exits - 1;
  for (let i = 0; i < samples; i++) {
    let exit = 0;
    while (exit < last && !(confidence[exit * samples + i] >= thresholds[exit])) exit++;
    exitOf[i] = exit;
  }
  return exitOf;
}

/** Whole-number totals over all samples, exact below 2^53. */
export function totals(trace, exitOf) {
  const { samples, exits, classes, labels, correct, counts, bits_per_weight } = trace;
  const leaving = Array(exits).fill(0),
    byClass = new Uint32Array(classes * exits);
  let right = 0;
  for (let i = 0; i < samples; i++) {
    const exit = exitOf[i];
    leaving[exit]++;
    byClass[labels[i] * exits + exit]++;
    right += correct[exit * samples + i];
  }
  const sums = { samples, bits_per_weight, leaving, byClass, right };
  for (const name of SUMMED) {
    const count = counts[name];
    let sum = 0;
    if (count.length === exits)
      for (let exit = 0; exit < exits; exit++) sum += count[exit] * leaving[exit];
    else for (let i = 0; i < samples; i++) sum += count[exitOf[i] * samples + i];
    sums[name] = sum;
  }
  return sums;
}

/** Means per image out of totals, at the prices of each precision of weights. */
export function outcome(sums, prices, full) {
  const { samples } = sums,
    parts = energyParts(sums, prices[sums.bits_per_weight]);
  const synaptic_ops = (sums.macs + sums.acs) / samples;
  return {
    accuracy: sums.right / samples,
    energy_j: energyTotal(parts),
    parts,
    synaptic_ops,
    speed_up: (full.macs + full.acs) / full.samples / synaptic_ops,
    shares: sums.leaving.map((count) => count / samples),
  };
}

/** Totals for every combination of evenly spaced thresholds, by histograms and running sums,
    as policies.sweep_thresholds does. */
export function sweep(trace) {
  const { samples, exits, confidence, correct, counts } = trace,
    axes = exits - 1;
  const side = Math.max(2, Math.min(101, Math.floor(10201 ** (1 / Math.max(1, axes)))));
  const grid = Float64Array.from({ length: side }, (_, i) => i / (side - 1));
  const size = side + 1,
    above = new Uint8Array(axes * samples);
  for (let j = 0; j < axes * samples; j++) {
    // how many grid thresholds the confidence reaches
    let i = Math.floor(confidence[j] * (side - 1));
    while (i + 1 < side && grid[i + 1] <= confidence[j]) i++;
    while (i >= 0 && grid[i] > confidence[j]) i--;
    above[j] = i + 1;
  }
  const names = ["right", ...SUMMED],
    points = side ** axes;
  const result = Object.fromEntries(names.map((name) => [name, new Float64Array(points)]));
  for (let exit = 0; exit < exits; exit++) {
    const dims = Math.min(exit + 1, axes),
      cells = size ** dims,
      at = new Uint32Array(samples);
    for (let i = 0; i < samples; i++)
      for (let a = 0; a < dims; a++) at[i] = at[i] * size + above[a * samples + i];
    for (const name of names) {
      const count = name === "right" ? correct : counts[name],
        each = count.length > exits || name === "right";
      const histogram = new Float64Array(cells);
      for (let i = 0; i < samples; i++) histogram[at[i]] += count[each ? exit * samples + i : exit];
      for (let a = 0; a < dims; a++)
        accumulate(histogram, size, size ** (dims - 1 - a), a === exit);
      const out = result[name],
        repeat = side ** (axes - dims);
      for (let p = 0; p < points; p++) {
        let rest = Math.floor(p / repeat),
          cell = 0,
          stride = 1;
        for (let a = 0; a < dims; a++) {
          cell += (rest % side) * stride;
          rest = Math.floor(rest / side);
          stride *= size;
        }
        out[p] += histogram[cell];
      }
    }
  }
  return { side, points, samples, bits_per_weight: trace.bits_per_weight, ...result };
}
/** Along one axis: who stays (bins up to i), or who leaves (bins above i). */
function accumulate(values, size, stride, leaves) {
  for (let start = 0; start < values.length; start++) {
    if (Math.floor(start / stride) % size) continue;
    let sum = 0;
    if (!leaves) {
      for (let i = 0; i < size; i++) values[start + i * stride] = sum += values[start + i * stride];
    } else {
      for (let i = size - 1; i >= 0; i--) {
        const own = values[start + i * stride];
        values[start + i * stride] = sum;
        sum += own;
      }
    }
  }
}
/** The grid's accuracy, and energy or operations, per image. */
export function cloudOf(grid, prices, axis) {
  const x = new Float64Array(grid.points),
    y = new Float64Array(grid.points);
  const { samples, bits_per_weight } = grid,
    price = prices[bits_per_weight];
  for (let p = 0; p < grid.points; p++) {
    const sums = {
      macs: grid.macs[p],
      acs: grid.acs[p],
      updates: grid.updates[p],
      bits: grid.bits[p],
      samples,
    };
    y[p] = grid.right[p] / samples;
    x[p] =
      axis === "operations"
        ? (sums.macs + sums.acs) / samples
        : energyTotal(energyParts(sums, price));
  }
  return { x, y };
}
/** Points that no other point beats on both counts, from cheap to dear. */
export function paretoFront({ x, y }) {
  const order = Array.from(x, (_, i) => i).sort((a, b) => x[a] - x[b] || y[b] - y[a]);
  const front = [];
  for (const i of order) if (!front.length || y[i] > y[front.at(-1)]) front.push(i);
  return front;
}
