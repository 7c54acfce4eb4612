"""The file of an INT8 network, read and checked without torch: here every reader begins.

It is a safetensors file: the length of a header (8 bytes), the header, the arrays. The header
holds the network as :func:`sparq_utils.networks.int8.export_int8` describes it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import inf, prod
from pathlib import Path

import numpy as np

DTYPES = {"I8": np.int8, "F32": np.float32}

LARGEST_WEIGHT = {8: 128, 4: 7, 2: 1}
"""By how many bits weights have: what their int8 may be, up or down."""

MOST_TIMESTEPS = 4_096
LARGEST = 2**24
"""Numbers that an image, or a layer's answer to one, may have: checked before memory is taken."""


def read(path: str | Path) -> dict:
    """The network in a file, as plain data, its weights int8 and its biases float32.

    Raises `FileNotFoundError` or, for a damaged, foreign or impossible file, `ValueError`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no INT8 network at {path}; 'python -m sparq_utils run' makes one")
    with named(path):
        network = _parsed(path.read_bytes())
        check(network)
    return network


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Turn whatever a file's impossible content leads to into one `ValueError` that names it."""
    try:
        yield
    except (
        *(KeyError, TypeError, ValueError, IndexError, AttributeError),
        *(OverflowError, RuntimeError, MemoryError),  # of deep brackets and impossible layers
    ) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ValueError(
            f"{path} is no INT8 network of this package ({reason.removeprefix('ValueError: ')}); "
            "put the recorded file back, or move it away and make it again"
        ) from error


def _parsed(content: bytes) -> dict:
    """What a file says."""
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    network = json.loads(header.pop("__metadata__")["network"])
    for name, entry in header.items():
        number, key = name.split(".")
        first, last = (begin + offset for offset in entry["data_offsets"])
        array = np.frombuffer(content[first:last], DTYPES[entry["dtype"]])
        network["layers"][int(number)][key] = array.reshape(entry["shape"])
    return network


def check(network: Mapping) -> None:
    """Raise `ValueError` for a description of which no network can be built.

    Everything a reader relies on: what each layer needs, in range, finite; and that features fit
    from layer to layer, all the way to the logits of every exit.
    """
    _whole("timesteps", network["timesteps"], 1, MOST_TIMESTEPS)
    if network["encoding"] not in ("analog", "direct", "rate", "latency", "events"):
        raise ValueError(f"unknown encoding {network['encoding']!r}")
    name = network["name"]  # of files and in generated code, too
    if not isinstance(name, str) or not name.isprintable() or not name or set(name) & set('/\\*"'):
        raise ValueError(f"its name is {name!r}, expected a word")
    parts: dict[str, list[Mapping]] = {}
    for layer in network["layers"]:
        _check_layer(layer)
        parts.setdefault(layer["part"], []).append(layer)
    exits = range(sum(part.startswith("head") for part in parts))
    expected = {f"{kind}{exit_}" for kind in ("stage", "head") for exit_ in exits}
    if not exits or set(parts) != expected:
        raise ValueError(f"its parts are {sorted(parts)}, expected a stage and a head per exit")
    features = _shape("input_shape", network["input_shape"], 1)
    if network["encoding"] == "events":  # [T, C, H, W]
        steps, *features = features
        if steps != network["timesteps"]:
            raise ValueError(f"events of {steps} steps for {network['timesteps']} timesteps")
        features = tuple(features)
    classes = set()
    for exit_ in exits:
        features = _through(parts[f"stage{exit_}"], features)
        classes.add(_through(parts[f"head{exit_}"], features))
    if len(classes) > 1 or any(len(shape) != 1 for shape in classes):
        raise ValueError(f"its exits answer {sorted(classes)}, expected as many classes each")


def _check_layer(layer: Mapping) -> None:
    """Raise `ValueError` for numbers that no layer can have."""
    kind = layer["kind"]
    if kind in ("conv", "linear"):
        _check_synapse(layer, dimensions=4 if kind == "conv" else 2)
    elif kind == "lif":
        _number("threshold", layer["threshold"])
        _number("beta", layer["beta"], most=1)
        if not (isinstance(layer["start"], (int, float)) and 0 <= layer["start"] <= 1):
            raise ValueError(f"start is {layer['start']!r}, expected a share of the threshold")
        if not isinstance(layer["constant_input"], bool):
            raise ValueError(f"constant_input is {layer['constant_input']!r}")
        if layer.get("reset", "subtract") not in ("subtract", "zero"):
            raise ValueError(f"reset is {layer['reset']!r}, expected 'subtract' or 'zero'")
    elif kind == "levels":
        _number("threshold", layer["threshold"])
        _whole("levels", layer["levels"], 1, LARGEST)
    elif kind == "identity":
        _number("amplitude", layer["amplitude"])
    elif kind == "avgpool":
        _pair("kernel", layer["kernel"], 1)
    elif kind == "frame":
        _pair("border", layer["border"], 0)
        if not np.isfinite(np.array(layer["values"], float)).all():
            raise ValueError(f"a frame of {layer['values']}")
    elif kind not in ("flatten", "branch", "shortcut", "add"):
        raise ValueError(f"no layer of kind {kind!r} is known")


