"""Spiking layers of an inference copy: synapses that skip zeros, neurons that pool their spikes.

A dense kernel multiplies every weight with every input, nine in ten of which are zero after a
layer of neurons. :class:`EventSynapse` adds weights only where a spike arrives, and so beats the
peak of the dense kernel: by fewer operations, not by faster ones.
"""

import torch
from torch import Tensor, nn

from sparq_utils.networks import compiled
from sparq_utils.networks.compiled import LANES
from sparq_utils.networks.pooling import are_side_by_side, pair
from sparq_utils.networks.spiking import LIF


def can_skip_zeros(layer: nn.Module) -> bool:
    """Whether a layer is one that :class:`EventSynapse` knows."""
    if type(layer) not in (nn.Conv2d, nn.Linear) or not compiled.takes(layer.weight.detach()):
        return False
    return isinstance(layer, nn.Linear) or (
        layer.groups == 1
        and pair(layer.dilation) == (1, 1)
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


class EventSynapse(nn.Module):
    """A convolution or linear layer that adds weights where inputs are not zero, on a CPU.

    Inputs float32 [T*B, ...] to currents of the same layer, summed in another order. 1, 2 or 4
    steps of time are worked on `together`: a row of weights is fetched once for all of them.
    Raises `ValueError` for layers with groups, dilation or other padding than zeros.
    """

    def __init__(self, layer: nn.Conv2d | nn.Linear, timesteps: int, together: int) -> None:
        super().__init__()
        if not can_skip_zeros(layer):
            raise ValueError(f"{layer} has no counterpart that skips zeros")
        self.timesteps, self.together = timesteps, together
        self.is_convolution = isinstance(layer, nn.Conv2d)
        self.stride = pair(getattr(layer, "stride", 1))
        self.padding = pair(getattr(layer, "padding", 0))
        weight = layer.weight.detach()
        self.outputs = len(weight)
        size = LANES * next((v for v in (1, 2) if self.outputs <= v * LANES), 4)
        blocks = -(-self.outputs // size)
        rows = _padded(weight if self.is_convolution else weight[..., None, None], blocks * size)
        rows = rows.unflatten(0, (blocks, size)).permute(0, 3, 4, 2, 1)
        self.rows = rows.contiguous()  # [blocks, kh, kw, C_in, size]
        bias = weight.new_zeros(self.outputs) if layer.bias is None else layer.bias.detach()
        self.bias = _padded(bias, blocks * size)

    def forward(self, x: Tensor) -> Tensor:
        """Inputs to currents, channels side by side in memory."""
        if x.device.type != "cpu" or x.dtype != torch.float32:
            raise ValueError(f"a synapse that skips zeros takes float32 of a CPU, not {x.dtype} "
                             f"of {x.device}")  # fmt: skip
        steps = x.detach().unflatten(0, (self.timesteps, -1))  # [T, B, ...]
        if not self.is_convolution:
            steps = steps[..., None, None]
        how = (self.outputs, self.padding, self.stride, self.together)
        currents = compiled.add_events(steps, self.rows, self.bias, *how).flatten(0, 1)
        return currents.permute(0, 3, 1, 2) if self.is_convolution else currents.flatten(1)

    def extra_repr(self) -> str:
        """What it was made of."""
        return f"outputs={self.outputs}, together={self.together}"


def _padded(x: Tensor, size: int) -> Tensor:
    """Zeros behind the first dimension, so that it has this size."""
    return torch.cat([x, x.new_zeros(size - len(x), *x.shape[1:])])


class PooledLIF(nn.Module):
    """Neurons and the average pooling after them, spikes being counted where they are fired.

    Bit for bit the same as one after the other, which is what happens to currents or windows that
    the C file does not take.
    """

    def __init__(self, neurons: LIF, pool: nn.AvgPool2d) -> None:
        super().__init__()
        self.neurons, self.pool = neurons, pool

    def forward(self, current: Tensor) -> Tensor:
        """Currents [T*B, C, H, W], or [B, C, H, W] if constant, to means [T*B, C, H/h, W/w]."""
        neurons = self.neurons
        steps = neurons.steps(current)  # [T, B, C, H, W]
        if not self._in_one_go(steps[0]):
            return self.pool(neurons(current))
        start, window = neurons.start * neurons.threshold, pair(self.pool.kernel_size)
        pooled = compiled.integrate(steps, start, neurons.beta, neurons.threshold, window)
        return pooled.flatten(0, 1)

    def _in_one_go(self, one: Tensor) -> bool:
        """Whether the C file pools spikes of such a step [B, C, H, W], without gradients."""
        needed = torch.is_grad_enabled() and one.requires_grad
        if needed or one.ndim != 4 or not compiled.takes(one, self.neurons.reset):
            return False
        _, channels, _, width = one.shape
        rows = pair(self.pool.kernel_size)[0] * width * (1 if one.is_contiguous() else channels)
        return are_side_by_side(self.pool, one.shape) and rows <= compiled.MOST_NEURONS
