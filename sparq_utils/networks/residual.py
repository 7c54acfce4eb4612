"""Two ways through a block, added: what makes deep networks trainable (He et al., 2016)."""

from torch import Tensor, nn


class Residual(nn.Module):
    """`branch(x) + shortcut(x)`; an empty `shortcut` hands x on as it is.

    Both end in a synapse (or in nothing), so that what is added are input currents; the activation
    follows the block.
    """

    def __init__(self, branch: nn.Sequential, shortcut: nn.Sequential) -> None:
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Features of any shape that both ways take to the same shape."""
        return self.branch(x) + self.shortcut(x)
