"""What a C file shows to a page that watches it: every layer's spikes, and what they met."""

from collections.abc import Iterator, Mapping

from sparq_utils.deploy.c_layers import map_code, plus
from sparq_utils.deploy.plan import Plan, plan


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
        if step.weights is None:
            continue
        source, target = step.source, step.target
        out = (1, 1) if target is None else (target.height, target.width)
        numbers = (source.height, source.width, source.channels, *out, len(step.weights),
                   *step.kernel, *step.padding, *step.stride)  # fmt: skip
        how = "PIXELS" if source.kind == "pixels" else "SPIKES"
        yield f"static void see_{step.name}(const uint8_t *x, const uint8_t *to)\n{{"
        yield f"    static const shape s = {{{', '.join(map(str, numbers))}}};"
        yield f"    static const map from = {map_code(source)};"
        yield f"    count_met({how}, {plus('x', source.corner())}, &from, &s);"
        if target is None:
            yield "    (void)to;\n}"
        else:
            at = plus("watched", starts[step.name]["start"])
            yield f"    static const map m = {map_code(target)};"
            yield f"    watch({plus('to', target.corner())}, &m, &s, {at});\n}}"
    yield "#endif\n"
