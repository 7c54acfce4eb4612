"""An INT8 network as a list of steps for a machine with little memory: what runs, on what, where.

Features lie channels last. Each step reads from one place of a single arena and writes to another;
while a head works, the features it started from stay where they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

FITS = np.iinfo(np.int16)
MOST_SHARED = 255
"""Spikes that may share an input: their sum is a byte."""


@dataclass
class Step:
    """A synapse with the neurons (or the exit) behind it, or a pooling.

    `how` is what is added up, and in what: "BYTES" (pixels or levels, sums of 32 bits), "PACKED"
    (sums of 16 bits, two a word) or "WIDE" (spikes, sums of 32 bits). `shape` holds height,
    width, channels; out height, width, outputs; kernel, padding, stride. `weights` int8 are
    [channels, rows, columns from the last, outputs] or [inputs, outputs]. `size` counts words of
    sums; `source` and `target` are offsets into the arena in words, `source` None the image.
    """

    part: str
    name: str
    kind: str
    shape: tuple[int, ...]
    layer: Mapping
    neurons: Mapping | None = None
    how: str = ""
    weights: np.ndarray | None = None
    size: int = 0
    source: int | None = None
    target: int = 0

    @property
    def outputs(self) -> int:
        """Neurons, or pooled features."""
        return int(np.prod(self.shape[3:6]))


@dataclass
class Plan:
    """The steps of a network and what they need. `arena` counts words of 32 bits."""

    name: str
    input_shape: tuple[int, int, int]
    timesteps: int
    exits: int
    classes: int
    steps: list[Step] = field(default_factory=list)
    arena: int = 0
    pixels: np.ndarray | None = None


def plan(network: Mapping) -> Plan:
    """The steps of a network given as :func:`~sparq_utils.networks.int8.export_int8` does.

    Raises `ValueError`, naming the layer, for what the C file has no code for.
    """
    if network["encoding"] not in ("direct", "analog"):
        raise ValueError(
            f"{network['name']} takes {network['encoding']}-coded spikes; the C file takes images: "
            "use direct coding"
        )
    shape = tuple(network["input_shape"])
    shape = shape if len(shape) == 3 else (1, 1, int(np.prod(shape)))
    exits = len({layer["part"] for layer in network["layers"] if layer["part"][:4] == "head"})
    made = Plan(network["name"], shape, network["timesteps"], exits, 0)
    features = _Flow((shape[1], shape[2], shape[0]), most=255)
    for exit_ in range(exits):
        features = _through(made, network, f"stage{exit_}", features, None)
        _through(made, network, f"head{exit_}", features, features)
    first = made.steps[0]
    levels = np.rint(np.arange(256, dtype=np.float32) / np.float32(255)
                     * (np.float32(1) / np.float32(first.layer["input_scale"])))  # fmt: skip
    levels = np.clip(levels, 0, 255).astype(np.uint8)
    made.pixels = None if (levels == np.arange(256)).all() else levels
    return made


@dataclass(frozen=True)
class _Flow:
    """What flows: [height, width, channels]; the largest number; where it lies (None: the image).

    `flat` says that it counts as one vector, whose order PyTorch takes to be channels first.
    """

    shape: tuple[int, int, int]
    most: int
    place: int | None = None
    words: int = 0
    flat: bool = False


def _through(made: Plan, network: Mapping, part: str, flow: _Flow, kept: _Flow | None) -> _Flow:
    """Add a part's steps; `kept` must stay where it is. Gives what flows out of it."""
    layers = [layer for layer in network["layers"] if layer["part"] == part]
    for number, layer in enumerate(layers):
        name = f"{part}_{layer['kind']}{number}"
        following = layers[number + 1] if number + 1 < len(layers) else None
        if layer["kind"] == "flatten":
            flow = _Flow(flow.shape, flow.most, flow.place, flow.words, flat=True)
        elif layer["kind"] in ("conv", "linear"):
            step, flow = _synapse(made, part, name, layer, following, flow, kept)
            made.steps.append(step)
        elif layer["kind"] == "avgpool":
            step, flow = _pool(made, part, name, layer, flow, kept)
            made.steps.append(step)
        elif layer["kind"] not in ("lif", "levels"):
            raise ValueError(f"{name}: the C file knows no layer of kind '{layer['kind']}'")
    if part.startswith("head") and (not layers or layers[-1]["kind"] != "linear"):
        raise ValueError(f"{part} ends in no linear layer: there are no logits to compare")
    return flow


