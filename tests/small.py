"""Small networks and images, for tests that have to train or convert something."""

import numpy as np
import torch
from torch import nn

from sparq_utils.data import Images
from sparq_utils.networks.architectures import exit_head
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.residual import Residual


def tiny(activation=nn.ReLU, dropout=0.0, seed=0, classes=10) -> EarlyExitNetwork:
    """Three stages on 8x8 images, an exit after each; batch norms that have seen data."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        stages = [
            nn.Sequential(
                nn.Conv2d(1, 4, 3, padding=1, bias=False),
                nn.BatchNorm2d(4),
                activation(),
                nn.AvgPool2d(2),
            ),
            nn.Sequential(
                nn.Conv2d(4, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), activation()
            ),
            nn.Sequential(
                nn.Flatten(),
                nn.Linear(96, 16, bias=False),
                nn.BatchNorm1d(16),
                activation(),
                nn.Dropout(dropout),
            ),
        ]
        heads = [
            exit_head((4, 4, 4), activation, hidden=8, pool_to=2, classes=classes),
            exit_head((6, 4, 4), activation, hidden=8, pool_to=2, classes=classes),
            nn.Sequential(nn.Linear(16, classes)),
        ]
        network = EarlyExitNetwork(stages, heads, (1, 8, 8), "tiny")
        with torch.no_grad():
            for _ in range(20):
                network(torch.rand(16, 1, 8, 8))
    return network.eval()


def pictures(count: int, seed: int = 0, dtype=torch.float32, size: int = 8) -> torch.Tensor:
    """Random pixels in [0, 1], [count, 1, size, size]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, size, size, generator=generator, dtype=dtype)


def patterns(count: int, seed: int = 0, split: str = "train", size: int = 8) -> Images:
    """Ten noisy patterns that a network can learn to tell apart."""
    templates = np.random.default_rng(99).integers(0, 256, (10, 1, size, size))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count)
    noisy = templates[labels] * 0.7 + rng.normal(0, 25, (count, 1, size, size)) + 30
    pixels = torch.from_numpy(noisy.clip(0, 255).astype(np.uint8))
    return Images(pixels, torch.from_numpy(labels), "patterns", split, "synthetic")


def branched(activation=nn.ReLU, seed=0) -> EarlyExitNetwork:
    """Two stages of residual blocks on 8x8 images, one that keeps shapes, one that changes them."""

    def convolution(inputs, outputs, kernel=3, stride=1):
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        return [conv, nn.BatchNorm2d(outputs)]

    def block(inputs, outputs, stride):
        first, second = convolution(inputs, outputs, 3, stride), convolution(outputs, outputs)
        shortcut = convolution(inputs, outputs, 1, stride) if stride > 1 else []
        branch = nn.Sequential(*first, activation(), *second)
        return nn.Sequential(Residual(branch, nn.Sequential(*shortcut)), activation())

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        stages = [
            nn.Sequential(*convolution(1, 4), activation(), block(4, 4, 1)),
            nn.Sequential(block(4, 6, 2), block(6, 6, 1), nn.AdaptiveAvgPool2d(2), nn.Flatten()),
        ]
        heads = [
            exit_head((4, 8, 8), activation, hidden=8, pool_to=2),
            nn.Sequential(nn.Linear(24, 10)),
        ]
        network = EarlyExitNetwork(stages, heads, (1, 8, 8), "branched")
        with torch.no_grad():
            for _ in range(20):
                network(torch.rand(16, 1, 8, 8))
    return network.eval()
