"""What a C file shows to a page that watches it: every layer's spikes, and what they met."""

from collections.abc import Iterator, Mapping

from sparq_utils.deploy.c_text import map_code, plus
from sparq_utils.deploy.plan import plan
from sparq_utils.deploy.steps import Plan, Step


def watched_layers(network: Mapping) -> list[dict]:
    """What a file built with -DWATCHED shows: see :func:`~sparq_utils.deploy.web.wasm`."""
    return shown(plan(network))


def shown(made: Plan) -> list[dict]:
    """Every layer of neurons: its part, shape, and where `watched` keeps what it did."""
    stride = 1 if made.timesteps == 1 else 4 * -(-made.timesteps // 4)
    layers, start = [], 0
    for step in made.steps:
        if step.neurons is not None:
            to = step.target
            layers.append({"part": step.part, "name": step.name,
                           "shape": [to.height, to.width, to.channels],
                           "start": start, "stride": stride, "steps": made.timesteps})  # fmt: skip
            start += to.height * to.width * to.channels * stride
    return layers


def watching_code(made: Plan) -> Iterator[str]:
    """What a page is shown of each layer."""
    starts = {layer["name"]: layer for layer in shown(made)}
    yield "#ifdef WATCHED"
    for step in made.steps:
        for way in step.ways if step.weights is not None else ():
            yield from _seeing(way, starts.get(way.name))
    yield "#endif\n"


def _seeing(way: Step, layer: Mapping | None) -> Iterator[str]:
    """The function that counts what met a synapse's weights, and writes down what neurons said."""
    source, target = way.source, way.target
    height, width, outputs = way.outputs
    reached = 1 if way.weights is None else outputs  # by what arrives at one of its places
    numbers = (source.height, source.width, source.channels, height, width, reached,
               *way.kernel, *way.padding, *way.stride)  # fmt: skip
    how = "PIXELS" if source.kind == "pixels" else "HANDED" if way.weights is None else "SPIKES"
    yield f"static void see_{way.name}(const uint8_t *x, const uint8_t *to)\n{{"
    yield f"    static const shape s = {{{', '.join(map(str, numbers))}}};"
    yield f"    static const map from = {map_code(source)};"
    yield f"    count_met({how}, {plus('x', source.corner())}, &from, &s);"
    if layer is None:
        yield "    (void)to;\n}"
    else:
        at = plus("watched", layer["start"])
        yield f"    static const map m = {map_code(target)};"
        yield f"    watch({plus('to', target.corner())}, &m, &s, {at});\n}}"
