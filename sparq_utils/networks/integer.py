"""Synapses in whole numbers, which CPUs with matrix units for bytes add up fastest.

A spike is 0 or 1, and k spikes pooled are a multiple of 1/k: whole numbers that fit a byte. So a
synapse can run on the kernels made for INT8 networks without being quantised to 8 bits: each
float32 weight is written as three bytes, three such kernels' worth of sums are exact in int32, and
they are added up in floating point. Current CPUs multiply bytes about ten times faster than
floats (AMX on x86), so three bytes instead of one float still win.
"""

import torch
from torch import Tensor, nn

LIMBS = 3
"""Bytes a weight: a fixed-point number of 23 bits and a sign, float32's own precision."""

MOST_LEVELS = 127
"""The largest whole number an input may be. Kernels of older CPUs add two products in 16 bits."""


def can_add_bytes(layer: nn.Module, most: int) -> bool:
    """Whether inputs of 0, 1, ..., `most` can be added up in bytes on this machine."""
    return (
        hasattr(torch.ops.onednn, "qconv2d_pointwise")  # x86 CPUs only
        and type(layer) in (nn.Conv2d, nn.Linear)
        and layer.weight.dtype == torch.float32
        and getattr(layer, "groups", 1) == 1
        and getattr(layer, "padding_mode", "zeros") == "zeros"
        and not isinstance(getattr(layer, "padding", 0), str)
        and most <= MOST_LEVELS
    )


class IntegerSynapse(nn.Module):
    """A convolution or linear layer over inputs in {0, 1/levels, ..., 1}, in bytes."""

    def __init__(self, layer: nn.Conv2d | nn.Linear, levels: int) -> None:
        super().__init__()
        self.levels, self.outputs = levels, len(layer.weight)
        self.bias = None if layer.bias is None else layer.bias.detach().clone()
        limbs, self.scales = _as_bytes(layer.weight.detach())
        self.zeros = torch.zeros(len(limbs), dtype=torch.int32)
        self.is_convolution = isinstance(layer, nn.Conv2d)
        if self.is_convolution:
            self.geometry = ([*layer.stride], [*layer.padding], [*layer.dilation], 1)
            self.packed = torch.ops.onednn.qconv_prepack(limbs, self.scales, 1.0, 0, *self.geometry)
            self.bias = None if self.bias is None else self.bias.view(-1, 1, 1)
        else:
            self.packed = torch.ops.onednn.qlinear_prepack(limbs, None)

    def forward(self, x: Tensor) -> Tensor:
        """Spikes, or pooled spikes, to currents: float32 to float32."""
        counts = x if self.levels == 1 else torch.add(HALF, x, alpha=self.levels)
        form = torch.channels_last if self.is_convolution else torch.contiguous_format
        counts = counts.to(torch.uint8, memory_format=form)
        weights = (1 / self.levels, 0, self.packed, self.scales, self.zeros, None)
        how = (1.0, 0, torch.float32, "none", [], "")
        if self.is_convolution:
            sums = torch.ops.onednn.qconv2d_pointwise(counts, *weights, *self.geometry, *how)
        else:
            sums = torch.ops.onednn.qlinear_pointwise(counts, *weights, *how)
        high, middle, low = sums.split(self.outputs, 1)  # [T*B, C_out, ...] each
        currents = torch.add(high, middle).add_(low)
        return currents if self.bias is None else currents.add_(self.bias)

    def extra_repr(self) -> str:
        """What it was made of."""
        return f"outputs={self.outputs}, levels={self.levels}, convolution={self.is_convolution}"


HALF = torch.tensor(0.5)
"""Added before numbers are cut to whole ones: rounds to the nearest."""


def _as_bytes(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weights as three signed bytes each, high ones first, and what a unit of each is worth.

    [C_out, ...] to int8 [3 * C_out, ...] and float32 [3 * C_out]. Scales are powers of two, so
    that weights which are whole numbers stay exact.
    """
    largest = weight.abs().flatten(1).amax(1).clamp(min=1e-30).double()  # [C_out]
    unit = 2.0 ** torch.ceil(torch.log2(largest / (127 * 256 ** (LIMBS - 1))))
    per_unit = (1 / unit).float().view(-1, *[1] * (weight.ndim - 1))  # a power of two: exact
    left = (weight * per_unit).round_().to(torch.int32)
    limbs = []
    for _ in range(LIMBS - 1):
        low = (left + 128 & 255) - 128
        limbs.insert(0, low.to(torch.int8))
        left = left - low >> 8
    limbs.insert(0, left.to(torch.int8))
    worth = [unit * 256**power for power in reversed(range(LIMBS))]
    return torch.cat(limbs), torch.cat(worth).float()
