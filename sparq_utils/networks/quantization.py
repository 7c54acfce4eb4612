"""Eight bits: quantisation-aware training and real INT8 kernels for (spiking) networks.

Every synapse becomes a QuantStub - synapse - DeQuantStub region; neurons stay in floating point.
Observers are plain MinMax, per tensor, 8 bits (Jacob et al., 2018), as in the paper. Spikes need
no observer: after average pooling over k positions they are multiples of 1/k, so a grid with that
step holds them exactly.
"""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.ao import quantization as ao
from torch.ao.nn import quantized as nnq

from sparq_utils.networks.conversion import SYNAPSES, set_layers
from sparq_utils.networks.early_exit import EarlyExitNetwork, leaves
from sparq_utils.networks.encoding import ENCODERS
from sparq_utils.networks.pooling import AveragePool
from sparq_utils.networks.spiking import LIF

WEIGHT = ao.FakeQuantize.with_args(
    observer=ao.MinMaxObserver,
    dtype=torch.qint8,
    quant_min=-127,
    quant_max=127,
    qscheme=torch.per_tensor_symmetric,
)
ACTIVATION = ao.FakeQuantize.with_args(
    observer=ao.MinMaxObserver,
    dtype=torch.quint8,
    quant_min=0,
    quant_max=255,
    qscheme=torch.per_tensor_affine,
)


class QuantizedSynapse(nn.Module):
    """QuantStub - convolution or linear layer - DeQuantStub: an 8-bit region in a float network.

    `levels`, for spiking inputs, is the number of spikes that share an input (1, or the pooling
    area); None means analog inputs, whose range is observed.
    """

    def __init__(self, synapse: nn.Module, levels: int | None = None) -> None:
        super().__init__()
        self.quant, self.synapse, self.dequant = ao.QuantStub(), synapse, ao.DeQuantStub()
        self.qconfig = ao.QConfig(activation=ACTIVATION, weight=WEIGHT)
        if levels is not None:
            grid = ao.FixedQParamsFakeQuantize.with_args(
                observer=ao.FixedQParamsObserver.with_args(
                    scale=1 / levels, zero_point=0, dtype=torch.quint8, quant_min=0, quant_max=255
                )
            )
            self.quant.qconfig = ao.QConfig(activation=grid, weight=WEIGHT)

    def train(self, mode: bool = True) -> "QuantizedSynapse":
        """Observers watch in training mode alone: an evaluation leaves the network as it was."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, ao.FakeQuantize):
                module.enable_observer(mode)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Floats to floats; in between, fake-quantised or INT8."""
        return self.dequant(self.synapse(self.quant(x)))


def quantize_aware(network: EarlyExitNetwork) -> EarlyExitNetwork:
    """A copy with fake quantisation in place, ready to be fine-tuned with :func:`train`.

    Batch norm must be folded already (:func:`~sparq_utils.networks.conversion.convert` and
    :func:`~sparq_utils.networks.conversion.fold_batch_norm` do); raises `ValueError` if it is not.
    """
    if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules()):
        raise ValueError("fold batch norm first: use convert() or fold_batch_norm()")
    prepared = deepcopy(network)
    prepared.requires_grad_(True)
    after_stage: int | None = None
    if any(isinstance(m, LIF) for m in network.modules()) and not _direct(network):
        after_stage = 1
    for kind, _, part in prepared.parts():
        set_layers(part, list(leaves(part)))  # a plain network nests its stages
        levels = after_stage
        for position, layer in enumerate(part):
            if isinstance(layer, SYNAPSES):
                # 8 bits hold 255 spikes; beyond, the range is observed as for analog inputs
                exact = levels if levels and levels <= 255 else None
                part[position] = QuantizedSynapse(layer, exact)
                levels = None
            elif isinstance(layer, LIF):
                levels = 1
            elif isinstance(layer, nn.AvgPool2d) and levels:
                size = layer.kernel_size
                levels *= size * size if isinstance(size, int) else size[0] * size[1]
        if kind == "stage":
            after_stage = levels
    with _quiet():
        torch.backends.quantized.engine = "fbgemm"
        return ao.prepare_qat(prepared.train(), inplace=True)


def _direct(network: EarlyExitNetwork) -> bool:
    """Whether the image drives the first neurons as a constant current."""
    return any(getattr(m, "constant_input", False) for m in network.modules())


@torch.no_grad()
def calibrate(prepared: EarlyExitNetwork, images: Tensor, batch_size: int = 250) -> None:
    """Let the observers of a prepared network see images, in place: post-training quantisation."""
    prepared.train()
    for batch in images.split(batch_size):
        prepared(batch)
    prepared.eval()


