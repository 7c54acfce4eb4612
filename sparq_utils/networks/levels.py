"""The rival of a spiking neuron: an activation of a few levels, in a single step.

Over T steps a neuron tells the next layer one of T + 1 numbers, its spike count. An activation of
T levels above zero tells one of the same T + 1 numbers at once, in ceil(log2(T + 1)) bits. That
makes a quantised ANN of such activations the fair opponent of a spiking network (Yan et al., 2024,
arXiv 2409.08290): the same information between layers, MACs of few bits instead of spikes.
"""

from math import inf
from numbers import Integral

import torch
from torch import Tensor, nn


def level_of(x: Tensor, scale: Tensor | float, levels: int) -> Tensor:
    """The level 0, 1, ..., `levels` nearest to x / scale, a tie upwards; any shape.

    Straight through: the value is rounded, the gradient is that of the clipped ramp.
    """
    steps = (x / scale + 0.5).clamp(0, levels)
    return steps + (steps.floor() - steps).detach()


class LevelActivation(nn.Module):
    """Currents to levels, any shape to the same shape: k / `levels` for k in 0, ..., `levels`.

    The current threshold * k / levels gives level k and everything above the threshold the last
    one, as integrate-and-fire neurons that start at half their threshold give k spikes in
    T = `levels` steps of that current (where rounding is a tie, k here and k - 1 there, since a
    neuron fires strictly above its threshold). The next synapse carries the amplitude, as after
    spikes. Raises `ValueError` for values out of range.
    """

    def __init__(self, threshold: float, levels: int) -> None:
        super().__init__()
        if not 0 < threshold < inf:
            raise ValueError(f"threshold is {threshold}, expected a positive number")
        if isinstance(levels, bool) or not isinstance(levels, Integral) or levels < 1:
            raise ValueError(f"levels is {levels!r}, expected a whole number of at least 1")
        self.threshold, self.levels = threshold, levels

    def forward(self, current: Tensor) -> Tensor:
        """Currents to levels in [0, 1]."""
        scale = self.threshold / self.levels
        if torch.is_grad_enabled() and current.requires_grad:
            return level_of(current, scale, self.levels) / self.levels
        steps = (current / scale).add_(0.5).clamp_(0, self.levels)
        return steps.floor_().div_(self.levels)

    def extra_repr(self) -> str:
        """What tells one layer from another."""
        return f"threshold={self.threshold:.3f}, levels={self.levels}"
