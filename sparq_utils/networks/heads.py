"""Classifiers for early exits."""

from collections.abc import Callable, Sequence

from torch import nn

Activation = Callable[[], nn.Module]


def exit_head(
    shape: Sequence[int], activation: Activation, hidden: int, pool_to: int, classes: int = 10
) -> nn.Sequential:
    """A classifier for features of `shape`.

    For [c, h, w]: convolution 3x3 (c -> c/2), batch norm, activation, average pooling to
    `pool_to` x `pool_to`, linear, batch norm, activation, linear. For [c]: one linear layer.
    """
    if len(shape) == 1:
        return nn.Sequential(nn.Linear(shape[0], classes))
    channels = shape[0] // 2
    return nn.Sequential(
        nn.Conv2d(shape[0], channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        activation(),
        nn.AdaptiveAvgPool2d(pool_to),
        nn.Flatten(),
        nn.Linear(channels * pool_to**2, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        activation(),
        nn.Linear(hidden, classes),
    )
