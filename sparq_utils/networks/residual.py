"""Two ways through a block, added: what makes deep networks trainable (He et al., 2016).

And how to walk through the layers of networks that have such blocks.
"""

from collections.abc import Iterator, Mapping
from math import inf

from torch import Tensor, nn

from sparq_utils.networks.quantized_synapse import QuantizedSynapse


class IdentitySynapse(nn.Module):
    """One connection from each input to the output at its place, each with the same weight.

    It is the shortcut of a block that changes no shape. After conversion its weight is the
    `amplitude` of the spikes that arrive: what one of them stands for. Like a neuron's threshold
    that is a constant of the network, neither trained nor counted among the weights. Raises
    `ValueError` unless it is a positive number.
    """

    def __init__(self, amplitude: float = 1.0) -> None:
        super().__init__()
        if not 0 < amplitude < inf:
            raise ValueError(f"amplitude is {amplitude}, expected a positive number")
        self.amplitude = amplitude

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return x if self.amplitude == 1 else x * self.amplitude

    def extra_repr(self) -> str:
        """What tells one layer from another."""
        return f"amplitude={self.amplitude:.3f}"


class Residual(nn.Module):
    """`branch(x) + shortcut(x)`; an empty `shortcut` hands x on as it is.

    What is added are input currents, whose activation follows the block: a way that does not end
    in a synapse (or its batch norm) is ended by an :class:`IdentitySynapse`.
    """

    def __init__(self, branch: nn.Sequential, shortcut: nn.Sequential) -> None:
        super().__init__()
        self.branch, self.shortcut = _to_currents(branch), _to_currents(shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """Features of any shape that both ways take to the same shape."""
        return self.branch(x) + self.shortcut(x)


GIVE_CURRENTS = (
    *(nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d),
    *(QuantizedSynapse, IdentitySynapse, Residual),
)
"""Layers whose outputs are input currents of neurons."""


def _to_currents(way: nn.Sequential) -> nn.Sequential:
    """A way of a block, its last layer a synapse."""
    last = way
    while isinstance(last, nn.Sequential) and len(last):
        last = last[-1]
    return way if isinstance(last, GIVE_CURRENTS) else nn.Sequential(*way, IdentitySynapse())


def blocks_of(module: nn.Module) -> Iterator[nn.Module]:
    """The layers and whole residual blocks of nested `nn.Sequential`s, in order of evaluation."""
    if isinstance(module, nn.Sequential):
        for child in module:
            yield from blocks_of(child)
    else:
        yield module


def swap_layers(network: nn.Module, swapped: Mapping[nn.Module, nn.Module]) -> None:
    """Put other layers in the places of these, wherever they stand, in place."""
    for container in [m for m in network.modules() if isinstance(m, nn.Sequential)]:
        for position, layer in enumerate(container):
            if layer in swapped:
                container[position] = swapped[layer]
