"""The paper's three networks: a five-layer MLP, LeNet-5 and AlexNet, each with two early exits."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import nn

from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.pooling import AveragePool

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


def _convolution(
    inputs: int, outputs: int, kernel: int, activation: Activation, pool: bool
) -> nn.Sequential:
    """Convolution that keeps the size (5x5 without padding in LeNet's second), norm, activation."""
    padding = 0 if (inputs, kernel) == (6, 5) else kernel // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False),
        nn.BatchNorm2d(outputs),
        activation(),
        *([AveragePool(2)] if pool else []),
    )


def _linear(inputs: int, outputs: int, activation: Activation, dropout: float = 0.0):
    """Linear layer, batch norm, activation, dropout if any."""
    return nn.Sequential(
        nn.Linear(inputs, outputs, bias=False),
        nn.BatchNorm1d(outputs),
        activation(),
        *([nn.Dropout(dropout)] if dropout else []),
    )


def _assemble(
    name: str,
    input_shape: tuple[int, ...],
    blocks: Sequence[nn.Module],
    exits: Sequence[int],
    head: Callable[[Sequence[int]], nn.Module],
    classifier: nn.Module,
) -> EarlyExitNetwork:
    """Cut `blocks` into stages after the blocks numbered (from 1) in `exits`; add heads."""
    if list(exits) != sorted({*exits}) or any(not 1 <= e < len(blocks) for e in exits):
        raise ValueError(
            f"exits {tuple(exits)}: need rising block numbers between 1 and {len(blocks) - 1}"
        )
    bounds = [0, *exits, len(blocks)]
    stages = [nn.Sequential(*blocks[start:stop]) for start, stop in pairwise(bounds)]
    heads, features = [], torch.zeros(2, *input_shape)
    for stage in stages[:-1]:
        with torch.no_grad():
            features = stage.eval()(features)
        heads.append(head(features.shape[1:]))
    return EarlyExitNetwork(stages, [*heads, classifier], input_shape, name).train()


def mlp(activation: Activation = nn.ReLU, exits: Sequence[int] = (1, 2)) -> EarlyExitNetwork:
    """The paper's five-layer MLP, 784-512-256-128-64-10 (574,080 MACs), exits after layers."""
    sizes = [784, 512, 256, 128, 64]
    blocks = [_linear(i, o, activation) for i, o in pairwise(sizes)]
    blocks[0].insert(0, nn.Flatten())
    return _assemble(
        "mlp",
        (1, 28, 28),
        blocks,
        exits,
        lambda shape: exit_head(shape, activation, hidden=0, pool_to=0),
        nn.Sequential(nn.Linear(64, 10)),
    )


def lenet5(activation: Activation = nn.ReLU, exits: Sequence[int] = (1, 2)) -> EarlyExitNetwork:
    """LeNet-5 on 28x28 digits, 6-16-120-84-10 (416,520 MACs), average pooling."""
    blocks = [
        _convolution(1, 6, 5, activation, pool=True),
        _convolution(6, 16, 5, activation, pool=True),
        nn.Sequential(nn.Flatten(), *_linear(400, 120, activation)),
        _linear(120, 84, activation),
    ]
    return _assemble(
        "lenet5",
        (1, 28, 28),
        blocks,
        exits,
        lambda shape: exit_head(shape, activation, hidden=64, pool_to=5 if shape[-1] == 5 else 7),
        nn.Sequential(nn.Linear(84, 10)),
    )


def alexnet(
    activation: Activation = nn.ReLU, exits: Sequence[int] = (1, 3), dropout: float = 0.3
) -> EarlyExitNetwork:
    """The AlexNet that the paper's numbers pin down: 200,515,584 MACs, 180,234 neurons."""
    channels = [3, 64, 192, 384, 256, 256]
    blocks = [
        _convolution(i, o, 3, activation, pool=number in (1, 2, 5))
        for number, (i, o) in enumerate(pairwise(channels), start=1)
    ]
    # On 32x32 images the adaptive pooling changes nothing; it lets smaller ones through.
    blocks.append(
        nn.Sequential(
            nn.AdaptiveAvgPool2d(4), nn.Flatten(), *_linear(4096, 4096, activation, dropout)
        )
    )
    blocks.append(_linear(4096, 4096, activation, dropout))
    return _assemble(
        "alexnet",
        (3, 32, 32),
        blocks,
        exits,
        lambda shape: exit_head(shape, activation, hidden=256, pool_to=4),
        nn.Sequential(nn.Linear(4096, 10)),
    )


NETWORKS = {"mlp": mlp, "lenet5": lenet5, "alexnet": alexnet}
"""Builders by name; each takes an activation and the exits' positions."""
