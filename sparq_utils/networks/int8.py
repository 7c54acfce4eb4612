"""INT8 networks as plain data and as files: what chapter 9 saves, the page and the C file run."""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.ao.nn import quantized as nnq

from sparq_utils.files import write_whole
from sparq_utils.int8_file import named, read
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.encoding import CODINGS, coding_of
from sparq_utils.networks.levels import LevelActivation
from sparq_utils.networks.normalization import Frame
from sparq_utils.networks.pooling import AveragePool, pair
from sparq_utils.networks.quantization import quietly
from sparq_utils.networks.quantized_synapse import QuantizedSynapse
from sparq_utils.networks.residual import IdentitySynapse, Residual, blocks_of
from sparq_utils.networks.spiking import LIF


def export_int8(network: EarlyExitNetwork) -> dict:
    """An INT8 network as plain data: `name`, `input_shape`, `timesteps`, `encoding`, `layers`.

    Each layer is a dict with `part` ("stage0", "head0", ...), `kind` ("conv", "linear",
    "identity", "lif", "levels", "avgpool", "flatten", "frame" around an image) and what its
    arithmetic needs; weights int8 (of fewer `bits` where it says so), with one `weight_scale` or a
    list of one per output channel; biases float32. A residual block is a "branch", the layers of
    its branch, a "shortcut" (go on from what arrived at "branch"), the layers of its shortcut, and
    an "add" of the two.

    Raises `ValueError` if the network is not one that :func:`to_int8` made.
    """
    layers = [
        {"part": f"{kind}{index}", **layer}
        for kind, index, part in network.parts()
        for layer in _export(part)
    ]
    return {
        "name": network.name,
        "input_shape": list(network.input_shape),
        "timesteps": network.timesteps,
        "encoding": coding_of(network.encoder),
        "layers": layers,
    }


def _export(part: nn.Module) -> Iterator[dict]:
    """The layers of a part as plain data, residual blocks taken apart."""
    for block in blocks_of(part):
        if isinstance(block, Residual):
            yield {"kind": "branch"}
            yield from _export(block.branch)
            yield {"kind": "shortcut"}
            yield from _export(block.shortcut)
            yield {"kind": "add"}
        else:
            yield _export_layer(block)


def _export_layer(layer: nn.Module) -> dict:
    """One layer as plain data."""
    if isinstance(layer, QuantizedSynapse) and hasattr(layer.quant, "scale"):
        synapse = layer.synapse
        weight, bias = synapse.weight(), synapse.bias()
        entry = {
            "kind": "conv" if weight.dim() == 4 else "linear",
            "weight": weight.int_repr(),
            "weight_scale": _scale_of(weight),
            "bias": bias.detach() if bias is not None else torch.zeros(len(weight)),
            "input_scale": float(layer.quant.scale),
            "input_zero_point": int(layer.quant.zero_point),
            "output_scale": float(synapse.scale),
            "output_zero_point": int(synapse.zero_point),
        }
        if layer.bits != 8:
            entry["bits"] = layer.bits
        if weight.dim() == 4:
            entry |= {"stride": list(synapse.stride), "padding": list(synapse.padding)}
            if synapse.groups > 1:
                entry["groups"] = synapse.groups
            if tuple(synapse.dilation) != (1, 1):
                raise ValueError("a dilated convolution is in no INT8 file: use dilation=1")
        return entry
    if type(layer) is LIF:  # a subclass would come back as something else
        return {
            "kind": "lif",
            "threshold": layer.threshold,
            "beta": layer.beta,
            "start": layer.start,
            "constant_input": layer.constant_input,
            **({"reset": layer.reset} if layer.reset != "subtract" else {}),
        }
    if isinstance(layer, IdentitySynapse):
        return {"kind": "identity", "amplitude": layer.amplitude}
    if isinstance(layer, LevelActivation):
        return {"kind": "levels", "threshold": layer.threshold, "levels": layer.levels}
    if isinstance(layer, nn.AvgPool2d):
        kernel = pair(layer.kernel_size)
        if pair(layer.stride) != kernel or pair(layer.padding) != (0, 0) or layer.ceil_mode:
            raise ValueError("an INT8 file holds average pooling over windows side by side alone")
        return {"kind": "avgpool", "kernel": list(kernel)}
    if isinstance(layer, nn.Flatten):
        return {"kind": "flatten"}
    if isinstance(layer, Frame):
        return {"kind": "frame", "values": layer.values.tolist(), "border": list(layer.border)}
    raise ValueError(f"a {type(layer).__name__} is no layer of an INT8 network: use to_int8()")


def _scale_of(weight: Tensor) -> float | list[float]:
    """What a step of quantised weights is worth: in the layer, or in each output channel."""
    if weight.qscheme() == torch.per_tensor_affine:
        return weight.q_scale()
    return weight.q_per_channel_scales().tolist()


