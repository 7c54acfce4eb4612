"""What is connected to what: the synapses of a network, what drives them, and their fan-out.

Whether a synapse is driven by spikes is declared by the network (spikes come out of LIF neurons
and spike encoders, everything else is analog), never guessed from data. Layers this file does not
know are refused, never skipped.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d

from sparq_utils.networks.conversion import ACTIVATIONS, SYNAPSES
from sparq_utils.networks.early_exit import EarlyExitNetwork, layers_of
from sparq_utils.networks.levels import LevelActivation
from sparq_utils.networks.pooling import pooling_area
from sparq_utils.networks.quantized_synapse import QuantizedSynapse
from sparq_utils.networks.residual import IdentitySynapse, Residual, blocks_of
from sparq_utils.networks.shapes import Shapes
from sparq_utils.networks.spiking import LIF

CONNECTED = (*SYNAPSES, QuantizedSynapse, IdentitySynapse)
"""Layers that spikes are counted at."""

UNITS = (LIF, LevelActivation, *ACTIVATIONS)
"""Layers of neurons: each output is one."""

PASSED = (nn.AvgPool2d, nn.Flatten, nn.Dropout, nn.Identity)
"""Layers that spikes may pass on their way to a synapse and still cost one AC a weight."""

_PADDING = "cannot count a convolution with padding_mode='{}': use 'zeros'"


@dataclass(frozen=True)
class Synapse:
    """A layer of weights and what drives it.

    `source` is the module whose spikes arrive (LIF neurons, or the encoder of spike trains), None
    for analog inputs; `through` the layers between them. `runs` is how many times it is evaluated
    an image: T, or once before the first neurons of an analog or direct-coded image. `levels`:
    its inputs are whole multiples of 1 / `levels`, by how many spikes (or levels of an
    activation) are averaged in one; None if they can be any number.
    """

    layer: nn.Module
    kind: str
    index: int
    name: str
    source: nn.Module | None
    through: tuple[nn.Module, ...]
    runs: int
    levels: int | None

    @property
    def most(self) -> int | None:
        """How many times 1 / `levels` an input can be, if that is known."""
        each = getattr(self.source, "most", 1)  # of events, several arrive in one step
        return self.levels * each if self.levels else None

    @property
    def spiking(self) -> bool:
        """Whether its inputs are spikes: ACs, else MACs."""
        return self.source is not None


def named_layers(network: EarlyExitNetwork) -> Iterator[tuple[str, int, str, nn.Module]]:
    """Every layer as (kind, index, "stage0.2", module), in order of evaluation.

    Raises `ValueError` for a layer that cannot be counted: weights or neurons hidden inside a
    module of another kind, or one module in two places.
    """
    seen: set[nn.Module] = set()
    for kind, index, part in network.parts():
        for position, layer in enumerate(layers_of(part)):
            name = f"{kind}{index}.{position}"
            what = f"{name} ({type(layer).__name__})"
            if layer in seen:
                raise ValueError(f"{what} stands in two places: give each place its own module")
            seen.add(layer)
            inner = (m for m in layer.modules() if m is not layer)
            if not isinstance(layer, (*CONNECTED, LIF)) and (
                any(p.ndim > 1 for p in layer.parameters())
                or any(isinstance(m, (*CONNECTED, *UNITS)) for m in inner)
            ):
                raise ValueError(
                    f"cannot count {what}: use Conv2d, Linear, neurons and activations, one after "
                    "the other in nn.Sequential, and Residual blocks of such"
                )
            mode = getattr(geometry_of(layer), "padding_mode", "zeros")
            if mode != "zeros":
                raise ValueError(f"{what}: {_PADDING.format(mode)}")
            yield kind, index, name, layer


def is_spiking(network: EarlyExitNetwork) -> bool:
    """Whether a network has LIF neurons."""
    return any(isinstance(m, LIF) for m in network.modules())


def is_spike_coded(network: EarlyExitNetwork) -> bool:
    """Whether a spiking network's images arrive as spike trains (else as a constant current)."""
    neurons = [m for m in network.modules() if isinstance(m, LIF)]
    return bool(neurons) and not any(lif.constant_input for lif in neurons)


