"""The experiments: which network learns what from which data, and by which recipe.

The paper's three, and ResNet-20 beyond it. Each has profiles: "smoke" runs in seconds (on CIFAR-10
in minutes), "book" in about a minute (on CIFAR-10 in about ten), "full" is what is recorded.
"""

from dataclasses import dataclass, replace

from sparq_utils import data
from sparq_utils.networks.recipe import Recipe

PENALTIES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Penalties on spikes that are compared; each network's own is the `silence` recipe's."""


@dataclass(frozen=True)
class Profile:
    """How much of an experiment to run.

    `ann` trains the dynamic ANN with activations of `levels` steps; `qat` fine-tunes the spiking
    INT8 network, and `silence` once more, with a penalty on its spikes. `train_images` and
    `images` cap the images to train on, and to validate and test on (None: all). `conversions`
    images compare conversion methods over T (0: leave that out); `penalties` on spikes are
    compared by what they do on validation images.
    """

    ann: Recipe
    qat: Recipe
    silence: Recipe
    levels: int = 8
    train_images: int | None = None
    images: int | None = None
    conversions: int = 1000
    penalties: tuple[float, ...] = ()

    def take(self, splits: data.Splits) -> data.Splits:
        """The first images of each split, as many as this profile uses."""
        return data.Splits(
            splits.train.take(self.train_images),
            splits.validation.take(self.images),
            splits.test.take(self.images),
        )


@dataclass(frozen=True)
class Experiment:
    """A network on a data set, and the profiles it runs under."""

    name: str
    network: str
    data: str
    profiles: dict[str, Profile]


def _mnist(ann: Recipe, qat: Recipe, silence: Recipe) -> dict[str, Profile]:
    """Profiles for a small network on MNIST; `full` trains as given."""
    short = replace(ann, epochs=4, batch_size=64, augment="none", compile=False)
    tune, hush = (replace(r, epochs=1, batch_size=64, augment="none") for r in (qat, silence))
    return {
        "smoke": Profile(replace(short, epochs=1), tune, hush, 8, 500, 100, 20),
        "book": Profile(short, tune, hush, 8, 8_000, 1_000, 200),
        "full": Profile(ann, qat, silence, penalties=PENALTIES),
    }


def _mlp() -> dict[str, Profile]:
    """Profiles for the MLP: the paper's recipe with small affine distortions of the digits."""
    return _mnist(
        Recipe(30, learning_rate=3e-3, augment="affine", compile=True),
        Recipe(6, learning_rate=5e-4, mixup_alpha=0.0, augment="affine"),
        Recipe(10, learning_rate=1e-3, mixup_alpha=0.0, augment="affine", spike_penalty=1.0),
    )


def _lenet() -> dict[str, Profile]:
    """Profiles for LeNet-5.

    Mixup costs this small network accuracy; smoothed labels keep its confidences modest instead,
    so that few wrong answers pass a threshold of 0.6.
    """
    return _mnist(
        Recipe(
            100, learning_rate=3e-3, weight_decay=0.05, mixup_alpha=0.0, label_smoothing=0.1,
            augment="affine", compile=True, exit_weights=(0.5, 0.5, 1.0),
        ),
        Recipe(
            4, learning_rate=5e-4, mixup_alpha=0.0, label_smoothing=0.1, augment="affine",
        ),
        Recipe(
            4, learning_rate=1e-3, mixup_alpha=0.0, label_smoothing=0.1, augment="affine",
            spike_penalty=2.0,
        ),
    )  # fmt: skip


def _cifar10(ann: Recipe, qat: Recipe, penalties: tuple[float, ...] = ()) -> dict[str, Profile]:
    """Profiles for a network on CIFAR-10; `full` trains as given."""
    short = replace(ann, epochs=1, small_epochs=0, batch_size=16, warmup_epochs=0, compile=False)
    silence = replace(qat, epochs=2, learning_rate=2e-4, spike_penalty=2.0)
    tune, hush = (replace(recipe, epochs=1, batch_size=16) for recipe in (qat, silence))
    return {
        "smoke": Profile(short, tune, hush, 8, 64, 32, 10),
        "book": Profile(short, tune, hush, 8, 256, 50, 0),
        "full": Profile(ann, qat, silence, conversions=100, penalties=penalties),
    }


def _alexnet() -> dict[str, Profile]:
    """Profiles for AlexNet; labels are smoothed for the same reason as LeNet-5's."""
    ann = Recipe(
        34, learning_rate=2e-3, weight_decay=0.05, warmup_epochs=1, mixup_alpha=0.0,
        label_smoothing=0.1, augment="flip-crop", small_size=24, small_epochs=12,
        precision="bfloat16", compile=True, exit_weights=(0.4, 0.6, 1.0), distillation=0.5,
    )  # fmt: skip
    qat = Recipe(
        1, batch_size=128, learning_rate=1e-4, mixup_alpha=0.0, label_smoothing=0.1,
        augment="flip-crop", precision="bfloat16", exit_weights=(0.4, 0.6, 1.0), distillation=0.5,
    )  # fmt: skip
    return _cifar10(ann, qat, PENALTIES[2:])


def _resnet20() -> dict[str, Profile]:
    """Profiles for ResNet-20, too small a network to overfit: little holds its weights back."""
    ann = Recipe(
        36, batch_size=128, learning_rate=4e-3, weight_decay=0.05, warmup_epochs=2,
        mixup_alpha=0.0, label_smoothing=0.1, augment="flip-crop", small_size=24, small_epochs=22,
        compile=True, exit_weights=(0.3, 0.5, 1.0), distillation=0.5,
    )  # fmt: skip
    qat = Recipe(
        2, batch_size=128, learning_rate=2e-4, mixup_alpha=0.0, label_smoothing=0.1,
        augment="flip-crop", exit_weights=(0.3, 0.5, 1.0), distillation=0.5,
    )  # fmt: skip
    return _cifar10(ann, qat)


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment("mlp-mnist", "mlp", "MNIST", _mlp()),
        Experiment("lenet-mnist", "lenet5", "MNIST", _lenet()),
        Experiment("alexnet-cifar10", "alexnet", "CIFAR-10", _alexnet()),
        Experiment("resnet20-cifar10", "resnet20", "CIFAR-10", _resnet20()),
    )
}
"""The experiments by name."""


def find(name: str, profile: str) -> tuple[Experiment, Profile]:
    """An experiment and one of its profiles; raises `ValueError` for an unknown one."""
    if name not in EXPERIMENTS:
        raise ValueError(f"unknown experiment '{name}'; choose one of {', '.join(EXPERIMENTS)}")
    profiles = EXPERIMENTS[name].profiles
    if profile not in profiles:
        raise ValueError(f"unknown profile '{profile}'; choose one of {', '.join(profiles)}")
    return EXPERIMENTS[name], profiles[profile]
