"""How far a neuron over T steps and an activation of T levels differ, counted on images.

For a current that is the same at every step they agree (:mod:`sparq_utils.networks.levels`). Deep
in a network it is not: a neuron that has fired early cannot take a spike back when its current
falls, so its count may differ from the level that the sum of its current stands for.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.levels import LevelActivation
from sparq_utils.networks.spiking import LIF
from sparq_utils.networks.watching import layers_by_name, watch


@dataclass(frozen=True)
class Agreement:
    """How often two networks say the same, as fractions.

    `answers` has one fraction per exit, of images with the same prediction; `activations` one per
    layer, by its name ("stage0.2"), of neurons with as many spikes as the other's level.
    """

    answers: tuple[float, ...]
    activations: dict[str, float]


@torch.no_grad()
def neuron_agreement(
    spiking: EarlyExitNetwork, levelled: EarlyExitNetwork, images: Tensor
) -> Agreement:
    """Run both networks on images [B, *input_shape]; how often spikes / T and levels agree.

    Both are made of one ANN by :func:`~sparq_utils.networks.conversion.convert`, over T steps and
    with levels, and may be quantised. They are left in evaluation mode. Raises `ValueError` if
    their layers do not correspond, or the levels are not as many as the timesteps.
    """
    ours, theirs = layers_by_name(spiking, LIF), layers_by_name(levelled, LevelActivation)
    numbers = {spiking.timesteps} | {layer.levels for layer in theirs.values()}
    if not ours or list(ours) != list(theirs) or len(numbers) > 1:
        raise ValueError(
            f"{spiking.name} at T={spiking.timesteps} has neurons {', '.join(ours)}; the other has "
            f"levels {', '.join(f'{n} ({m.levels})' for n, m in theirs.items())}: they differ"
        )
    answers, counts = watch(spiking, images, LIF)
    others, levels = watch(levelled, images, LevelActivation)
    same = {name: (counts[name] - levels[name]).abs() < 1e-3 for name in ours}
    return Agreement(
        tuple((answers == others).double().mean(1).tolist()),
        {name: float(equal.double().mean()) for name, equal in same.items()},
    )