@dataclass(frozen=True)
class _Signal:
    """What a layer receives: the fields of the :class:`Synapse` that it would drive."""

    source: nn.Module | None
    through: tuple[nn.Module, ...]
    runs: int
    levels: int | None

    def after(self, layer: nn.Module, name: str, timesteps: int) -> "_Signal":
        """What leaves a layer; raises `ValueError` where spikes would change in it."""
        if isinstance(layer, CONNECTED):  # until neurons follow, currents come out
            return _Signal(None, (), self.runs, None)
        if isinstance(layer, LIF):
            return _Signal(layer, (), timesteps, 1)
        if isinstance(layer, LevelActivation) and self.source is None:
            return replace(self, levels=layer.levels)
        area = pooling_area(layer) if isinstance(layer, nn.AvgPool2d) else 1
        levels = self.levels * area if self.levels and isinstance(layer, PASSED) else None
        if self.source is None:
            return replace(self, levels=levels)
        if not isinstance(layer, PASSED):
            raise ValueError(
                f"{name} ({type(layer).__name__}) stands between spikes and a synapse, where only "
                f"{', '.join(known.__name__ for known in PASSED)} keep them countable"
            )
        return replace(self, through=(*self.through, layer), levels=levels)


def synapses(network: EarlyExitNetwork) -> Iterator[Synapse]:
    """Every synapse in order of evaluation, its input kind read off the network's structure.

    Both ways of a residual block receive what the block receives; currents come out of it.
    Raises `ValueError` if a layer cannot be counted, or stands where spikes would change in it.
    """
    signal = _Signal(None, (), 1, None)
    if is_spike_coded(network):
        signal = _Signal(network.encoder, (), network.timesteps, 1)
    names = {layer: (kind, index, name) for kind, index, name, layer in named_layers(network)}
    found: list[Synapse] = []

    def through(module: nn.Module, signal: _Signal) -> _Signal:
        """What leaves a module; notes the synapses in it."""
        for block in blocks_of(module):
            if isinstance(block, Residual):
                ways = (through(block.branch, signal), through(block.shortcut, signal))
                signal = max(ways, key=lambda way: way.runs)
                continue
            kind, index, name = names[block]
            if isinstance(block, CONNECTED):
                found.append(Synapse(block, kind, index, name, **vars(signal)))
            signal = signal.after(block, name, network.timesteps)
        return signal

    for kind, _, part in network.parts():
        left = through(part, signal)
        signal = left if kind == "stage" else signal
    yield from found


def weights_of(layer: nn.Module) -> Tensor:
    """A synapse's weights as floats, dequantised if they are INT8."""
    weight = geometry_of(layer).weight
    weight = weight() if callable(weight) else weight
    return weight.dequantize() if weight.is_quantized else weight.detach()


def geometry_of(layer: nn.Module) -> nn.Module:
    """The convolution or linear layer itself, whatever quantisation wraps it."""
    return layer.synapse if isinstance(layer, QuantizedSynapse) else layer


def is_convolution(layer: nn.Module) -> bool:
    """Whether a synapse is a two-dimensional convolution (else it is linear)."""
    return hasattr(geometry_of(layer), "kernel_size")


def weight_shape(layer: nn.Module) -> torch.Size:
    """The shape of a synapse's weights, without unpacking them where they are INT8.

    An identity has none: its constant is no weight.
    """
    if isinstance(layer, IdentitySynapse):
        return torch.Size((0,))
    synapse = geometry_of(layer)
    if not is_convolution(layer):
        return torch.Size((synapse.out_features, synapse.in_features))
    inputs = synapse.in_channels // synapse.groups
    return torch.Size((synapse.out_channels, inputs, *synapse.kernel_size))


