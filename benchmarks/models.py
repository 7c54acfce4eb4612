"""The networks that are timed: random weights, thresholds balanced on random images."""

from functools import cache

import torch
from torch import Tensor

from sparq_utils.networks.architectures import NETWORKS
from sparq_utils.networks.conversion import convert, fold_batch_norm
from sparq_utils.networks.early_exit import EarlyExitNetwork

LEAVING = (0.6, 0.5)
"""Of those that reach an exit, the fraction that leaves there: about what trained LeNets do."""


def random_images(name: str, count: int, seed: int = 1) -> Tensor:
    """Pixels in [0, 1], [count, *input_shape]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, *ann(name).input_shape, generator=generator)


@cache
def ann(name: str) -> EarlyExitNetwork:
    """The network with its exits, as it comes from its initialisation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return NETWORKS[name]().eval()


@cache
def snn(name: str, timesteps: int) -> EarlyExitNetwork:
    """The plain spiking network, direct coding, integrate-and-fire neurons."""
    images = random_images(name, 32, seed=2)
    return convert(ann(name), images, timesteps, threshold="percentile").without_exits()


@torch.no_grad()
def dynamic_ann(name: str, thresholds: tuple[float, float], images: Tensor) -> EarlyExitNetwork:
    """The dynamic ANN, its side heads rescaled so that fractions `LEAVING` leave at `thresholds`.

    An untrained head is never sure of anything, so that nobody would leave.
    """
    network = fold_batch_norm(ann(name))
    inside, features = torch.arange(len(images)), images
    for stage, head, threshold, leaving in zip(
        network.stages[:-1], network.heads[:-1], thresholds, LEAVING, strict=True
    ):
        features = stage(features)
        last = head[-1]
        last.bias -= head(features[inside]).mean(0)  # no class is favoured
        _sharpen(head, features[inside], threshold, leaving)
        sure = head(features).softmax(-1).amax(-1)  # [B]
        inside = inside[sure[inside] < threshold]
    return network


def _sharpen(head: torch.nn.Sequential, features: Tensor, threshold: float, leaving: float) -> None:
    """Scale a head's logits until a fraction `leaving` of its confidences reach the threshold."""
    logits, low, high = head(features), 1e-3, 1e6
    for _ in range(60):
        middle = (low * high) ** 0.5
        reached = ((logits * middle).softmax(-1).amax(-1) >= threshold).float().mean()
        low, high = (middle, high) if reached < leaving else (low, middle)
    head[-1].weight *= high
    head[-1].bias *= high
