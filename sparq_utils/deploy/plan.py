"""An INT8 network as a list of steps for a machine with little memory: what runs, on what, where.

Each step reads one map of features and writes another; all maps lie in a single arena, where they
share the places that are free again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from sparq_utils.deploy.steps import Map, Plan, Step

MOST_SHARED = 255
"""Spikes that may share an input: their sum is a byte."""

MOST_POOLED = 2**12
"""Levels whose sum is rounded to a byte afterwards."""

MOST_STEPS = 32
"""Timesteps of a neuron whose spikes fit a word."""


def plan(network: Mapping, dense: bool = False) -> Plan:
    """The steps of a network given as :func:`~sparq_utils.networks.int8.export_int8` does.

    With `dense` features are numbers, and every weight will be met. Raises `ValueError`, naming
    the layer, for what the C file has no code for.
    """
    if network["encoding"] not in ("direct", "analog"):
        raise ValueError(
            f"{network['name']} takes {network['encoding']}-coded spikes; the C file takes images: "
            "use encoding='direct'"
        )
    if network["timesteps"] > MOST_STEPS:
        raise ValueError(
            f"{network['name']} takes {network['timesteps']} timesteps, the C file {MOST_STEPS} "
            "at most"
        )
    shape = tuple(network["input_shape"])
    channels, height, width = shape if len(shape) == 3 else (int(np.prod(shape)), 1, 1)
    exits = len({layer["part"] for layer in network["layers"] if layer["part"][:4] == "head"})
    image = Map(height, width, channels, 255, "pixels")
    made = Plan(network["name"], image, network["timesteps"], exits, 0, dense)
    features = image, False
    for exit_ in range(exits):
        features = _through(made, network, f"stage{exit_}", features)
        _through(made, network, f"head{exit_}", features)
    first = made.steps[0]
    levels = np.rint(np.arange(256, dtype=np.float32) / np.float32(255)
                     * (np.float32(1) / np.float32(first.layer["input_scale"])))  # fmt: skip
    levels = np.clip(levels, 0, 255).astype(np.uint8)
    made.pixels = None if (levels == np.arange(256)).all() else levels
    _place(made)
    return made


def _through(made: Plan, network: Mapping, part: str, features: tuple[Map, bool]) -> tuple:
    """Add a part's steps. Gives what flows out of it, and whether that is flattened."""
    layers = [layer for layer in network["layers"] if layer["part"] == part]
    blocks: list[Block] = []
    for number, layer in enumerate(layers):
        kind, name = layer["kind"], f"{part}_{layer['kind']}{number}"
        following = layers[number + 1] if number + 1 < len(layers) else None
        source, flat = features
        if kind in ("lif", "levels"):
            continue
        if kind == "flatten":
            features = source, True
            continue
        if kind == "branch":
            blocks.append(Block(features))
            continue
        if kind == "shortcut":
            features = blocks[-1].arriving
            continue
        if kind in ("conv", "linear", "identity"):
            step = _synapse(made, part, name, layer, source, flat)
            if blocks and following and following["kind"] in ("shortcut", "add"):
                blocks[-1].ways.append(step)
                continue
            if following or not part.startswith("head") or step.weights is None:
                _add_neurons(made, step, following)
            elif source is made.image:
                raise ValueError(f"{name} would answer from the image itself: put neurons before "
                                 "an exit")  # fmt: skip
            else:
                made.classes = len(step.weights)
        elif kind == "add":
            step = _join(name, blocks.pop().ways)
            _add_neurons(made, step, following)
        elif kind == "avgpool":
            step = _pool(made, part, name, layer, source, flat)
        else:
            raise ValueError(f"{name}: the C file knows no layer of kind '{kind}'")
        made.steps.append(step)
        features = (step.target or source), False
    if part.startswith("head") and (not layers or layers[-1]["kind"] != "linear"):
        raise ValueError(f"{part} ends in no linear layer: there are no logits to compare")
    return features


@dataclass
class Block:
    """A residual block: what arrives at it, and the ends of its ways so far."""

    arriving: tuple[Map, bool]
    ways: list[Step] = field(default_factory=list)


def _join(name: str, ways: list[Step]) -> Step:
    """The step in which the ways of a residual block meet, the other beside it."""
    if len(ways) != 2:
        raise ValueError(f"{name}: a way of this block ends in no synapse, which the C file has "
                         "no code for")  # fmt: skip
    step, beside = ways if ways[0].weights is not None else reversed(ways)
    if step.weights is None:
        raise ValueError(f"{name} adds what arrives to itself, which the C file has no code for")
    if step.outputs != beside.outputs:
        raise ValueError(f"{name} cannot add {list(beside.outputs)} to {list(step.outputs)}")
    if "pixels" in (step.source.kind, beside.source.kind):
        raise ValueError(f"{name} adds up what comes from the image itself: put neurons before "
                         "the first block")  # fmt: skip
    step.beside = beside
    return step