def parameters_of(layer: nn.Module) -> int:
    """Weights and biases of a synapse."""
    bias = getattr(geometry_of(layer), "bias", None)
    bias = bias() if callable(bias) else bias
    return weight_shape(layer).numel() + (0 if bias is None else bias.numel())


def dense_macs(layer: nn.Module, output_shape: torch.Size) -> int:
    """MACs of one image by Eq. 6 (convolution, padding counted) and Eq. 7 (linear, B = 1).

    `output_shape` [C_out, H_out, W_out] or [F_out]. The equations know no identity: 0.
    """
    outputs = output_shape[1:].numel() if is_convolution(layer) else 1
    return weight_shape(layer).numel() * outputs


def fan_out(layer: nn.Module, input_shape: torch.Size, skip_zeros: bool = False) -> Tensor:
    """How many weights an input at each position meets: float64 [C, H, W] or [F].

    With `skip_zeros`, weights that are exactly zero are not counted. Stride, dilation, groups and
    zero padding (also "same" and "valid") are exact; other padding modes raise `ValueError`. An
    identity gives every input its one connection.
    """
    if isinstance(layer, IdentitySynapse):
        return torch.ones(input_shape, dtype=torch.float64)
    if not is_convolution(layer):
        if skip_zeros:
            return (weights_of(layer).cpu() != 0).sum(0).double()  # [F_in]
        outputs, inputs = weight_shape(layer)
        return torch.tensor(float(outputs), dtype=torch.float64).expand(inputs)
    conv = geometry_of(layer)
    if conv.padding_mode != "zeros":
        raise ValueError(_PADDING.format(conv.padding_mode))
    geometry = (None, conv.stride, conv.padding, conv.dilation)
    if skip_zeros:
        mask = (weights_of(layer).cpu() != 0).double()
        return _carry_back(lambda x: conv2d(x, mask, *geometry, conv.groups), input_shape)
    # Every channel meets the same weights but for its position: one channel is enough.
    outputs, _, *kernel = weight_shape(layer)
    ones = torch.ones(1, 1, *kernel, dtype=torch.float64)
    single = _carry_back(lambda x: conv2d(x, ones, *geometry), (1, *input_shape[1:]))  # [1, H, W]
    return (single * (outputs // conv.groups)).expand(*input_shape)


def _carry_back(linear, shape: tuple[int, ...], arriving: Tensor | float = 1.0) -> Tensor:
    """How much one unit at each input position adds to sum(arriving x outputs): [*shape]."""
    with torch.enable_grad():
        x = torch.zeros(1, *shape, dtype=torch.float64, requires_grad=True)
        (reached,) = torch.autograd.grad((linear(x) * arriving).sum(), x)
    return reached[0]


def exact_macs(layer: nn.Module, input_shape: torch.Size, skip_zeros: bool = False) -> int:
    """MACs of one image, multiplications with padding left out (and with zero weights, if so)."""
    return int(fan_out(layer, input_shape, skip_zeros).sum())


def fan_out_at_source(synapse: Synapse, known: Shapes, skip_zeros: bool) -> Tensor:
    """How many of a synapse's weights one spike at its source meets: float64 [*source shape].

    `known` comes from :func:`shapes`. Summing, not averaging, through the pooling in between.
    """
    fan = fan_out(synapse.layer, known[synapse.layer][0], skip_zeros)
    if not any(isinstance(layer, (nn.AvgPool2d, nn.Flatten)) for layer in synapse.through):
        return fan

    def summed(x: Tensor) -> Tensor:
        for layer in synapse.through:
            if isinstance(layer, nn.AvgPool2d):
                window = (layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode)
                x = avg_pool2d(x, *window, divisor_override=1)
            elif isinstance(layer, nn.Flatten):
                x = layer(x)
        return x

    return _carry_back(summed, known[synapse.source][1], fan)