def save_int8(network: EarlyExitNetwork, path: str | Path) -> None:
    """Write an INT8 network as safetensors, whole or not at all."""
    described = export_int8(network)
    tensors = {}
    for number, layer in enumerate(described["layers"]):
        for key in ("weight", "bias"):
            if key in layer:
                tensors[f"{number}.{key}"] = layer.pop(key).contiguous()
    write_whole(path, save(tensors, metadata={"network": json.dumps(described)}))


@torch.no_grad()
def load_int8(path: str | Path) -> EarlyExitNetwork:
    """Read a network written by :func:`save_int8`.

    Raises `FileNotFoundError` or, for a damaged or foreign file, `ValueError`.
    """
    path = Path(path)
    described = read(path)
    with named(path), quietly():
        return _build_int8(described)


def _build_int8(described: dict) -> EarlyExitNetwork:
    """The network that :func:`export_int8` described."""
    torch.backends.quantized.engine = "fbgemm"
    parts: dict[str, list[dict]] = {}
    for layer in described["layers"]:
        parts.setdefault(layer["part"], []).append(layer)
    built = {part: _build_part(layers, described["timesteps"]) for part, layers in parts.items()}
    exits = sum(part.startswith("head") for part in parts)
    network = EarlyExitNetwork(
        [built[f"stage{i}"] for i in range(exits)],
        [built[f"head{i}"] for i in range(exits)],
        described["input_shape"],
        described["name"],
    )
    network.timesteps = described["timesteps"]
    network.encoder = _encoder(described)
    return network.eval()


def _encoder(described: dict) -> nn.Module:
    """What turns images into what the first layer takes."""
    if described["encoding"] == "analog":
        return nn.Identity()
    return CODINGS[described["encoding"]](described["timesteps"])


def _build_part(layers: list[dict], timesteps: int) -> nn.Sequential:
    """A stage or head from the descriptions of its layers, its residual blocks put together."""
    ways: list[list[nn.Module]] = [[]]  # the part, and what is open of a block in it
    for layer in layers:
        if layer["kind"] in ("branch", "shortcut"):
            ways.append([])
        elif layer["kind"] == "add":
            shortcut, branch = ways.pop(), ways.pop()
            ways[-1].append(Residual(nn.Sequential(*branch), nn.Sequential(*shortcut)))
        else:
            ways[-1].append(_build_layer(layer, timesteps))
    (part,) = ways
    return nn.Sequential(*part)


def _build_layer(layer: dict, timesteps: int) -> nn.Module:
    """One layer from its description."""
    if layer["kind"] == "lif":
        keys = ("threshold", "beta", "start", "constant_input")
        how = {key: layer[key] for key in keys} | {"reset": layer.get("reset", "subtract")}
        return LIF(timesteps=timesteps, **how)
    if layer["kind"] == "levels":
        return LevelActivation(layer["threshold"], layer["levels"])
    if layer["kind"] == "identity":
        return IdentitySynapse(layer["amplitude"])
    if layer["kind"] == "avgpool":
        return AveragePool(tuple(layer["kernel"]))
    if layer["kind"] == "flatten":
        return nn.Flatten()
    if layer["kind"] == "frame":
        return Frame(layer["values"], layer["border"])
    bias = torch.tensor(layer["bias"])
    weight = _quantised(torch.tensor(layer["weight"]), layer["weight_scale"])
    if layer["kind"] == "conv":
        outputs, inputs, *kernel = weight.shape
        groups = layer.get("groups", 1)
        synapse = nnq.Conv2d(
            inputs * groups, outputs, kernel, layer["stride"], layer["padding"], groups=groups
        )
    else:
        synapse = nnq.Linear(weight.shape[1], weight.shape[0])
    synapse.set_weight_bias(weight, bias)
    synapse.scale, synapse.zero_point = layer["output_scale"], layer["output_zero_point"]
    region = QuantizedSynapse(synapse, bits=layer.get("bits", 8))
    region.quant = nnq.Quantize(
        torch.tensor(layer["input_scale"]), torch.tensor(layer["input_zero_point"]), torch.quint8
    )
    region.dequant = nnq.DeQuantize()
    return region


def _quantised(weight: Tensor, scale: float | list[float]) -> Tensor:
    """Weights int8 [out, ...] as a quantised tensor of one scale, or of one per output channel."""
    if not isinstance(scale, list):
        return torch._make_per_tensor_quantized_tensor(weight, scale, 0)
    scales = torch.tensor(scale, dtype=torch.float64)
    zeros = torch.zeros(len(scale), dtype=torch.int64)
    return torch._make_per_channel_quantized_tensor(weight, scales, zeros, 0)
