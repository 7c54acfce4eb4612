"""The layers of a C file: the constants and the function of each."""

from collections.abc import Iterator, Mapping

import numpy as np

from sparq_utils.deploy import constants
from sparq_utils.deploy.c_text import array, map_code, plus, real, times
from sparq_utils.deploy.layout import Layout
from sparq_utils.deploy.steps import Plan, Step

F32 = np.float32


def layer_code(made: Plan, step: Step, layouts: Mapping[str, Layout], whole: bool) -> Iterator[str]:
    """One step's constants and its function."""
    if step.weights is None:
        yield from _pooling(step)
        return
    yield f"/* {_what(step)} */"
    if step.beside is not None:
        yield from _way_constants(made, step, layouts, whole)
    laid = layouts[step.name]
    yield _weights(step, laid)
    yield from _constants(made, step, laid.group, whole)
    if step.is_exit:
        yield from _exit(made, step, laid, whole)
    elif step.beside is None:
        yield from _neurons(made, step, laid, whole)
    else:
        yield from _block(made, step, layouts, whole)


def _exit(made: Plan, step: Step, laid: Layout, whole: bool) -> Iterator[str]:
    """The function of an exit: 1 if the image leaves there."""
    if whole:
        yield array("uint16_t", f"{step.name}_decay[]", constants.decay(made, step))
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


def _block(made: Plan, step: Step, layouts: Mapping[str, Layout], whole: bool) -> Iterator[str]:
    """The function of neurons at the end of a residual block: what two ways bring is added up."""
    other, target = step.beside, step.target
    if other.weights is None:
        known = f"    static const map from = {map_code(other.source)};"
    else:
        known = _window(other, layouts[other.name], "v")
    yield f"""\
LAYER void {step.name}(const uint8_t *x, const uint8_t *other, uint8_t *to)
{{
{_window(step, layouts[step.name])}
{known}
    static const map m = {map_code(target)};"""
    if target.rim != (0, 0):
        yield f"    clear(to, {target.size});"
    x, aside = (
        f"{plus(name, way.source.corner(way.padding))} + y * {way.stride[0] * way.source.row} + "
        + times("column", way.stride[1] * way.source.position)
        for name, way in (("x", step), ("other", other))
    )
    place = (
        plus("to", target.corner()) + f" + y * {target.row} + " + times("column", target.position)
    )
    yield f"""\
    for (int y = 0; y < {target.height}; y++)
        for (int column = 0; column < {target.width}; column++) {{
            {_sets_aside(step, aside, whole)}
            {_meets(step, x)};
            {_firing(made, step, whole).format(to=place)}
        }}
}}
"""


def _way_constants(
    made: Plan, step: Step, layouts: Mapping[str, Layout], whole: bool
) -> Iterator[str]:
    """What is needed to know the currents of the way beside a step."""
    other = step.beside
    if other.weights is not None:
        yield _weights(other, layouts[other.name])
        yield from _constants(made, other, 1, whole)
    elif whole:
        worth = constants.whole_currents(step)
        yield array("int32_t", f"{other.name}_worth[]", worth)
    else:
        yield array("float", f"{other.name}_worth[]", map(real, constants.currents(other)))


def _sets_aside(step: Step, at: str, whole: bool) -> str:
    """The code that sets the currents aside which come there by the way beside a step."""
    other = step.beside
    if other.weights is None:
        return f"hand_on({at}, &from, {other.name}_worth, {other.outputs[2]});"
    if whole:
        terms = f"{other.name}_bias, {constants.whole_ratio(step)}"
    else:
        terms = f"{other.name}_offsets, &{other.name}_rounding"
    return f"{_meets(other, at, 'v')};\n            set_aside({terms}, &v);"


def _weights(step: Step, laid: Layout) -> str:
    """A synapse's weights, four to a word."""
    texts = [f"0x{word:08x}" for word in laid.words.tolist()]
    return array("uint32_t", f"{step.name}_weights[]", texts)


def _window(step: Step, laid: Layout, called: str = "w") -> str:
    """A synapse's window as the kernels know it."""
    source = step.source
    return f"""\
    static const window {called} = {{
        .rows = {laid.rows}, .pieces = {laid.pieces}, .bytes = {laid.bytes},
        .row = {source.row}, .plane = {source.plane}, .planes = {source.planes},
        .together = {laid.together}, .narrow = {int(laid.narrow)},
        .outputs = {laid.outputs}, .block = {laid.block},
    }};"""


