"""Floating-point networks as graphs for other programs: `torch.export` and ONNX.

The graph unrolls time: T steps of every neuron become plain additions and comparisons, so that any
runtime can run it. It answers with the logits of every exit; who leaves where is for the program
around it (:mod:`sparq_utils.traces.policies`). INT8 networks leave as a C file instead.
"""

from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn

from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.encoding import Direct
from sparq_utils.networks.quantization import QuantizedSynapse
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
            membrane = layer.beta * membrane + arriving - layer.threshold * fired
            fired = (membrane > layer.threshold).to(current.dtype)
            spikes.append(fired)
        return torch.cat(spikes)


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

    Takes images float32 [B, *input_shape], gives the logits of every exit [exits, B, classes].
    Raises `ValueError` for INT8 networks and for images coded as spike trains.
    """
    if any(isinstance(layer, QuantizedSynapse) for layer in network.modules()):
        raise ValueError(
            f"{network.name} has INT8 synapses, which a graph cannot carry bit for bit; write it "
            "as C, or give the floating-point network"
        )
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
    program.save(path)
