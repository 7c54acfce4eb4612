"""Training: Adam, cosine annealing, mixup, a checkpoint every epoch and an exact resume.

Everything random in an epoch (order, augmentation, mixup, dropout) is drawn from generators
seeded by (seed, epoch), so a run that is killed and resumed ends with the same bits as one that
was not. Runs on a CPU, a GPU or several through Accelerate.
"""

import json
import shutil
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from math import cos, inf, isfinite, pi
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin, broadcast
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample, interpolate, pad
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from sparq_utils.data import Images, Samples, as_images, check_labels
from sparq_utils.files import write_whole
from sparq_utils.networks.conversion import ClipFloorShift
from sparq_utils.networks.early_exit import EarlyExitNetwork, layers_of
from sparq_utils.networks.losses import check_exit_weights, joint_loss, mean_spikes, spikes_of
from sparq_utils.networks.wiring import geometry_of, is_spiking

AUGMENTATIONS = ("none", "affine", "flip-crop")


class TrainingError(RuntimeError):
    """A training that leads nowhere."""


class CheckpointError(RuntimeError):
    """A checkpoint that is damaged or belongs to another run."""


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


def train(
    network: EarlyExitNetwork,
    training: Images | Samples | Dataset,
    validation: Images | Samples | Dataset,
    recipe: Recipe,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> list[dict]:
    """Train all exits jointly, in place; the learning curve, a dict an epoch.

    Images may also be any map-style Dataset of (image, label) pairs (read as
    :class:`~sparq_utils.data.Samples`). Layers none of whose parameters require gradients stay as
    they are, with the running statistics of batch norm. Raises :class:`TrainingError` when the
    loss is no number any more, `ValueError` for a spike penalty on a network without spikes.

    With a `checkpoint` path the state is saved there after every epoch, and training goes on
    from it if it exists: `CheckpointError` if it is damaged or of another network, data or recipe.
    Each epoch's dict holds `epoch`, `loss`, `rate` and `accuracy` (validation, one an exit).
    """
    if recipe.spike_penalty and not is_spiking(network):
        raise ValueError(f"{network.name} has no spikes to penalise: convert() it first")
    training, validation = as_images(training, "train"), as_images(validation, "validation")
    answering = geometry_of(list(layers_of(network.heads[-1]))[-1])
    if classes := getattr(answering, "out_features", None):
        check_labels(training, classes)
        check_labels(validation, classes)
    # Settings of Accelerate's environment, such as its precision, would change results unseen.
    accelerator = Accelerator(
        mixed_precision="no",
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        dynamo_backend="no",
    )
    network.to(memory_format=torch.channels_last)
    optimizer = _optimizer(network, recipe)
    wrapped, optimizer = accelerator.prepare(network, optimizer)
    if recipe.compile and shutil.which("c++"):
        # Activations are chains of small steps that fusing shortens; a whole network takes minutes
        # to compile in bfloat16 and is no faster then. Each shape and layout is a version.
        torch._dynamo.config.recompile_limit = 64
        for module in network.modules():
            if isinstance(module, ClipFloorShift):
                module.compile(dynamic=True)
    identity = _identity(network, training, recipe, seed)
    history = _resume(checkpoint, network, optimizer, identity, accelerator.device)
    for epoch in range(len(history), recipe.epochs):
        bar = tqdm(
            total=len(training) // recipe.batch_size,
            desc=f"{network.name} epoch {epoch + 1}/{recipe.epochs}",
            disable=not (progress and accelerator.is_local_main_process),
            leave=epoch + 1 == recipe.epochs,
        )
        loss = _epoch(wrapped, training, recipe, seed, epoch, optimizer, accelerator, bar)
        if not isfinite(loss):
            raise TrainingError(
                f"{network.name}: the loss is {loss} in epoch {epoch + 1}; lower the learning rate "
                f"({recipe.learning_rate}) or mend the images"
            )
        scores = accuracy(network, validation, precision=recipe.precision)
        entry = {"epoch": epoch + 1, "loss": loss, "rate": optimizer.param_groups[0]["lr"]}
        history.append(entry | {"accuracy": scores})
        bar.set_postfix(loss=f"{loss:.3f}", validation=" ".join(f"{a:.4f}" for a in scores))
        bar.close()
        if checkpoint and accelerator.is_main_process:
            _save(Path(checkpoint), network, optimizer, identity, history)
    network.eval()
    return history


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Adam, with decoupled weight decay on weights but not on norms, biases and thresholds."""
    groups = [
        {"params": [p for p in network.parameters() if p.ndim > 1]},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )


def _epoch(
    network: nn.Module,
    training: Images | Samples,
    recipe: Recipe,
    seed: int,
    epoch: int,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    bar: tqdm,
) -> float:
    """One pass over the training images; the mean loss."""
    rank, world = accelerator.process_index, accelerator.num_processes
    generator = torch.Generator().manual_seed(1_000_003 * seed + epoch)
    rng = np.random.default_rng([seed, epoch])
    steps = len(training) // recipe.batch_size
    if not steps:
        raise ValueError(f"{len(training)} images do not fill a batch of {recipe.batch_size}")
    order = torch.randperm(len(training), generator=generator)
    total = torch.zeros((), device=accelerator.device)
    _train_mode(network)
    with torch.random.fork_rng():
        # dropout knows no other generator; each process drops others
        torch.manual_seed((rank << 40) + 1_000_003 * seed + epoch)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate(epoch * steps + step, steps)
            index = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
            images = _augment(training.floats(index), recipe.augment, generator)
            if epoch < recipe.small_epochs:
                images = interpolate(
                    images, size=recipe.small_size, mode="bilinear", antialias=True
                )
            images, labels = images[rank::world], training.labels[index][rank::world]
            loss = _mixed_loss(
                network, images.to(accelerator.device), labels.to(accelerator.device), recipe, rng
            )
            optimizer.zero_grad()  # before, so that gradients from elsewhere do not count
            accelerator.backward(loss)
            optimizer.step()
            total += loss.detach()
            bar.update()
    if world > 1:  # every process goes on with the same norms and reports the same loss
        broadcast(list(network.buffers()))
        total = accelerator.reduce(total, "mean")
    return float(total) / steps


def _train_mode(network: nn.Module) -> None:
    """Training mode, but for layers that have parameters and of which all are frozen."""
    network.train()
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(parameter.requires_grad for parameter in own):
            module.eval()


def _mixed_loss(
    network: nn.Module, images: Tensor, labels: Tensor, recipe: Recipe, rng: np.random.Generator
) -> Tensor:
    """Joint loss of a batch mixed with its own mirror image (mixup, Zhang et al., 2018).

    And the penalty on the spikes that it caused.
    """
    alpha = recipe.mixup_alpha
    share = float(rng.beta(alpha, alpha)) if alpha else 1.0
    mixed = images.lerp(images.flip(0), 1 - share) if alpha else images
    precision = torch.autocast(images.device.type, torch.bfloat16, recipe.precision == "bfloat16")
    with precision, spikes_of(network) if recipe.spike_penalty else nullcontext([]) as spikes:
        logits = network(mixed.contiguous(memory_format=torch.channels_last))
    logits = logits.float()  # [exits, B, classes]
    how = (recipe.exit_weights, recipe.label_smoothing, recipe.distillation)
    loss = joint_loss(logits, labels, *how)
    if alpha:
        loss = share * loss + (1 - share) * joint_loss(logits, labels.flip(0), *how)
    return loss + recipe.spike_penalty * mean_spikes(spikes) if spikes else loss


def _augment(images: Tensor, kind: str, generator: torch.Generator) -> Tensor:
    """Each image moved a little in its own way, [B, C, H, W]."""
    if kind == "none":
        return images
    count = len(images)
    if kind == "affine":
        draws = torch.rand(count, 5, generator=generator).mul_(2).sub_(1)  # in [-1, 1]
        angle, scale = draws[:, 0] * 0.21, 1 + draws[:, 1] * 0.12  # radians (12 degrees)
        shear, shift = draws[:, 2] * 0.15, draws[:, 3:] * (4 / images.shape[-1])  # 2 pixels
        rows = torch.stack(
            [angle.cos() * scale, (shear - angle.sin()) * scale, shift[:, 0],
             angle.sin() * scale, angle.cos() * scale, shift[:, 1]], dim=1,
        )  # fmt: skip
        grid = affine_grid(rows.view(-1, 2, 3), images.shape, align_corners=False)
        return grid_sample(images, grid, align_corners=False)
    size, border = images.shape[-1], 4
    flip = torch.rand(count, generator=generator) < 0.5
    images = torch.where(flip.view(-1, 1, 1, 1), images.flip(-1), images)
    images = pad(images, [border] * 4, mode="reflect")
    corner = torch.randint(0, 2 * border + 1, (count, 2), generator=generator)
    rows = corner[:, :1] + torch.arange(size)  # [B, H]
    columns = corner[:, 1:] + torch.arange(size)  # [B, W]
    channels_last = images.permute(0, 2, 3, 1)
    pick = torch.arange(count).view(-1, 1, 1)
    return channels_last[pick, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


@torch.no_grad()
def accuracy(
    network: EarlyExitNetwork,
    images: Images | Samples | Dataset,
    batch_size: int = 250,
    precision: str = "float32",
) -> list[float]:
    """Fraction of images that each exit gets right, one per exit.

    Raises `ValueError` for no images, and for labels that are no class of the network.
    """
    images = as_images(images)
    if not len(images) or batch_size < 1:
        raise ValueError(f"{len(images)} images in batches of {batch_size}: need at least 1")
    was_training = network.training
    network.eval()
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    right = torch.zeros(network.exits, dtype=torch.int64)
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        batch = images.floats(part).to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, precision == "bfloat16"):
            logits = network(batch)  # [exits, B, classes]
        if not start:
            check_labels(images, logits.shape[-1])
        right += (logits.argmax(-1).cpu() == images.labels[part]).sum(-1)
    network.train(was_training)
    return (right / len(images)).tolist()


def _identity(
    network: EarlyExitNetwork, training: Images | Samples, recipe: Recipe, seed: int
) -> dict:
    """What a checkpoint must agree with to be resumed."""
    names = [f"{n} {list(p.shape)}" for n, p in network.named_parameters()]
    return {
        "network": network.name,
        "parameters": names,
        "data": f"{training.provenance}, {len(training)} images",
        "recipe": json.dumps(asdict(recipe)),
        "seed": seed,
    }


def _save(
    path: Path,
    network: EarlyExitNetwork,
    optimizer: torch.optim.Optimizer,
    identity: dict,
    history: list[dict],
) -> None:
    """Write the state after an epoch, whole or not at all."""
    state = {
        "identity": identity,
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": history,
    }
    write_whole(path, lambda file: torch.save(state, file))


def _resume(
    path: str | Path | None,
    network: EarlyExitNetwork,
    optimizer: torch.optim.Optimizer,
    identity: dict,
    device: torch.device,
) -> list[dict]:
    """Load the state of an interrupted run, if there is one; its learning curve so far."""
    if path is None or not Path(path).is_file():
        return []
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        found, history = dict(state["identity"]), list(state["history"])
        if "recipe" in found:  # of fields that are newer than it, it did the defaults
            recipe = asdict(Recipe(1)) | json.loads(found["recipe"])
            found["recipe"] = json.dumps(recipe)
    except Exception as error:  # damaged archives fail in many ways
        kind = type(error).__name__  # their texts run over many lines
        raise CheckpointError(f"{path} is no usable checkpoint ({kind}); delete it") from error
    for key, expected in identity.items():
        if found.get(key) != expected:
            raise CheckpointError(f"{path} belongs to a run with another {key}; delete it or use "
                                  "another path")  # fmt: skip
    try:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} does not fit the network {network.name}; delete it"
        ) from error
    return history