def _meets(step: Step, at: str, called: str = "w") -> str:
    """The call that adds up what arrives in the window there."""
    kind = "pixels" if step.source.kind == "pixels" else "spikes"
    return f"meet_{kind}({at}, {step.name}_weights, &{called})"


def _pooling(step: Step) -> Iterator[str]:
    """The function of a pooling."""
    source, target = step.source, step.target
    sizes = (target.height, target.width, target.position, *step.kernel)
    rounded = "0"
    if target.rounded is not None:
        rounded = f"{step.name}_rounded"
        yield array("uint8_t", f"{rounded}[]", target.rounded)
    yield f"""\
LAYER void {step.name}(const uint8_t *x, uint8_t *to)
{{
    static const map from = {map_code(source)};
    static const map into = {map_code(target)};"""
    if target.rim != (0, 0):
        yield f"    clear(to, {target.size});"
    places = plus("x", source.corner()), plus("to", target.corner())
    terms = ", ".join([places[0], "&from", places[1], "&into", *map(str, sizes), rounded])
    yield f"    pool({terms});\n}}\n"


def _what(step: Step) -> str:
    """A layer in words."""
    source, outputs = step.source, len(step.weights)
    behind = {None: "an exit", "lif": "neurons", "levels": "levels"}
    behind = behind[step.neurons["kind"] if step.neurons else None]
    if step.beside is not None:
        behind = f"added to what a shortcut brings, then {behind}"
    else:
        behind = f"then {behind}"
    if step.kind == "linear":
        inputs = source.height * source.width * source.channels
        return f"{step.part}: {inputs} inputs to {outputs} outputs, {behind}."
    tall, wide = step.kernel
    return (
        f"{step.part}: {source.channels} channels of {source.height} x {source.width} by {tall} x "
        f"{wide} to {outputs} of {step.target.height} x {step.target.width}, {behind}."
    )


def _constants(made: Plan, step: Step, group: int, whole: bool) -> Iterator[str]:
    """Biases, rounding and what its neurons or its exit need."""
    layer, neurons, name = step.layer, step.neurons, step.name
    if whole:
        yield array("int32_t", f"{name}_bias[]", np.tile(constants.whole_biases(layer), group))
        if neurons is None:
            return
        if made.timesteps == 1:
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
    bounds = _spike_bounds(made, step)
    if made.timesteps == 1:
        yield array("float", f"{name}_bounds[]", map(real, constants.current_bounds(neurons)))
    elif bounds is not None:
        yield array("int32_t", f"{name}_bounds[]", bounds.ravel())
    else:
        start = F32(neurons["start"] * neurons["threshold"])
        reals = ", ".join(map(real, (F32(neurons["threshold"]), F32(neurons["beta"]), start)))
        yield f"static const neuron {name}_neuron = {{{reals}}};"


def _looks_up(made: Plan, step: Step) -> bool:
    """Whether a neuron's answer follows from a single sum."""
    return step.beside is None and (step.source.kind == "pixels" or made.timesteps == 1)


def _spike_bounds(made: Plan, step: Step) -> np.ndarray | None:
    """Bounds of summed levels, where neurons may compare with these."""
    if step.beside is not None:
        return None  # levels of two synapses have different sizes
    return constants.spike_bounds(made.timesteps, step.layer, step.neurons)


def _firing(made: Plan, step: Step, whole: bool) -> str:
    """The call that lets a step's neurons answer at `{to}`."""
    name, neurons = step.name, step.neurons
    beside = "0" if step.beside is None else "beside"
    end = "{to}, &w, &m);"
    start = f"{name}_bias" if whole else f"{name}_offsets, &{name}_rounding"
    if _looks_up(made, step) and not whole:
        return f"look_up({start}, {name}_table, {end}"
    if made.timesteps == 1:
        return f"fire({start}, {name}_bounds, {neurons.get('levels', 1)}, {beside}, {end}"
    if whole:
        how = "PIXELS" if step.source.kind == "pixels" else "SPIKES"
        return f"fire({how}, {start}, &{name}_neuron, {beside}, {end}"
    if _spike_bounds(made, step) is not None:
        return f"count_and_fire({start}, {name}_bounds, {end}"
    return f"fire({start}, &{name}_neuron, {beside}, {end}"
