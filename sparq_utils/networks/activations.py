"""Activations of ordinary networks that spiking neurons can stand in for."""

import torch
from torch import Tensor, nn

from sparq_utils.networks.levels import level_of


class ClipFloorShift(nn.Module):
    """Activation in `levels` steps up to a learned threshold (QCFS, Bu et al., ICLR 2022).

    A network trained with it runs as integrate-and-fire neurons in T = `levels` timesteps with
    little loss, because its activations already are the spike counts that T steps can express.
    """

    def __init__(self, levels: int = 4, threshold: float = 2.0) -> None:
        super().__init__()
        if levels < 1:
            raise ValueError(f"levels is {levels}, expected at least 1")
        self.levels = levels
        self.threshold = nn.Parameter(torch.tensor(float(threshold)))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape, values in {0, t/L, ..., t}."""
        scale = self.threshold / self.levels
        return level_of(x, scale, self.levels) * scale

    def extra_repr(self) -> str:
        """Levels and the threshold as it stands."""
        return f"levels={self.levels}, threshold={self.threshold.item():.3f}"


ACTIVATIONS = (nn.ReLU, nn.ReLU6, ClipFloorShift)
