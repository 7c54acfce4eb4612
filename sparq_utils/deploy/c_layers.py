"""The layers of a C file: the constants and the function of each."""

from collections.abc import Iterable, Iterator

import numpy as np

from sparq_utils.deploy import constants
from sparq_utils.deploy.layout import Layout
from sparq_utils.deploy.plan import Map, Plan, Step

F32 = np.float32


def layer_code(made: Plan, step: Step, laid: Layout | None, whole: bool) -> Iterator[str]:
    """One step's constants and its function."""
    if laid is None:
        yield from _pooling(step)
        return
    yield f"/* {_what(step)} */"
    texts = [f"0x{word:08x}" for word in laid.words.tolist()]
    yield array("uint32_t", f"{step.name}_weights[]", texts)
    yield from _constants(made, step, laid.group, whole)
    yield from _exit(step, laid, whole) if step.is_exit else _neurons(made, step, laid, whole)


def _exit(step: Step, laid: Layout, whole: bool) -> Iterator[str]:
    """The function of an exit: 1 if the image leaves there."""
    threshold = "uint32_t threshold" if whole else "float threshold"
    terms = "bias, {0}_decay" if whole else "offsets, &{0}_rounding"
    yield f"""\
LAYER int {step.name}(const uint8_t *x, int exit, {threshold}, answer_t *answer)
{{
{_window(step, laid)}
    {_meets(step, plus("x", step.source.corner()))};
    return conclude(&w, {step.name}_{terms.format(step.name)}, exit, threshold, answer);
}}
"""


def _neurons(made: Plan, step: Step, laid: Layout, whole: bool) -> Iterator[str]:
    """The function of a synapse and the neurons behind it."""
    source, target = step.source, step.target
    field = 8 if laid.group == 1 else len(step.weights)
    yield f"""\
LAYER void {step.name}(const uint8_t *x, uint8_t *to)
{{
{_window(step, laid)}
    static const map m = {map_code(target, field)};"""
    first, to = plus("x", source.corner(step.padding)), plus("to", target.corner())
    if step.kind == "linear":
        yield f"    {_meets(step, first)};"
        yield f"    {_firing(made, step, whole).format(to=to)}\n}}\n"
        return
    if target.rim != (0, 0):
        yield f"    clear(to, {target.size});"
    down, right = step.stride
    across = "column++" if laid.group == 1 else f"column += {laid.group}"
    aside = times("column", right * source.position)
    planes = f"{source.planes} * LANES" if source.kind == "bits" else "1"
    yield f"""\
    const uint8_t *calm = 0; /* a place of neurons that saw nothing arrive */
    for (int y = 0; y < {target.height}; y++) {{
        const uint8_t *rows = {first} + y * {down * source.row};
        overlay(rows, {planes}, &w);
        for (int column = 0; column < {target.width}; {across}) {{
            uint8_t *place = {to} + y * {target.row} + {times("column", target.position)};
            if (is_calm({aside}, &w)) {{
                if (calm) {{
                    repeat(calm, place, {laid.group * target.position}, &m);
                    continue;
                }}
                calm = place;
            }}
            {_meets(step, f"rows + {aside}")};
            {_firing(made, step, whole).format(to="place")}
        }}
    }}
}}
"""


def _window(step: Step, laid: Layout) -> str:
    """A synapse's window as the kernels know it."""
    source = step.source
    return f"""\
    static const window w = {{
        .rows = {laid.rows}, .pieces = {laid.pieces}, .bytes = {laid.bytes},
        .row = {source.row}, .plane = {source.plane}, .planes = {source.planes},
        .together = {laid.together}, .narrow = {int(laid.narrow)},
        .outputs = {laid.outputs}, .block = {laid.block},
    }};"""


def _meets(step: Step, at: str) -> str:
    """The call that adds up what arrives in the window there."""
    kind = "pixels" if step.source.kind == "pixels" else "spikes"
    return f"meet_{kind}({at}, {step.name}_weights, &w)"


def _pooling(step: Step) -> Iterator[str]:
    """The function of a pooling."""
    source, target = step.source, step.target
    sizes = (target.height, target.width, target.position, *step.kernel)
    yield f"""\
LAYER void {step.name}(const uint8_t *x, uint8_t *to)
{{
    static const map from = {map_code(source)};
    static const map into = {map_code(target)};"""
    if target.rim != (0, 0):
        yield f"    clear(to, {target.size});"
    places = plus("x", source.corner()), plus("to", target.corner())
    yield f"    pool({places[0]}, &from, {places[1]}, &into, {', '.join(map(str, sizes))});\n}}\n"


def plus(place: str, offset: int) -> str:
    """A place in memory, so many bytes on."""
    return f"{place} + {offset}" if offset else place


def times(index: str, size: int) -> str:
    """Bytes of so many things of a size."""
    return index if size == 1 else f"{index} * {size}"