def _check_synapse(layer: Mapping, dimensions: int) -> None:
    """Raise `ValueError` for weights and scales that no quantiser can have given."""
    weight, bias = np.asarray(layer["weight"]), np.asarray(layer["bias"])
    if weight.dtype != np.int8 or weight.ndim != dimensions or not weight.size:
        raise ValueError(f"weights that are {weight.dtype} {list(weight.shape)}")
    if bias.dtype != np.float32 or bias.shape != weight.shape[:1] or not np.isfinite(bias).all():
        raise ValueError(f"biases that are not {len(weight)} finite numbers")
    bits = layer.get("bits", 8)
    if bits not in LARGEST_WEIGHT or np.abs(weight.astype(int)).max() > LARGEST_WEIGHT[bits]:
        raise ValueError(f"weights beyond {bits!r} bits")
    scales = layer["weight_scale"]
    if isinstance(scales, list) and len(scales) != len(weight):
        raise ValueError(f"{len(scales)} scales for {len(weight)} output channels")
    for scale in scales if isinstance(scales, list) else [scales]:
        _number("weight_scale", scale)
    for side in ("input", "output"):
        _number(f"{side}_scale", layer[f"{side}_scale"])
        _whole(f"{side}_zero_point", layer[f"{side}_zero_point"], 0, 255)
    if dimensions == 4:
        _pair("stride", layer["stride"], 1)
        _pair("padding", layer["padding"], 0)
        _whole("groups", layer.get("groups", 1), 1, len(weight))


def _through(layers: Sequence[Mapping], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of what flows out of a part, for what flows into it."""
    waiting: list[tuple[int, ...]] = []  # of residual blocks: what arrives, then the branch's end
    for layer in layers:
        kind = layer["kind"]
        if kind == "branch":
            waiting.append(shape)
        elif kind == "shortcut":
            waiting[-1], shape = shape, waiting[-1]
        elif kind == "add":
            if waiting.pop() != shape:
                raise ValueError("a residual block whose ways end in different shapes")
        else:
            shape = _after(layer, shape)
        if prod(shape) > LARGEST or not all(size > 0 for size in shape):
            raise ValueError(f"a {kind} layer that gives {list(shape)}")
    if waiting:
        raise ValueError("a residual block that does not end")
    return shape


def _after(layer: Mapping, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a layer's output; raises `ValueError` if it cannot take its input."""
    kind = layer["kind"]
    if kind == "flatten":
        return (prod(shape),)
    if kind == "linear":
        outputs, inputs = layer["weight"].shape
        if shape[-1:] != (inputs,) or len(shape) > 1:
            raise ValueError(f"a linear layer of {inputs} inputs where {list(shape)} arrive")
        return (outputs,)
    if kind in ("lif", "levels", "identity"):
        return shape
    channels, *size = shape
    if len(size) != 2:
        raise ValueError(f"a {kind} layer where {list(shape)} arrive")
    if kind == "avgpool":
        return (channels, *(s // k for s, k in zip(size, layer["kernel"], strict=True)))
    if kind == "frame":
        if len(layer["values"]) != channels:
            raise ValueError(f"a frame of {len(layer['values'])} values for {channels} channels")
        return (channels, *(s + 2 * b for s, b in zip(size, layer["border"], strict=True)))
    outputs, inputs, *kernel = layer["weight"].shape
    groups = layer.get("groups", 1)
    if inputs * groups != channels or outputs % groups:
        raise ValueError(f"a convolution of {inputs * groups} channels where {channels} arrive")
    ways = zip(size, kernel, layer["stride"], layer["padding"], strict=True)
    return (outputs, *((s + 2 * border - k) // step + 1 for s, k, step, border in ways))


def _whole(what: str, value: object, least: int, most: int) -> None:
    """Refuse what is no whole number of this range."""
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{what} is {value!r}, expected a whole number from {least} to {most}")


def _number(what: str, value: object, most: float = inf) -> None:
    """Refuse what is no positive, finite number up to the most."""
    if type(value) not in (int, float) or not 0 < value <= most or value == inf:
        raise ValueError(f"{what} is {value!r}, expected a positive number")


def _pair(what: str, value: object, least: int) -> None:
    """Refuse what are not two whole numbers."""
    if len(_shape(what, value, least)) != 2:
        raise ValueError(f"{what} is {value!r}, expected two whole numbers")


def _shape(what: str, value: object, least: int) -> tuple[int, ...]:
    """Whole numbers, each at least so much, not too many and not too large together."""
    if not isinstance(value, (list, tuple)) or not 0 < len(value) <= 4:
        raise ValueError(f"{what} is {value!r}, expected whole numbers")
    for size in value:
        _whole(what, size, least, LARGEST)
    if prod(value) > LARGEST:
        raise ValueError(f"{what} is {value!r}: too large")
    return tuple(value)
