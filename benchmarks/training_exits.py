"""How exits are best trained together: ways compared at equal epochs, on a small scale.

`python -m benchmarks.training_exits` trains AlexNet on a part of CIFAR-10's training images,
shrunk, once per way and seed, and writes the accuracy of every exit on validation images to
`exit-training.json` among the results. No test image is looked at.
"""

import argparse
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial

import torch
from torch import Tensor

from sparq_utils import data
from sparq_utils.experiments import EXPERIMENTS
from sparq_utils.files import write_json
from sparq_utils.networks.architectures import alexnet
from sparq_utils.networks.conversion import ClipFloorShift
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.recipe import Recipe
from sparq_utils.networks.training import train
from sparq_utils.results.files import results_dir

EPOCHS, TRAINING_IMAGES, PIXELS = 8, 10_000, 24
LEVELS = 8
"""Steps of the activations, as in the recorded networks."""


class _Scaled(torch.autograd.Function):
    """The identity, whose gradient is multiplied by a factor."""

    @staticmethod
    def forward(ctx, features: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return features.view_as(features)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.factor, None


class InEquilibrium(EarlyExitNetwork):
    """Gradient equilibrium (Li et al., ICCV 2019): no stage hears more of deep exits than of own.

    Where k exits still follow, this exit's head included, the stage receives 1/k of the head's
    gradient and (k - 1)/k of what comes from behind.
    """

    def _steps(self, features: Tensor) -> Tensor:
        logits = []
        for index, (stage, head) in enumerate(zip(self.stages, self.heads, strict=True)):
            features, follow = stage(features), self.exits - index
            answer = head(_Scaled.apply(features, 1 / follow))  # [B, classes]
            logits.append(answer.unflatten(0, (self.timesteps, -1)))
            features = _Scaled.apply(features, (follow - 1) / follow)
        return torch.stack(logits)


Splits = data.Splits
Way = Callable[[EarlyExitNetwork, Splits, Recipe, int], list[dict]]


def jointly(network: EarlyExitNetwork, splits: Splits, recipe: Recipe, seed: int) -> list[dict]:
    """All exits from the first step on."""
    return train(network, splits.train, splits.validation, recipe, seed)


def backbone_first(
    network: EarlyExitNetwork, splits: Splits, recipe: Recipe, seed: int
) -> list[dict]:
    """The mixed regime (arXiv 2407.14320): half the epochs for the last exit, then all exits."""
    half = replace(recipe, epochs=recipe.epochs // 2, small_epochs=recipe.epochs // 2)
    alone = replace(half, exit_weights=(0.0, 0.0, 1.0))
    first = train(network, splits.train, splits.validation, alone, seed)
    return first + train(network, splits.train, splits.validation, half, seed + 1000)


def taught(network: EarlyExitNetwork, splits: Splits, recipe: Recipe, seed: int) -> list[dict]:
    """The last exit teaches the others: half of their target is its answer."""
    return jointly(network, splits, replace(recipe, distillation=0.5), seed)


def in_equilibrium(
    network: EarlyExitNetwork, splits: Splits, recipe: Recipe, seed: int
) -> list[dict]:
    """Jointly, with gradients in equilibrium."""
    network.__class__ = InEquilibrium
    return jointly(network, splits, recipe, seed)


WAYS: dict[str, Way] = {
    "jointly": jointly,
    "backbone first": backbone_first,
    "gradient equilibrium": in_equilibrium,
    "last exit teaches": taught,
}


def compare(seeds: int) -> dict:
    """Validation accuracy of every exit after each way, as plain data for JSON."""
    full = data.load("CIFAR-10")
    splits = Splits(full.train.take(TRAINING_IMAGES), full.validation, full.test)
    recipe = replace(
        EXPERIMENTS["alexnet-cifar10"].profiles["full"].ann,
        epochs=EPOCHS, small_epochs=EPOCHS, small_size=PIXELS, distillation=0.0,
    )  # fmt: skip
    accuracies: dict[str, list[list[float]]] = {}
    for name, way in WAYS.items():
        accuracies[name] = []
        for seed in range(seeds):
            torch.manual_seed(seed)
            network = alexnet(partial(ClipFloorShift, LEVELS))
            accuracies[name].append(way(network, splits, recipe, seed)[-1]["accuracy"])
            print(name, seed, accuracies[name][-1], flush=True)
    return {
        "experiment": "alexnet-cifar10",
        "data": full.train.provenance,
        "train_images": TRAINING_IMAGES,
        "validation_images": len(splits.validation),
        "recipe": asdict(recipe),
        "validation_accuracy": accuracies,
    }


def main() -> None:
    """Compare and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training_exits", description=__doc__
    )
    parser.add_argument("--seeds", type=int, default=2, help="networks per way")
    result = compare(parser.parse_args().seeds)
    write_json(results_dir() / "exit-training.json", result)


if __name__ == "__main__":
    main()