def map_code(features: Map, field: int = 8) -> str:
    """A map as the kernels know it."""
    sizes = f".row = {features.row}, .plane = {features.plane}, .planes = {features.planes}"
    return f"{{.field = {field}, {sizes}}}"


def _what(step: Step) -> str:
    """A layer in words."""
    source, outputs = step.source, len(step.weights)
    behind = {None: "an exit", "lif": "neurons", "levels": "levels"}
    behind = behind[step.neurons["kind"] if step.neurons else None]
    if step.kind == "linear":
        inputs = source.height * source.width * source.channels
        return f"{step.part}: {inputs} inputs to {outputs} outputs, then {behind}."
    tall, wide = step.kernel
    return (
        f"{step.part}: {source.channels} channels of {source.height} x {source.width} by {tall} x "
        f"{wide} to {outputs} of {step.target.height} x {step.target.width}, then {behind}."
    )


def _constants(made: Plan, step: Step, group: int, whole: bool) -> Iterator[str]:
    """Biases, rounding and what its neurons or its exit need."""
    layer, neurons, name = step.layer, step.neurons, step.name
    if whole:
        yield array("int32_t", f"{name}_bias[]", np.tile(constants.whole_biases(layer), group))
        if neurons is None:
            yield array("uint16_t", f"{name}_decay[]", constants.decay(made, step))
        elif made.timesteps == 1:
            bounds = constants.whole_bounds(name, layer, neurons)
            yield array("int32_t", f"{name}_bounds[]", bounds)
        else:
            threshold, start = constants.whole_neuron(name, layer, neurons)
            yield f"static const neuron {name}_neuron = {{{threshold}, {start}}};"
        return
    looks_up = neurons is not None and _looks_up(made, step)
    told_apart = np.ones(255, bool)
    if looks_up:
        answers = constants.answers(made.timesteps, layer, neurons)
        told_apart = np.diff(answers) != 0
    exact = constants.whole_levels(step, told_apart)
    if exact is not None:
        yield array("int32_t", f"{name}_offsets[]", np.tile(exact.offsets, group))
        parts = exact.factor, exact.up, exact.down
    else:
        biases = np.tile(np.asarray(layer["bias"], F32), group)
        yield array("float", f"{name}_offsets[]", map(real, biases))
        parts = 0, 0, 0
    reals = map(real, constants.units(layer))
    numbers = ", ".join([*map(str, parts), *reals, str(layer["output_zero_point"])])
    yield f"static const rounding {name}_rounding = {{{numbers}}};"
    if looks_up:
        yield array("answer_bits", f"{name}_table[]", answers)
    if neurons is None or looks_up:
        return
    bounds = constants.spike_bounds(made.timesteps, layer, neurons)
    if bounds is not None:
        yield array("int32_t", f"{name}_bounds[]", bounds.ravel())
    else:
        start = F32(neurons["start"] * neurons["threshold"])
        reals = ", ".join(map(real, (F32(neurons["threshold"]), F32(neurons["beta"]), start)))
        yield f"static const neuron {name}_neuron = {{{reals}}};"


def _looks_up(made: Plan, step: Step) -> bool:
    """Whether a neuron's answer follows from a single sum."""
    return step.source.kind == "pixels" or made.timesteps == 1


def _firing(made: Plan, step: Step, whole: bool) -> str:
    """The call that lets a step's neurons answer at `{to}`."""
    name, neurons = step.name, step.neurons
    end = "{to}, &w, &m);"
    if whole and made.timesteps == 1:
        return f"fire({name}_bias, {name}_bounds, {neurons.get('levels', 1)}, {end}"
    if whole:
        how = "PIXELS" if step.source.kind == "pixels" else "SPIKES"
        return f"fire({how}, {name}_bias, &{name}_neuron, {end}"
    start = f"{name}_offsets, &{name}_rounding"
    if _looks_up(made, step):
        return f"look_up({start}, {name}_table, {end}"
    if constants.spike_bounds(made.timesteps, step.layer, neurons) is not None:
        return f"count_and_fire({start}, {name}_bounds, {end}"
    return f"fire({start}, &{name}_neuron, {end}"


def real(value: float) -> str:
    """A float32 literal that reads back as the same number."""
    text = str(F32(value))
    return (text if set(text) & set(".en") else f"{text}.0") + "f"


PER_LINE = 20
"""Numbers on a line of an array."""


def array(kind: str, name: str, values: Iterable) -> str:
    """A constant array; its values whole numbers, or text."""
    texts = [value if isinstance(value, str) else str(int(value)) for value in values]
    per_line = PER_LINE if not texts or len(texts[0]) < 10 else PER_LINE // 2
    lines = [", ".join(texts[at : at + per_line]) for at in range(0, len(texts), per_line)]
    return f"static const {kind} {name} = {{\n    " + ",\n    ".join(lines) + "};"
