"""The paper's MLP, LeNet-5 and AlexNet, and ResNet-20 beyond it, each with two early exits."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import nn

from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.heads import Activation, exit_head
from sparq_utils.networks.pooling import AveragePool
from sparq_utils.networks.residual import Residual


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


def resnet20(activation: Activation = nn.ReLU, exits: Sequence[int] = (4, 7)) -> EarlyExitNetwork:
    """ResNet-20 for CIFAR-10 (He et al., 2016, section 4.2), 1x1 convolutions where sizes change.

    Three groups of three residual blocks with 16, 32 and 64 channels; exits after the first and
    the second group.
    """
    blocks = [_convolution(3, 16, 3, activation, pool=False)]
    for inputs, outputs, stride in [
        (16, 16, 1), (16, 16, 1), (16, 16, 1),
        (16, 32, 2), (32, 32, 1), (32, 32, 1),
        (32, 64, 2), (64, 64, 1), (64, 64, 1),
    ]:  # fmt: skip
        blocks.append(_residual(inputs, outputs, stride, activation))
    blocks.append(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    return _assemble(
        "resnet20",
        (3, 32, 32),
        blocks,
        exits,
        lambda shape: _narrow_head(shape, activation),
        nn.Sequential(nn.Linear(64, 10)),
    )


def _residual(inputs: int, outputs: int, stride: int, activation: Activation) -> nn.Sequential:
    """Two convolutions 3x3 beside a shortcut, then the activation of their sum."""
    branch = nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        activation(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
    )
    shortcut = nn.Sequential()
    if stride > 1 or inputs != outputs:
        shortcut.append(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False))
        shortcut.append(nn.BatchNorm2d(outputs))
    return nn.Sequential(Residual(branch, shortcut), activation())


def _narrow_head(shape: Sequence[int], activation: Activation) -> nn.Sequential:
    """A classifier for the few channels of a ResNet, which a halving would starve.

    Convolution 3x3 of stride 2 (c -> 2c), batch norm, activation, average pooling over 4 x 4,
    linear (64), batch norm, activation, linear.
    """
    channels, side = 2 * shape[0], shape[1] // 8
    return nn.Sequential(
        nn.Conv2d(shape[0], channels, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        activation(),
        nn.AdaptiveAvgPool2d(side),
        nn.Flatten(),
        *_linear(channels * side**2, 64, activation),
        nn.Linear(64, 10),
    )


NETWORKS = {"mlp": mlp, "lenet5": lenet5, "alexnet": alexnet, "resnet20": resnet20}
"""Builders by name; each takes an activation and the exits' positions."""
