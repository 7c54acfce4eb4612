/* An INT8 spiking network with early exits, as networks/int8.py exports it.
   Every operation rounds to float32 as FBGEMM's kernels do: spikes and answers are the same. */
const f32 = Math.fround;
/** To the nearest whole number, halves to the even one. */
function roundEven(value) {
  const low = Math.floor(value),
    rest = value - low;
  return rest < 0.5 ? low : rest > 0.5 ? low + 1 : low % 2 ? low + 1 : low;
}
const clamp = (value) => (value < 0 ? 0 : value > 255 ? 255 : value);

/** Layers with what they need prepared: shapes, fan-out of each input position, float32 factors. */
export function prepareNetwork(network, arrays) {
  const shapes = {},
    parts = {};
  let stage = network.input_shape,
    spiking = false,
    pooled = 1,
    after = [false, 1];
  network.layers.forEach((raw, index) => {
    const layer = { ...raw },
      isStage = layer.part.startsWith("stage");
    if (!parts[layer.part]) {
      parts[layer.part] = [];
      shapes.now = stage;
      [spiking, pooled] = after;
    }
    layer.input = shapes.now;
    layer.output = outputShape(layer, shapes.now);
    if (layer.kind === "conv" || layer.kind === "linear") {
      layer.weight = arrays[`${index}.weight`];
      layer.bias = arrays[`${index}.bias`];
      if (layer.weight?.length !== layer.weight_shape.reduce((a, b) => a * b, 1))
        throw new Error(`the weights of ${layer.part} are incomplete`);
      const product = f32(f32(layer.input_scale) * f32(layer.weight_scale));
      layer.step = f32(product / f32(layer.output_scale));
      layer.offset = layer.bias.map((bias) => f32(bias / product));
      layer.counted = spiking ? { fan: fanOut(layer), area: pooled } : null;
      spiking = false;
    } else if (layer.kind === "lif") {
      [spiking, pooled] = [true, 1];
    } else if (layer.kind === "avgpool") {
      pooled *= layer.kernel[0] * layer.kernel[1];
    }
    shapes.now = layer.output;
    if (isStage) {
      stage = layer.output;
      after = [spiking, pooled];
    }
    parts[layer.part].push(layer);
  });
  return {
    ...network,
    parts,
    exits: Object.keys(parts).filter((name) => name.startsWith("head")).length,
  };
}
function outputShape(layer, [channels, height, width]) {
  if (layer.kind === "linear") return [layer.weight_shape[0]];
  if (layer.kind === "flatten") return [channels * (height ?? 1) * (width ?? 1)];
  if (layer.kind === "avgpool")
    return [channels, Math.floor(height / layer.kernel[0]), Math.floor(width / layer.kernel[1])];
  if (layer.kind !== "conv") return [channels, height, width].filter((size) => size !== undefined);
  const size = (length, axis) =>
    Math.floor(
      (length + 2 * layer.padding[axis] - layer.weight_shape[2 + axis]) / layer.stride[axis],
    ) + 1;
  return [layer.weight_shape[0], size(height, 0), size(width, 1)];
}
/** How many weights a spike at each input position meets, borders and stride counted exactly. */
function fanOut(layer) {
  if (layer.kind === "linear") return new Float64Array(layer.input[0]).fill(layer.output[0]);
  const [channels, height, width] = layer.input,
    [outputs, rows, columns] = layer.output;
  const meets = (length, count, axis) =>
    Array.from({ length }, (_, i) => {
      let hits = 0;
      for (let o = 0; o < count; o++) {
        const tap = i + layer.padding[axis] - o * layer.stride[axis];
        if (tap >= 0 && tap < layer.weight_shape[2 + axis]) hits++;
      }
      return hits;
    });
  const down = meets(height, rows, 0),
    across = meets(width, columns, 1);
  return Float64Array.from(
    { length: channels * height * width },
    (_, i) => outputs * down[Math.floor(i / width) % height] * across[i % width],
  );
}

