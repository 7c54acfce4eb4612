/* A network's C file as WebAssembly; deploy/web.py builds it and says what lies where. */

/** A network out of its module's bytes: a function from pixels to what every exit answers, what
    was spent until there, and the spikes of every layer of neurons, step by step. */
export async function networkOf(code, { exits, classes, layers }) {
  if (typeof WebAssembly === "undefined") throw new Error("this browser runs no WebAssembly");
  const { instance } = await WebAssembly.instantiate(code);
  const { memory, classify, ...places } = instance.exports;
  const at = (name) => places[name].value;
  const answerBytes = 4 * (3 + classes);
  new Float32Array(memory.buffer, at("thresholds"), exits).fill(2); // nobody leaves early

  function answerOf(exit) {
    const from = at("answers") + exit * answerBytes;
    const [, prediction] = new Int32Array(memory.buffer, from, 2),
      [confidence, ...logits] = new Float32Array(memory.buffer, from + 8, 1 + classes),
      [acs] = new Uint32Array(memory.buffer, at("spent") + 8 * exit, 2);
    return { prediction, confidence, logits, acs };
  }
  function spikesOf({ part, shape, start, stride, steps }) {
    const neurons = shape.reduce((a, b) => a * b),
      bytes = new Uint8Array(memory.buffer, at("watched") + start, neurons * stride);
    return {
      exit: Number(part.match(/\d+/)[0]),
      shape,
      steps: Array.from({ length: steps }, (_, step) =>
        Uint8Array.from({ length: neurons }, (__, i) => bytes[i * stride + step]),
      ),
    };
  }
  return (pixels) => {
    new Uint8Array(memory.buffer, at("image"), pixels.length).set(pixels);
    classify(at("image"), at("thresholds"), at("answer"));
    return {
      answers: Array.from({ length: exits }, (_, exit) => answerOf(exit)),
      layers: layers.map(spikesOf),
    };
  };
}