def _synapse(
    made: Plan, part: str, name: str, layer: Mapping, following: Mapping | None, flow: _Flow,
    kept: _Flow | None,
) -> tuple[Step, _Flow]:  # fmt: skip
    """A synapse and the neurons behind it."""
    height, width, channels = flow.shape
    weight = np.asarray(layer["weight"], np.int8)
    neurons = following if following and following["kind"] in ("lif", "levels") else None
    is_exit = part.startswith("head") and following is None
    if neurons is None and not is_exit:
        raise ValueError(f"{name} is followed by no neurons, which the C file has no code for")
    if is_exit and flow.place is None:
        raise ValueError(f"{name} would answer from the image itself: put neurons before an exit")
    expected = 0 if flow.place is None or flow.most <= MOST_SHARED else None
    if layer["input_zero_point"] != 0 or expected is None:
        raise ValueError(f"{name}: its input is no byte from zero up ({flow.most} at most)")
    if flow.place is not None and round(1 / layer["input_scale"]) != flow.most:
        raise ValueError(f"{name} rounds the spikes that arrive; the C file adds them up exactly")
    if layer["kind"] == "linear":
        shape = (1, 1, height * width * channels, 1, 1, len(weight), 1, 1, 0, 0, 1, 1)
        if weight.shape[1] != shape[2] or not (flow.flat or height * width == 1):
            raise ValueError(f"{name} takes {weight.shape[1]} inputs, {list(flow.shape)} arrive")
        weights = weight.reshape(-1, channels, height, width).transpose(2, 3, 1, 0)
        weights = weights.reshape(shape[2], -1)  # [inputs, outputs]
    else:
        (top, left), (down, right) = layer["padding"], layer["stride"]
        tall, wide = weight.shape[2:]
        out = ((height + 2 * top - tall) // down + 1, (width + 2 * left - wide) // right + 1)
        shape = (height, width, channels, *out, len(weight), tall, wide, top, left, down, right)
        if weight.shape[1] != channels or flow.flat or min(out) < 1:
            raise ValueError(f"{name} cannot take {list(flow.shape)} [height, width, channels]")
        weights = weight.transpose(1, 2, 3, 0)[:, :, ::-1]  # [channels, rows, columns, outputs]
    how, room = _accumulator(made.timesteps, weight, flow)
    if made.timesteps == 1 and how == "PACKED":
        weights = np.pad(weights, [(0, 0)] * (weights.ndim - 1) + [(0, -len(weight) % 4)])
        shape = (*shape[:5], weights.shape[-1], *shape[6:])
    _check_range(name, layer, weight, flow.most)
    positions = shape[3] * shape[4]
    size = max(-(-positions * shape[5] * room // 2), _words(made, positions * len(weight)))
    target = _place(made, size, [flow, kept])
    step = Step(part, name, layer["kind"], shape, layer, neurons, how, weights, size)
    step.source, step.target = flow.place, target
    step.shape = (*shape[:5], len(weight), *shape[6:])
    if is_exit:
        made.classes = len(weight)
        return step, flow
    most = neurons["levels"] if neurons["kind"] == "levels" else 1
    words = _words(made, positions * len(weight))
    return step, _Flow((shape[3], shape[4], len(weight)), most, target, words)


def _accumulator(timesteps: int, weight: np.ndarray, flow: _Flow) -> tuple[str, int]:
    """What sums are kept in, and how many half words they take for a neuron.

    Sixteen bits, if no input whatsoever can exceed them: not only at the end, for every way there
    leads through some of the positive and some of the negative weights.
    """
    rows = weight.reshape(len(weight), -1).astype(np.int64) * flow.most
    highest, lowest = np.maximum(rows, 0).sum(1).max(), np.minimum(rows, 0).sum(1).min()
    fits = FITS.min <= lowest and highest <= FITS.max
    steps = 4 * -(-timesteps // 4)
    if flow.place is None or (timesteps == 1 and not fits):
        return "BYTES", 2
    if timesteps == 1:
        return "PACKED", 1
    return ("PACKED", steps) if fits else ("WIDE", 2 * steps)


def _check_range(name: str, layer: Mapping, weight: np.ndarray, most: int) -> None:
    """Refuse sums beyond what the rounding in the C file is right for."""
    sums = np.abs(weight.reshape(len(weight), -1).astype(np.int64)).sum(1).max() * most
    unit = layer["input_scale"] * layer["weight_scale"]
    reach = (sums + np.abs(np.asarray(layer["bias"])).max() / unit) * unit / layer["output_scale"]
    if not (reach < 2**22 and sums < 2**31):
        raise ValueError(f"{name}: sums may reach {reach:.3g} steps, which 32 bits do not hold")


def _pool(
    made: Plan, part: str, name: str, layer: Mapping, flow: _Flow, kept: _Flow | None
) -> tuple[Step, _Flow]:
    """A pooling, in place unless what it pools is still needed."""
    tall, wide = layer["kernel"]
    height, width, channels = flow.shape
    most = flow.most * tall * wide
    if flow.place is None or most > MOST_SHARED or flow.flat:
        raise ValueError(f"{name} cannot pool {list(flow.shape)} of up to {flow.most} spikes")
    shape = (height, width, channels, height // tall, width // wide, channels, tall, wide)
    words = _words(made, shape[3] * shape[4] * channels)
    needed = kept is not None and kept.place == flow.place
    target = _place(made, words, [flow, kept]) if needed else flow.place
    step = Step(part, name, "avgpool", (*shape, 0, 0, tall, wide), layer)
    step.source, step.target = flow.place, target
    return step, _Flow((shape[3], shape[4], channels), most, target, words)


def _words(made: Plan, neurons: int) -> int:
    """Words of 32 bits that the spikes of all steps, or a level, take: a byte each."""
    return -(-neurons // 4) if made.timesteps == 1 else neurons * -(-made.timesteps // 4)


def _place(made: Plan, words: int, live: list[_Flow | None]) -> int:
    """The lowest offset where so many words meet nothing that is still needed."""
    taken = sorted({(f.place, f.words) for f in live if f is not None and f.place is not None})
    offset = 0
    for place, size in taken:
        if offset + words <= place:
            break
        offset = max(offset, place + size)
    made.arena = max(made.arena, offset + words)
    return offset
