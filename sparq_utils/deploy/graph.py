"""Networks as graphs for other programs: `torch.export` and ONNX.

The graph unrolls time: T steps of every neuron become plain additions and comparisons, so that any
runtime can run it. It answers with the logits of every exit; who leaves where is for the program
around it (:mod:`sparq_utils.traces.policies`). An INT8 network keeps its bytes: each synapse stands
between pairs of quantise and dequantise (QDQ), which runtimes turn into their own INT8 kernels.
"""

from copy import deepcopy
from pathlib import Path

import torch
import torch.ao.quantization.fx._decomposed  # registers the operators used below
from torch import Tensor, nn
from torch.ao import quantization as ao
from torch.nn.functional import conv2d, linear

from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.encoding import Direct
from sparq_utils.networks.quantized_synapse import QuantizedSynapse
from sparq_utils.networks.spiking import LIF

OPSET = 20
"""ONNX's version of operators that the graph is written in."""


class _UnrolledLIF(nn.Module):
    """LIF neurons, nothing written in place: [T*b, ...] or [b, ...] to spikes [T*b, ...]."""

    def __init__(self, layer: LIF) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, current: Tensor) -> Tensor:
        """The steps of :func:`~sparq_utils.networks.spiking.integrate`, one after the other."""
        layer, steps = self.layer, [current] * self.layer.timesteps
        if not layer.constant_input:
            steps = current.unflatten(0, (layer.timesteps, -1)).unbind()  # T of [b, ...]
        membrane = torch.full_like(steps[0], layer.start * layer.threshold)
        fired, spikes = torch.zeros_like(steps[0]), []
        for arriving in steps:
            if layer.reset == "zero":
                membrane = layer.beta * (1 - fired) * membrane + arriving
            else:
                membrane = layer.beta * membrane + arriving - layer.threshold * fired
            fired = (membrane > layer.threshold).to(current.dtype)
            spikes.append(fired)
        return torch.cat(spikes)


BYTES = torch.ops.quantized_decomposed
"""PyTorch's operators for what ONNX calls QuantizeLinear and DequantizeLinear."""


class _QDQSynapse(nn.Module):
    """An INT8 synapse as a graph holds it: bytes between floats, floats to floats."""

    def __init__(self, region: QuantizedSynapse) -> None:
        super().__init__()
        synapse = region.synapse
        weight, bias = synapse.weight(), synapse.bias()
        self.arriving = (float(region.quant.scale), int(region.quant.zero_point))
        self.leaving = (float(synapse.scale), int(synapse.zero_point))
        self.geometry = None
        if weight.dim() == 4:
            self.geometry = (synapse.stride, synapse.padding, synapse.dilation, synapse.groups)
        self.register_buffer("weight", weight.int_repr())
        # an INT8 kernel rounds the bias to the scale of its sums, which fewer bits make coarse:
        # there it is added behind the sums, where runtimes leave it a float
        self.inside = region.bits == 8
        shape = (-1, 1, 1) if self.geometry and not self.inside else (-1,)
        self.register_buffer("bias", None if bias is None else bias.detach().view(shape).clone())
        self.scale = None
        if weight.qscheme() == torch.per_tensor_affine:
            self.scale = weight.q_scale()
        else:
            self.register_buffer("scales", weight.q_per_channel_scales().float())  # [out]
            self.register_buffer("zeros", torch.zeros(len(weight), dtype=torch.int8))

    def forward(self, x: Tensor) -> Tensor:
        """Features to currents."""
        limits = (-128, 127, torch.int8)
        if self.scale is None:
            weight = BYTES.dequantize_per_channel(self.weight, self.scales, self.zeros, 0, *limits)
        else:
            weight = BYTES.dequantize_per_tensor(self.weight, self.scale, 0, *limits)
        x, bias = self._as_bytes(x, *self.arriving), self.bias if self.inside else None
        if self.geometry is None:
            current = linear(x, weight, bias)
        else:
            current = conv2d(x, weight, bias, *self.geometry)
        if not self.inside and self.bias is not None:
            current = current + self.bias
        return self._as_bytes(current, *self.leaving)

    @staticmethod
    def _as_bytes(x: Tensor, scale: float, zero: int) -> Tensor:
        """Floats rounded to what a byte can say."""
        grid = (scale, zero, 0, 255, torch.uint8)
        return BYTES.dequantize_per_tensor(BYTES.quantize_per_tensor(x, *grid), *grid)


class _Unrolled(nn.Module):
    """A network as its graph computes it: images [B, *input_shape] to [exits, B, classes]."""

    def __init__(self, network: EarlyExitNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Logits of every exit, averaged over time."""
        network, answers = self.network, []
        features = network.encoder(images)  # [B, ...] or [T*B, ...]
        for stage, head in zip(network.stages, network.heads, strict=True):
            features = stage(features)
            logits = head(features).unflatten(0, (network.timesteps, -1))  # [T, B, classes]
            answers.append(logits.mean(0))
        return torch.stack(answers)


def to_graph(network: EarlyExitNetwork) -> torch.export.ExportedProgram:
    """A network as an exported program for batches of any size; the network stays as it is.

    Takes images float32 [B, *input_shape], gives the logits of every exit [exits, B, classes]. An
    INT8 network's graph answers to the last bit where it is run as it stands; a runtime that turns
    it into INT8 kernels of its own (ONNX Runtime, unless `session.disable_quant_qdq` is "1") may
    round a current to the next of its 256 steps. The C file never does.

    Raises `ValueError` for a network that is still being tuned with
    :func:`~sparq_utils.networks.quantization.quantize_aware`, and for images coded as spike trains.
    """
    if any(isinstance(layer, ao.FakeQuantize) for layer in network.modules()):
        raise ValueError(f"{network.name} is still being tuned: use to_int8() first")
    if not isinstance(network.encoder, (nn.Identity, Direct)):
        raise ValueError(
            f"{network.name} codes images as spike trains, which checks pixels and may draw random "
            "numbers: no graph holds that; convert() it with encoding='direct'"
        )
    plain = deepcopy(network).eval().requires_grad_(False)
    for part in list(plain.modules()):
        for name, layer in list(part.named_children()):
            if isinstance(layer, LIF):
                setattr(part, name, _UnrolledLIF(layer))
            elif isinstance(layer, QuantizedSynapse):
                setattr(part, name, _QDQSynapse(layer))
    images = torch.zeros(2, *network.input_shape)
    batch = torch.export.Dim("batch")
    with torch.no_grad():
        return torch.export.export(_Unrolled(plain), (images,), dynamic_shapes=({0: batch},))


def to_onnx(network: EarlyExitNetwork, path: str | Path) -> None:
    """Write a network as an ONNX file with input "images" and output "logits".

    Shapes and errors as for :func:`to_graph`. Needs onnx and onnxscript: `sparq-utils[deploy]`.
    """
    program = torch.onnx.export(
        to_graph(network),
        input_names=["images"],
        output_names=["logits"],
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    for node in program.model.graph:  # where in whose folders each line of code stands
        node.metadata_props.clear()
    program.save(path)
