"""The step-by-step twin of a spiking network, built from snnTorch's own neurons.

It says in snnTorch's words what this package computes layer by layer with time in the batch: an
oracle for the tests, a peer for the benchmarks, and a way to take a network over to snnTorch.
"""

from collections.abc import Iterable
from copy import deepcopy
from functools import partial

import snntorch
import torch
from torch import Tensor, nn

from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.encoding import Direct
from sparq_utils.networks.residual import Residual, blocks_of
from sparq_utils.networks.spiking import LIF, Surrogate


class _Spike(torch.autograd.Function):
    """1 above 0, else 0, in the input's precision; backwards, a surrogate of :mod:`spiking`.

    snnTorch's own surrogates answer in float32 whatever they are given.
    """

    @staticmethod
    def forward(ctx, distance: Tensor, threshold: float, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(distance)
        ctx.threshold, ctx.surrogate = threshold, surrogate
        return (distance > 0).to(distance.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        (distance,) = ctx.saved_tensors
        return ctx.surrogate(distance, ctx.threshold).mul_(grad), None, None


def _spike(distance: Tensor, threshold: float, surrogate: Surrogate) -> Tensor:
    """:class:`_Spike` as a function, which can be pickled."""
    return _Spike.apply(distance, threshold, surrogate)


class SnnTorchNetwork(nn.Module):
    """A spiking network that loops over timesteps; its neurons are `snntorch.Leaky`.

    `forward` takes images [B, *input_shape] and gives logits [exits, B, classes], averaged over
    time, like the network it was made from. Weights are copies.
    """

    def __init__(self, network: EarlyExitNetwork) -> None:
        super().__init__()
        dtype = next((p.dtype for p in network.parameters()), torch.float32)
        self.timesteps, self.encoder = network.timesteps, deepcopy(network.encoder)
        self.stages = nn.ModuleList(_twins(stage, dtype) for stage in network.stages)
        self.heads = nn.ModuleList(_twins(head, dtype) for head in network.heads)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of every exit, [exits, B, classes], averaged over time."""
        coded = self.encoder(images)  # [B, ...] or [T*B, ...]
        steps = (
            coded.expand(self.timesteps, *coded.shape)
            if isinstance(self.encoder, Direct)
            else coded.unflatten(0, (self.timesteps, -1))
        )  # [T, B, ...]
        membranes: dict[nn.Module, Tensor] = {}
        logits = []
        for features in steps:  # [B, ...]
            answers = []
            for stage, head in zip(self.stages, self.heads, strict=True):
                features = _step(stage, features, membranes)
                answers.append(_step(head, features, membranes))  # [B, classes]
            logits.append(torch.stack(answers))  # [exits, B, classes]
        for neuron in membranes:
            neuron.mem = torch.zeros(0)  # snnTorch would carry it over into the next batch
        return torch.stack(logits).mean(0)


def to_snntorch(network: EarlyExitNetwork) -> SnnTorchNetwork:
    """The snnTorch twin of a converted (or quantised) spiking network: the same spikes.

    Raises `ValueError` for a network without spiking neurons.
    """
    if not any(isinstance(module, LIF) for module in network.modules()):
        raise ValueError(f"{network.name} has no spiking neurons: use convert() first")
    return SnnTorchNetwork(network).train(network.training)


def _twins(part: nn.Module, dtype: torch.dtype) -> nn.Sequential:
    """A part's layers, copied, with `snntorch.Leaky` for each LIF layer."""
    return nn.Sequential(*(_twin(block, dtype) for block in blocks_of(part)))


def _twin(block: nn.Module, dtype: torch.dtype) -> nn.Module:
    """One layer's twin, or one residual block's."""
    if isinstance(block, Residual):
        return Residual(_twins(block.branch, dtype), _twins(block.shortcut, dtype))
    return _leaky(block, dtype) if isinstance(block, LIF) else deepcopy(block)


def _leaky(layer: LIF, dtype: torch.dtype) -> snntorch.Leaky:
    """One layer's neurons. Constants are tensors: snnTorch would round plain numbers to float32."""
    neuron = snntorch.Leaky(
        beta=torch.tensor(layer.beta, dtype=dtype),
        threshold=torch.tensor(layer.threshold, dtype=dtype),
        reset_mechanism=layer.reset,
        init_hidden=False,
        spike_grad=partial(_spike, threshold=layer.threshold, surrogate=layer.surrogate),
    )
    neuron.start = layer.start * layer.threshold
    return neuron


def _step(layers: Iterable[nn.Module], features: Tensor, membranes: dict[nn.Module, Tensor]):
    """One timestep through layers, [B, ...]; membrane potentials are kept up to date in place."""
    for layer in layers:
        if isinstance(layer, snntorch.Leaky):
            before = membranes.get(layer)
            if before is None:
                before = torch.full_like(features, layer.start)
            features, membranes[layer] = layer(features, before)
        elif isinstance(layer, Residual):
            branch = _step(layer.branch, features, membranes)
            features = branch + _step(layer.shortcut, features, membranes)
        else:
            features = layer(features)
    return features