/** One 8-bit synapse on one step's input. */
function synapse(layer, input) {
  const {
    input_scale: scale,
    input_zero_point: zero,
    output_scale: out,
    output_zero_point: outZero,
  } = layer;
  const inverse = f32(1 / f32(scale)),
    q = new Int32Array(input.length);
  for (let i = 0; i < q.length; i++) q[i] = clamp(roundEven(f32(input[i] * inverse)) + zero) - zero;
  const sums = layer.kind === "conv" ? convolve(layer, q) : multiply(layer, q);
  const channel = sums.length / layer.output[0],
    result = new Float32Array(sums.length);
  for (let i = 0; i < sums.length; i++) {
    const shifted = f32(f32(sums[i]) + layer.offset[Math.floor(i / channel)]);
    const level = clamp(roundEven(f32(shifted * layer.step)) + outZero);
    result[i] = f32((level - outZero) * f32(out));
  }
  return result;
}
function multiply({ weight, output }, q) {
  const sums = new Int32Array(output[0]),
    active = [];
  for (let i = 0; i < q.length; i++) if (q[i]) active.push(i);
  for (let o = 0; o < sums.length; o++) {
    const row = o * q.length;
    let sum = 0;
    for (const i of active) sum += q[i] * weight[row + i];
    sums[o] = sum;
  }
  return sums;
}
function convolve(
  { weight, weight_shape: [outputs, inputs, tall, wide], stride, padding, input, output },
  q,
) {
  const [, height, width] = input,
    [, rows, columns] = output,
    sums = new Int32Array(outputs * rows * columns);
  for (let c = 0; c < inputs; c++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const value = q[(c * height + y) * width + x];
        if (!value) continue;
        for (let ky = 0; ky < tall; ky++) {
          const oy = (y + padding[0] - ky) / stride[0];
          if (oy < 0 || oy >= rows || oy % 1) continue;
          for (let kx = 0; kx < wide; kx++) {
            const ox = (x + padding[1] - kx) / stride[1];
            if (ox < 0 || ox >= columns || ox % 1) continue;
            for (
              let o = 0, at = (c * tall + ky) * wide + kx, to = oy * columns + ox;
              o < outputs;
              o++
            ) {
              sums[to] += value * weight[at];
              at += inputs * tall * wide;
              to += rows * columns;
            }
          }
        }
      }
  return sums;
}
/** Currents to spikes, a step at a time; a single current is the same at every step. */
function fire(layer, currents, timesteps) {
  const theta = f32(layer.threshold),
    beta = f32(layer.beta),
    size = currents[0].length;
  const membrane = new Float32Array(size).fill(layer.start * layer.threshold),
    steps = [];
  for (let t = 0; t < timesteps; t++) {
    const current = currents[currents.length === 1 ? 0 : t],
      before = steps[t - 1],
      spikes = new Float32Array(size);
    for (let i = 0; i < size; i++) {
      let u = f32(f32(beta * membrane[i]) + current[i]);
      if (t && before[i]) u = f32(u - theta);
      membrane[i] = u;
      spikes[i] = u > theta ? 1 : 0;
    }
    steps.push(spikes);
  }
  return steps;
}
function pool(
  { kernel: [tall, wide], output: [channels, rows, columns], input: [, height, width] },
  x,
) {
  const result = new Float32Array(channels * rows * columns);
  for (let i = 0; i < result.length; i++) {
    const c = Math.floor(i / (rows * columns)),
      y = Math.floor(i / columns) % rows,
      column = i % columns;
    let sum = 0;
    for (let ky = 0; ky < tall; ky++)
      for (let kx = 0; kx < wide; kx++)
        sum += x[(c * height + y * tall + ky) * width + column * wide + kx];
    result[i] = f32(sum / (tall * wide));
  }
  return result;
}

/** All exits' logits, confidences, answers, cumulative accumulates, and every layer's spikes. */
export function runNetwork({ parts, exits, timesteps }, image) {
  const answers = [],
    layers = [];
  let features = [image],
    acs = 0;
  for (let exit = 0; exit < exits; exit++) {
    let x = features;
    for (const part of [`stage${exit}`, `head${exit}`]) {
      x = features;
      for (const layer of parts[part] ?? []) {
        if (layer.counted) for (const step of x) acs += arriving(step, layer.counted);
        if (layer.kind === "lif") {
          x = fire(layer, x, timesteps);
          layers.push({ part, exit, shape: layer.output, steps: x });
        } else if (layer.kind === "avgpool") x = x.map((step) => pool(layer, step));
        else if (layer.kind !== "flatten") x = x.map((step) => synapse(layer, step));
      }
      if (part.startsWith("stage")) features = x;
    }
    const logits = Array.from(x[0], (_, i) =>
      f32(x.reduce((sum, step) => f32(sum + step[i]), 0) / x.length),
    );
    const most = Math.max(...logits),
      powers = logits.map((value) => f32(Math.exp(f32(value - most))));
    const confidence = f32(1 / powers.reduce((a, b) => a + b, 0));
    // The most probable class; logits that tie to the last bit but one are equal, as in Python.
    answers.push({ logits, confidence, prediction: powers.indexOf(1), acs });
  }
  return { answers, layers };
}
function arriving(step, { fan, area }) {
  let sum = 0;
  for (let i = 0; i < step.length; i++) if (step[i]) sum += Math.round(step[i] * area) * fan[i];
  return sum;
}
