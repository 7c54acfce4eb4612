"""An INT8 network as a list of steps for a machine with little memory: what runs, on what, where.

Each step reads one map of features and writes another; all maps lie in a single arena, where they
share the places that are free again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

MOST_SHARED = 255
"""Spikes that may share an input: their sum is a byte."""

MOST_STEPS = 32
"""Timesteps of a neuron whose spikes fit a word."""


@dataclass(eq=False)
class Map:
    """Features [height, width, channels] as they lie in memory, numbers from 0 to `most`.

    `kind` "pixels": an image, bytes. "bits": bytes of eight channels, for each of `lanes` and each
    bit of a number. "numbers": a byte for each channel, for each of `lanes`. Around them lies a
    `rim` of rows and columns of zeros. `place` is an offset into the arena in bytes; None is the
    caller's image itself.
    """

    height: int
    width: int
    channels: int
    most: int
    kind: str
    lanes: int = 1
    rim: tuple[int, int] = (0, 0)
    place: int | None = None

    @property
    def position(self) -> int:
        """Bytes of a position."""
        return -(-self.channels // 8) if self.kind == "bits" else self.channels

    @property
    def row(self) -> int:
        """Bytes from one row to the next."""
        return (self.width + 2 * self.rim[1]) * self.position

    @property
    def plane(self) -> int:
        """Bytes from one plane to the next."""
        return (self.height + 2 * self.rim[0]) * self.row

    @property
    def planes(self) -> int:
        """Planes of a lane."""
        return self.most.bit_length() if self.kind == "bits" else 1

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self.lanes * self.planes * self.plane

    def corner(self, padding: tuple[int, int] = (0, 0)) -> int:
        """Where the first row and column lie, or the padding before them."""
        down, right = (rim - pad for rim, pad in zip(self.rim, padding, strict=True))
        return down * self.row + right * self.position


@dataclass
class Step:
    """A synapse with the neurons (or the exit) behind it, or a pooling.

    `kind` "conv", "linear" or "avgpool". `weights` int8 [outputs, rows, columns, channels]; those
    of a linear layer form a window over all of its input. A step without `target` is an exit.
    """

    part: str
    name: str
    kind: str
    layer: Mapping
    source: Map
    target: Map | None
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    weights: np.ndarray | None = None
    neurons: Mapping | None = None

    @property
    def is_exit(self) -> bool:
        """Whether an image may leave here."""
        return self.target is None


@dataclass
class Plan:
    """The steps of a network and what they need. `arena` counts bytes.

    `pixels` uint8 [256] is what the network takes a pixel for, None if that is the pixel.
    """

    name: str
    image: Map
    timesteps: int
    exits: int
    classes: int
    dense: bool
    steps: list[Step] = field(default_factory=list)
    arena: int = 0
    pixels: np.ndarray | None = None


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
    for number, layer in enumerate(layers):
        name = f"{part}_{layer['kind']}{number}"
        following = layers[number + 1] if number + 1 < len(layers) else None
        source, flat = features
        if layer["kind"] == "flatten":
            features = source, True
            continue
        if layer["kind"] in ("lif", "levels"):
            continue
        if layer["kind"] in ("conv", "linear"):
            step = _synapse(made, part, name, layer, following, source, flat)
        elif layer["kind"] == "avgpool":
            step = _pool(made, part, name, layer, source, flat)
        else:
            raise ValueError(f"{name}: the C file knows no layer of kind '{layer['kind']}'")
        made.steps.append(step)
        features = (step.target or source), False
    if part.startswith("head") and (not layers or layers[-1]["kind"] != "linear"):
        raise ValueError(f"{part} ends in no linear layer: there are no logits to compare")
    return features


def _synapse(
    made: Plan, part: str, name: str, layer: Mapping, following: Mapping | None, source: Map,
    flat: bool,
) -> Step:  # fmt: skip
    """A synapse and the neurons behind it."""
    height, width, channels = source.height, source.width, source.channels
    weight = np.asarray(layer["weight"], np.int8)
    if np.ndim(layer["weight_scale"]):
        raise ValueError(f"{name} has a scale per channel, the C file one per layer: "
                         "quantize_aware() without per_channel, or leave by to_onnx()")  # fmt: skip
    neurons = following if following and following["kind"] in ("lif", "levels") else None
    if neurons and neurons.get("reset") == "zero":
        raise ValueError(f"{name}: its neurons reset to zero, those of the C file by subtraction: "
                         "convert(reset='subtract'), or leave by to_onnx()")  # fmt: skip
    is_exit = part.startswith("head") and following is None
    is_image = source is made.image
    arriving = f"[{height}, {width}, {channels}] [height, width, channels]"
    if neurons is None and not is_exit:
        raise ValueError(f"{name} is followed by no neurons, which the C file has no code for")
    if is_exit and is_image:
        raise ValueError(f"{name} would answer from the image itself: put neurons before an exit")
    if layer["input_zero_point"] != 0 or source.most > MOST_SHARED:
        raise ValueError(f"{name}: its input is no byte from zero up ({source.most} at most)")
    if not is_image and round(1 / layer["input_scale"]) != source.most:
        raise ValueError(f"{name} rounds the spikes that arrive; the C file adds them up exactly")
    if layer["kind"] == "linear":
        if weight.shape[1] != height * width * channels or not (flat or height * width == 1):
            raise ValueError(f"{name} takes {weight.shape[1]} inputs, {arriving} arrive")
        weight = weight.reshape(-1, channels, height, width)
        out, stride, padding = (1, 1), (1, 1), (0, 0)
    else:
        padding, stride = tuple(layer["padding"]), tuple(layer["stride"])
        tall, wide = weight.shape[2:]
        out = (
            (height + 2 * padding[0] - tall) // stride[0] + 1,
            (width + 2 * padding[1] - wide) // stride[1] + 1,
        )
        if weight.shape[1] != channels or flat or min(out) < 1:
            raise ValueError(f"{name} cannot take {arriving}")
    _check_range(name, layer, weight, source.most)
    source.rim = tuple(max(both) for both in zip(source.rim, padding, strict=True))
    if is_exit:
        made.classes, target = len(weight), None
    else:
        most = neurons["levels"] if neurons["kind"] == "levels" else 1
        target = _features(made, *out, len(weight), most)
    weights = weight.transpose(0, 2, 3, 1)  # [outputs, rows, columns, channels]
    return Step(part, name, layer["kind"], layer, source, target, weights.shape[1:3], stride,
                padding, weights, neurons)  # fmt: skip


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
    if source is made.image or most > MOST_SHARED or flat:
        arriving = [source.height, source.width, source.channels]
        raise ValueError(f"{name} cannot pool {arriving} of up to {source.most} spikes")
    target = _features(made, source.height // tall, source.width // wide, source.channels, most)
    return Step(part, name, "avgpool", layer, source, target, (tall, wide), (tall, wide))


def _place(made: Plan) -> None:
    """Give every map the lowest place where it meets nothing that is still needed."""
    last = {id(step.source): number for number, step in enumerate(made.steps)}
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
