"""Counting operations: as the paper's equations print them, and exact to the last one.

One multiply-accumulate (MAC) is one weight times one real number, added; one accumulate (AC) is
one weight added because a spike arrived. Which of the two a synapse does is declared by the
network (spikes come out of LIF neurons, everything else is analog), never guessed from data.

A spike is counted once for every weight it really meets: the fan-out at its position, found by
carrying ones back through the synapse, so that borders and stride are exact. A spike that is
average-pooled before the synapse still meets the weights of the position it is pooled into.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d

from sparq_utils.conversion import ACTIVATIONS, SYNAPSES
from sparq_utils.networks import EarlyExitNetwork, leaves
from sparq_utils.quantization import QuantizedSynapse
from sparq_utils.spiking import LIF


@dataclass(frozen=True)
class Synapse:
    """A layer of weights and what drives it.

    `spiking` says whether its inputs are spikes; `pooled` how many spikes share one of its
    inputs (the area of the average pooling since the last neurons); `runs` how many times it is
    evaluated an image: T for spikes, once for an analog or direct-coded image.
    """

    layer: nn.Module
    kind: str
    index: int
    spiking: bool
    pooled: int
    runs: int


def synapses(network: EarlyExitNetwork) -> Iterator[Synapse]:
    """Every synapse in order of evaluation, its input kind read off the network's structure."""
    is_snn = any(isinstance(m, LIF) for m in network.modules())
    constant = is_snn and any(getattr(m, "constant_input", False) for m in network.modules())
    after_stage = (is_snn and not constant, 1)
    for kind, index, part in network.parts():
        spiking, pooled = after_stage
        for layer in leaves(part):
            if isinstance(layer, (*SYNAPSES, QuantizedSynapse)):
                runs = network.timesteps if spiking else 1
                yield Synapse(layer, kind, index, spiking, pooled, runs)
                spiking = False  # until neurons follow, what comes out is a current
            elif isinstance(layer, LIF):
                spiking, pooled = True, 1
            elif isinstance(layer, nn.AvgPool2d):
                pooled *= _area(layer)
        if kind == "stage":
            after_stage = (spiking, pooled)


def _area(pool: nn.AvgPool2d) -> int:
    """Inputs that one output of an average pooling averages."""
    size = pool.kernel_size
    return size * size if isinstance(size, int) else size[0] * size[1]


def weights_of(layer: nn.Module) -> Tensor:
    """A synapse's weights as floats, dequantised if they are INT8."""
    if isinstance(layer, QuantizedSynapse):
        layer = layer.synapse
    weight = layer.weight
    weight = weight() if callable(weight) else weight
    return weight.dequantize() if weight.is_quantized else weight.detach()


def geometry_of(layer: nn.Module) -> nn.Module:
    """The convolution or linear layer itself, whatever quantisation wraps it."""
    return layer.synapse if isinstance(layer, QuantizedSynapse) else layer


def is_convolution(layer: nn.Module) -> bool:
    """Whether a synapse is a two-dimensional convolution (else it is linear)."""
    return weights_of(layer).ndim == 4


def parameters_of(layer: nn.Module) -> int:
    """Weights and biases of a synapse."""
    bias = geometry_of(layer).bias
    bias = bias() if callable(bias) else bias
    return weights_of(layer).numel() + (0 if bias is None else bias.numel())


def dense_macs(layer: nn.Module, output_shape: torch.Size) -> int:
    """MACs of one image by Eq. 6 (convolution, padding counted) and Eq. 7 (linear, B = 1).

    `output_shape` [C_out, H_out, W_out] or [F_out].
    """
    outputs = output_shape[1:].numel() if is_convolution(layer) else 1
    return weights_of(layer).numel() * outputs