def _synapse(made: Plan, part: str, name: str, layer: Mapping, source: Map, flat: bool) -> Step:
    """A synapse, not yet with anything behind it."""
    if layer["kind"] == "identity":
        if source.sums:
            raise ValueError(f"{name} hands on {source.sums} spikes, more than a byte holds")
        return Step(part, name, "identity", layer, source, None, (1, 1))
    height, width, channels = source.height, source.width, source.channels
    weight = np.asarray(layer["weight"], np.int8)
    if np.ndim(layer["weight_scale"]):
        raise ValueError(f"{name} has a scale per channel, the C file one per layer: "
                         "quantize_aware() without per_channel, or leave by to_onnx()")  # fmt: skip
    arriving = f"[{height}, {width}, {channels}] [height, width, channels]"
    if layer["input_zero_point"] != 0 or source.most > MOST_SHARED:
        raise ValueError(f"{name}: its input is no byte from zero up ({source.most} at most)")
    if source.sums:
        _round(name, layer, source)
    elif source is not made.image and round(1 / layer["input_scale"]) != source.most:
        raise ValueError(f"{name} rounds the spikes that arrive; the C file adds them up exactly")
    if layer.get("groups", 1) > 1:
        raise ValueError(f"{name} is a convolution in groups, which the C file has no code for: "
                         "leave by to_onnx()")  # fmt: skip
    if layer["kind"] == "linear":
        if weight.shape[1] != height * width * channels or not (flat or height * width == 1):
            raise ValueError(f"{name} takes {weight.shape[1]} inputs, {arriving} arrive")
        weight = weight.reshape(-1, channels, height, width)
        stride, padding = (1, 1), (0, 0)
    else:
        padding, stride = tuple(layer["padding"]), tuple(layer["stride"])
    weights = weight.transpose(0, 2, 3, 1)  # [outputs, rows, columns, channels]
    step = Step(part, name, layer["kind"], layer, source, None, weights.shape[1:3], stride,
                padding, weights)  # fmt: skip
    if weights.shape[3] != channels or min(step.outputs) < 1 or (flat and layer["kind"] == "conv"):
        raise ValueError(f"{name} cannot take {arriving}")
    _check_range(name, layer, weight, source.most)
    source.rim = tuple(max(both) for both in zip(source.rim, padding, strict=True))
    return step


def _round(name: str, layer: Mapping, source: Map) -> None:
    """Let pooled sums become the bytes that a synapse takes them for."""
    means = np.arange(source.sums + 1, dtype=np.float32) / np.float32(source.sums)
    levels = np.rint(means * (np.float32(1) / np.float32(layer["input_scale"])))
    rounded = np.clip(levels, 0, 255).astype(np.uint8)
    if source.rounded is not None and (rounded != source.rounded).any():
        raise ValueError(f"{name} rounds what was pooled otherwise than another layer does")
    source.rounded = rounded


def _add_neurons(made: Plan, step: Step, neurons: Mapping | None) -> None:
    """Let neurons answer to a step."""
    if neurons is None or neurons["kind"] not in ("lif", "levels"):
        raise ValueError(f"{step.name} is followed by no neurons, which the C file has no code for")
    if neurons.get("reset") == "zero":
        raise ValueError(
            f"{step.name}: its neurons reset to zero, those of the C file by subtraction: "
            "convert(reset='subtract'), or leave by to_onnx()"
        )
    if step.weights is None:
        raise ValueError(
            f"{step.name} leads to neurons by itself, which the C file has no code for"
        )
    most = neurons["levels"] if neurons["kind"] == "levels" else 1
    step.neurons, step.target = neurons, _features(made, *step.outputs, most)


def _features(made: Plan, height: int, width: int, channels: int, most: int) -> Map:
    """A map of what neurons say at every step."""
    if made.dense:
        return Map(height, width, channels, most, "numbers", made.timesteps)
    # before the steps comes the lane of neurons that fire at all of them
    lanes = made.timesteps + (made.timesteps > 1)
    return Map(height, width, channels, most, "bits", lanes)


def _check_range(name: str, layer: Mapping, weight: np.ndarray, most: int) -> None:
    """Refuse sums beyond what the rounding in the C file is right for."""
    sums = np.abs(weight.reshape(len(weight), -1).astype(np.int64)).sum(1).max() * most
    unit = layer["input_scale"] * layer["weight_scale"]
    reach = (sums + np.abs(np.asarray(layer["bias"])).max() / unit) * unit / layer["output_scale"]
    if not (reach < 2**22 and sums < 2**31):
        raise ValueError(f"{name}: sums may reach {reach:.3g} steps, which 32 bits do not hold")


def _pool(made: Plan, part: str, name: str, layer: Mapping, source: Map, flat: bool) -> Step:
    """A pooling over windows side by side."""
    tall, wide = layer["kernel"]
    most = source.most * tall * wide
    too_many = most > MOST_SHARED and made.timesteps > 1
    if source is made.image or too_many or source.sums or most > MOST_POOLED or flat:
        arriving = [source.height, source.width, source.channels]
        raise ValueError(f"{name} cannot pool {arriving} of up to {source.most} spikes")
    size = source.height // tall, source.width // wide, source.channels
    target = _features(made, *size, min(most, MOST_SHARED))
    target.sums = most if most > MOST_SHARED else 0
    return Step(part, name, "avgpool", layer, source, target, (tall, wide), (tall, wide))


def _place(made: Plan) -> None:
    """Give every map the lowest place where it meets nothing that is still needed."""
    last = {id(way.source): number for number, step in enumerate(made.steps) for way in step.ways}
    placed: list[Map] = []
    # rows of an image are read four bytes at a time: the caller's own may end sooner
    reads_rows = made.steps[0].kind == "conv" and made.image.row % 4
    if made.image.rim != (0, 0) or made.pixels is not None or reads_rows:
        made.image.place = 0
        placed.append(made.image)
    for number, step in enumerate(made.steps):
        if step.target is None:
            continue
        offset = 0
        for other in sorted(placed, key=lambda one: one.place):
            if last[id(other)] < number:
                continue
            if offset + step.target.size <= other.place:
                break
            offset = max(offset, -(-(other.place + other.size) // 4) * 4)
        step.target.place = offset
        placed.append(step.target)
    made.arena = max((one.place + one.size for one in placed), default=0)
