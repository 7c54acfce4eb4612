"""How to train: everything that changes a result, in one object, checked before anything runs."""

from dataclasses import dataclass
from math import cos, inf, isfinite, pi

from sparq_utils.networks.losses import check_exit_weights

AUGMENTATIONS = ("none", "affine", "flip-crop")


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults are the paper's: Adam 1e-3, cosine annealing, mixup 0.2.

    `augment` is "none", "affine" (digits: small rotations, scalings, shifts) or "flip-crop"
    (photographs). `small_epochs` first epochs see images shrunk to `small_size` pixels
    (progressive resizing). `precision` "bfloat16" runs the layers under autocast;
    `compile` fuses activations with `torch.compile` where there is a C++ compiler. The last exit
    teaches the others with a share of `distillation`
    (:func:`~sparq_utils.networks.losses.joint_loss`). `spike_penalty` times the mean spikes per
    neuron and timestep is added to the loss of a spiking network.
    """

    epochs: int
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warmup_epochs: float = 0.0
    mixup_alpha: float = 0.2
    label_smoothing: float = 0.0
    augment: str = "none"
    small_size: int = 0
    small_epochs: int = 0
    precision: str = "float32"
    compile: bool = False
    exit_weights: tuple[float, ...] | None = None
    distillation: float = 0.0
    spike_penalty: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        if self.epochs < 1 or self.batch_size < 2:
            raise ValueError(f"{self.epochs} epochs of batches of {self.batch_size}: too few")
        for name, low, high in (
            ("learning_rate", 0, inf),
            ("weight_decay", 0, inf),
            ("warmup_epochs", 0, self.epochs - 1e-9),
            ("mixup_alpha", 0, inf),
            ("label_smoothing", 0, 1),
            ("distillation", 0, 1),
            ("spike_penalty", 0, inf),
            ("small_epochs", 0, self.epochs),
        ):
            value = getattr(self, name)
            if not (isfinite(value) and low <= value <= high):
                raise ValueError(f"{name} is {value}, expected a number from {low} to {high}")
        if self.small_epochs and self.small_size < 1:
            raise ValueError(f"{self.small_epochs} epochs of images of {self.small_size} pixels")
        check_exit_weights(self.exit_weights)
        if self.augment not in AUGMENTATIONS:
            raise ValueError(
                f"unknown augmentation '{self.augment}', expected one of {AUGMENTATIONS}"
            )
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"unknown precision '{self.precision}'")

    def rate(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate at a step: linear warm-up, then half a cosine down to zero."""
        warmup, total = self.warmup_epochs * steps_per_epoch, self.epochs * steps_per_epoch
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        return self.learning_rate * 0.5 * (1 + cos(pi * (step - warmup) / (total - warmup)))