def fan_out(layer: nn.Module, input_shape: torch.Size, skip_zeros: bool = False) -> Tensor:
    """How many weights an input at each position meets: float64 [C, H, W] or [F].

    With `skip_zeros`, weights that are exactly zero are not counted.
    """
    weight = weights_of(layer).double()
    mask = (weight != 0).double() if skip_zeros else torch.ones_like(weight)
    if not is_convolution(layer):
        return mask.sum(0)  # [F_in]
    conv = geometry_of(layer)
    outputs = [
        (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
        for size, pad, dilation, kernel, stride in zip(
            input_shape[1:], conv.padding, conv.dilation, weight.shape[2:], conv.stride, strict=True
        )
    ]
    ones = torch.ones(1, len(weight), *outputs, dtype=torch.float64)
    missed = [
        size - ((out - 1) * stride - 2 * pad + dilation * (kernel - 1) + 1)
        for size, out, stride, pad, dilation, kernel in zip(
            input_shape[1:], outputs, conv.stride, conv.padding, conv.dilation, weight.shape[2:],
            strict=True,
        )
    ]  # fmt: skip
    return conv_transpose2d(
        ones, mask, None, conv.stride, conv.padding, missed, conv.groups, conv.dilation
    )[0]  # [C, H, W]


def exact_macs(layer: nn.Module, input_shape: torch.Size, skip_zeros: bool = False) -> int:
    """MACs of one image, multiplications with padding left out (and with zero weights, if so)."""
    return int(fan_out(layer, input_shape, skip_zeros).sum())


@dataclass(frozen=True)
class Static:
    """Counts of a stage or head that do not depend on the image."""

    macs: int = 0
    dense_macs: int = 0
    neurons: int = 0
    lif_updates: int = 0
    weights: int = 0
    weight_passes: int = 0

    def __add__(self, other: "Static") -> "Static":
        mine, theirs = vars(self), vars(other)
        return Static(**{name: mine[name] + theirs[name] for name in mine})


@torch.no_grad()
def shapes(network: EarlyExitNetwork) -> dict[nn.Module, tuple[torch.Size, torch.Size]]:
    """Input and output shape of every layer, without the batch."""
    found: dict[nn.Module, tuple[torch.Size, torch.Size]] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        found[layer] = (inputs[0].shape[1:], output.shape[1:])

    layers = [layer for _, _, part in network.parts() for layer in leaves(part)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    was_training = network.training
    network.eval()(torch.zeros(1, *network.input_shape))
    network.train(was_training)
    for hook in hooks:
        hook.remove()
    return found


def static_counts(
    network: EarlyExitNetwork, skip_zeros: bool = False
) -> dict[tuple[str, int], Static]:
    """What each stage and head costs whatever the image, by ("stage" or "head", index).

    A neuron is an activation or LIF unit, or a unit of an output layer, which integrates its
    input every step as the others do (so AlexNet has the paper's 180,234).
    """
    known = shapes(network)
    counts = {(kind, index): Static() for kind, index, _ in network.parts()}
    is_snn = any(isinstance(m, LIF) for m in network.modules())
    for kind, index, part in network.parts():
        layers = list(leaves(part))
        units = [m for m in layers if isinstance(m, (LIF, *ACTIVATIONS))]
        neurons = sum(known[m][1].numel() for m in units)
        if kind == "head":
            neurons += known[layers[-1]][1].numel()
        updates = neurons * network.timesteps if is_snn else 0
        counts[kind, index] += Static(neurons=neurons, lif_updates=updates)
    for synapse in synapses(network):
        inputs, outputs = known[synapse.layer]
        parameters = parameters_of(synapse.layer)
        counts[synapse.kind, synapse.index] += Static(
            macs=0 if synapse.spiking else exact_macs(synapse.layer, inputs, skip_zeros),
            dense_macs=dense_macs(synapse.layer, outputs),
            weights=parameters,
            weight_passes=parameters * synapse.runs,
        )
    return counts


class SpikeCounter:
    """Counts ACs and spikes of each sample and part while a spiking network runs.

    Use as a context manager; after each forward pass `take(batch)` gives ACs and spikes as
    int64 [parts, batch] (parts in order of `network.parts()`) and starts anew. Spikes are those
    that neurons (and a spike-coded input) emit: Eq. 8 as printed.
    """

    def __init__(self, network: EarlyExitNetwork, skip_zeros: bool = False) -> None:
        self.network = network
        self.parts = [(kind, index) for kind, index, _ in network.parts()]
        known = shapes(network)
        self._fan_outs = {
            s: fan_out(s.layer, known[s.layer][0], skip_zeros)
            for s in synapses(network)
            if s.spiking
        }
        self._acs: dict[tuple[str, int], Tensor | int] = {}
        self._spikes: dict[tuple[str, int], Tensor | int] = {}

    def __enter__(self) -> "SpikeCounter":
        self._hooks = [
            s.layer.register_forward_pre_hook(self._count_acs(s, fan))
            for s, fan in self._fan_outs.items()
        ]
        for kind, index, part in self.network.parts():
            for layer in leaves(part):
                if isinstance(layer, LIF):
                    self._hooks.append(layer.register_forward_hook(self._count_spikes(kind, index)))
        self._hooks.append(self.network.encoder.register_forward_hook(self._count_input))
        self._clear()
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _clear(self) -> None:
        self._acs = dict.fromkeys(self.parts, 0)
        self._spikes = dict.fromkeys(self.parts, 0)

    def _per_sample(self, values: Tensor, runs: int) -> Tensor:
        """Sums over time and channels, exact in float32: [B, positions]."""
        values = values.unflatten(0, (runs, -1))  # [T, B, C, H, W] or [T, B, F]
        return values.sum((0, 2)).flatten(1) if values.ndim == 5 else values.sum(0)

    def _count_acs(self, synapse: Synapse, fan: Tensor):
        uniform = fan.ndim == 3 and bool((fan == fan[:1]).all())
        positions = fan[0].flatten() if uniform else fan.flatten()

        def count(_layer: nn.Module, inputs: tuple[Tensor]) -> None:
            steps = inputs[0].detach()
            if uniform:
                arrivals = self._per_sample(steps, synapse.runs)  # [B, H*W]
            else:
                arrivals = steps.unflatten(0, (synapse.runs, -1)).sum(0).flatten(1)  # [B, C*H*W]
            arrivals = (arrivals.double() * synapse.pooled).round()
            acs = arrivals @ positions.to(arrivals.device)  # exact below 2**53
            self._acs[synapse.kind, synapse.index] += acs.long()

        return count

    def _count_spikes(self, kind: str, index: int):
        def count(layer: LIF, _inputs: tuple[Tensor], spikes: Tensor) -> None:
            steps = spikes.detach().unflatten(0, (layer.timesteps, -1)).flatten(2)
            self._spikes[kind, index] += steps.sum((0, 2)).long()

        return count

    def _count_input(self, encoder: nn.Module, _inputs: tuple[Tensor], output: Tensor) -> None:
        if any(s.spiking for s in self._fan_outs) and next(synapses(self.network)).spiking:
            steps = output.detach().unflatten(0, (encoder.timesteps, -1)).flatten(2)
            self._spikes[self.parts[0]] += steps.sum((0, 2)).long()

    def take(self, batch: int) -> tuple[Tensor, Tensor]:
        """ACs and spikes since the last call, int64 [parts, batch]."""
        zero = torch.zeros(batch, dtype=torch.int64)
        acs, spikes = (
            torch.stack([zero + counts[part] for part in self.parts])
            for counts in (self._acs, self._spikes)
        )
        self._clear()
        return acs, spikes