def to_int8(prepared: EarlyExitNetwork) -> EarlyExitNetwork:
    """A copy of a prepared network that runs on FBGEMM's INT8 kernels (x86 CPU)."""
    with _quiet():
        torch.backends.quantized.engine = "fbgemm"
        return ao.convert(deepcopy(prepared).cpu().eval(), inplace=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the notices that eager quantisation is to move to another package."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module="torch")
        warnings.filterwarnings("ignore", message=".*quantized tensor creation functions")
        yield


def export_int8(network: EarlyExitNetwork) -> dict:
    """An INT8 network as plain data: `name`, `input_shape`, `timesteps`, `encoding`, `layers`.

    Each layer is a dict with `part` ("stage0", "head0", ...), `kind` ("conv", "linear", "lif",
    "avgpool", "flatten") and what its arithmetic needs; weights int8, biases float32.

    Raises `ValueError` if the network is not one that :func:`to_int8` made.
    """
    encoding = next((n for n, e in ENCODERS.items() if type(network.encoder) is e), "analog")
    layers = [
        {"part": f"{kind}{index}", **_export_layer(layer)}
        for kind, index, part in network.parts()
        for layer in leaves(part)
    ]
    return {
        "name": network.name,
        "input_shape": list(network.input_shape),
        "timesteps": network.timesteps,
        "encoding": encoding,
        "layers": layers,
    }


def _export_layer(layer: nn.Module) -> dict:
    """One layer as plain data."""
    if isinstance(layer, QuantizedSynapse) and hasattr(layer.quant, "scale"):
        synapse = layer.synapse
        weight, bias = synapse.weight(), synapse.bias()
        entry = {
            "kind": "conv" if weight.dim() == 4 else "linear",
            "weight": weight.int_repr(),
            "weight_scale": weight.q_scale(),
            "bias": bias.detach() if bias is not None else torch.zeros(len(weight)),
            "input_scale": float(layer.quant.scale),
            "input_zero_point": int(layer.quant.zero_point),
            "output_scale": float(synapse.scale),
            "output_zero_point": int(synapse.zero_point),
        }
        if weight.dim() == 4:
            entry |= {"stride": list(synapse.stride), "padding": list(synapse.padding)}
        return entry
    if isinstance(layer, LIF):
        return {
            "kind": "lif",
            "threshold": layer.threshold,
            "beta": layer.beta,
            "start": layer.start,
            "constant_input": layer.constant_input,
        }
    if isinstance(layer, nn.AvgPool2d):
        size = layer.kernel_size
        return {"kind": "avgpool", "kernel": [size, size] if isinstance(size, int) else list(size)}
    if isinstance(layer, nn.Flatten):
        return {"kind": "flatten"}
    raise ValueError(f"a {type(layer).__name__} is no layer of an INT8 network: use to_int8()")


def save_int8(network: EarlyExitNetwork, path: str | Path) -> None:
    """Write an INT8 network as safetensors; an interrupted write leaves the old file whole."""
    described = export_int8(network)
    tensors = {}
    for number, layer in enumerate(described["layers"]):
        for key in ("weight", "bias"):
            if key in layer:
                tensors[f"{number}.{key}"] = layer.pop(key).contiguous()
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"network": json.dumps(described)})
    partial.replace(path)


def load_int8(path: str | Path) -> EarlyExitNetwork:
    """Read a network written by :func:`save_int8`.

    Raises `FileNotFoundError` or, for a damaged or foreign file, `ValueError`.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no INT8 network at {path}; 'python -m sparq_utils run' makes one")
    try:
        with safe_open(str(path), "pt") as file:
            described = json.loads(file.metadata()["network"])
            for number, layer in enumerate(described["layers"]):
                if layer["kind"] in ("conv", "linear"):
                    layer["weight"] = file.get_tensor(f"{number}.weight")
                    layer["bias"] = file.get_tensor(f"{number}.bias")
        with _quiet():
            return _build_int8(described)
    except (
        *(SafetensorError, KeyError, TypeError, ValueError),
        *(AttributeError, IndexError, RuntimeError),  # what impossible descriptions raise
    ) as error:
        raise ValueError(f"{path} is no INT8 network of this package ({error})") from error


def _build_int8(described: dict) -> EarlyExitNetwork:
    """The network that :func:`export_int8` described."""
    torch.backends.quantized.engine = "fbgemm"
    parts: dict[str, list[nn.Module]] = {}
    for layer in described["layers"]:
        built = _build_layer(layer, described["timesteps"])
        parts.setdefault(layer["part"], []).append(built)
    exits = sum(part.startswith("head") for part in parts)
    network = EarlyExitNetwork(
        [nn.Sequential(*parts[f"stage{i}"]) for i in range(exits)],
        [nn.Sequential(*parts[f"head{i}"]) for i in range(exits)],
        described["input_shape"],
        described["name"],
    )
    network.timesteps = described["timesteps"]
    if described["encoding"] != "analog":
        network.encoder = ENCODERS[described["encoding"]](described["timesteps"])
    return network.eval()


def _build_layer(layer: dict, timesteps: int) -> nn.Module:
    """One layer from its description."""
    if layer["kind"] == "lif":
        keys = ("threshold", "beta", "start", "constant_input")
        return LIF(timesteps=timesteps, **{key: layer[key] for key in keys})
    if layer["kind"] == "avgpool":
        return AveragePool(tuple(layer["kernel"]))
    if layer["kind"] == "flatten":
        return nn.Flatten()
    weight = torch._make_per_tensor_quantized_tensor(layer["weight"], layer["weight_scale"], 0)
    if layer["kind"] == "conv":
        outputs, inputs, *kernel = weight.shape
        synapse = nnq.Conv2d(inputs, outputs, kernel, layer["stride"], layer["padding"])
    else:
        synapse = nnq.Linear(weight.shape[1], weight.shape[0])
    synapse.set_weight_bias(weight, layer["bias"])
    synapse.scale, synapse.zero_point = layer["output_scale"], layer["output_zero_point"]
    region = QuantizedSynapse(synapse)
    region.quant = nnq.Quantize(
        torch.tensor(layer["input_scale"]), torch.tensor(layer["input_zero_point"]), torch.quint8
    )
    region.dequant = nnq.DeQuantize()
    return region


def size_bytes(network: nn.Module) -> int:
    """Bytes of all weights and biases as stored: 4 each in FP32, 1 a weight in INT8."""
    total = 0
    for module in network.modules():
        if isinstance(module, (nnq.Conv2d, nnq.Linear)):
            bias = module.bias()
            total += module.weight().numel() + (0 if bias is None else 4 * bias.numel())
        elif isinstance(module, SYNAPSES):
            total += sum(p.numel() * p.element_size() for p in module.parameters(recurse=False))
    return total
