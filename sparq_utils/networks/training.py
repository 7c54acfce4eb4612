"""Training: Adam, cosine annealing, mixup, a checkpoint every epoch and an exact resume.

Everything random in an epoch (order, augmentation, mixup, dropout) is drawn from generators
seeded by (seed, epoch), so a run that is killed and resumed ends with the same bits as one that
was not. Runs on a CPU, a GPU or several through Accelerate.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from math import isfinite
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin, broadcast
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample, interpolate, pad
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from sparq_utils.data import Images, check_labels
from sparq_utils.networks.checkpoints import identity, resume, save
from sparq_utils.networks.conversion import ClipFloorShift
from sparq_utils.networks.early_exit import EarlyExitNetwork, layers_of
from sparq_utils.networks.encoding import Events
from sparq_utils.networks.losses import joint_loss, mean_spikes, spikes_of
from sparq_utils.networks.processes import on_cpu
from sparq_utils.networks.recipe import Recipe
from sparq_utils.networks.scoring import accuracy, layout_of
from sparq_utils.networks.wiring import geometry_of, is_spiking
from sparq_utils.samples import Batch, Source, Stream, as_images


class TrainingError(RuntimeError):
    """A training that leads nowhere."""


def train(
    network: EarlyExitNetwork,
    training: Images | Dataset | Iterable[Batch],
    validation: Images | Dataset | Iterable[Batch],
    recipe: Recipe,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    progress: bool = True,
    on_epoch: Callable[[dict], object] | None = None,
) -> list[dict]:
    """Train all exits jointly, in place; the learning curve, a dict an epoch.

    Images may also be any Dataset of (image, label) pairs, or an iterable of batches such as a
    DataLoader (:mod:`sparq_utils.samples`). Batches that come ready-made are taken in their own
    order and size, whatever the recipe's `batch_size`; where nobody knows how many there are, the
    learning rate changes once an epoch. Layers none of whose parameters require gradients stay as
    they are, with the running statistics of batch norm. Raises :class:`TrainingError` when the
    loss is no number any more, `ValueError` for a spike penalty on a network without spikes.

    With a `checkpoint` path the state is saved there after every epoch, and training goes on
    from it if it exists: `CheckpointError` if it is damaged or of another network, data or recipe.
    Each epoch's dict holds `epoch`, `loss`, `rate` and `accuracy` (validation, one an exit);
    `on_epoch` is given it as soon as it is known and saved, in the main process alone.
    """
    if recipe.spike_penalty and not is_spiking(network):
        raise ValueError(f"{network.name} has no spikes to penalise: convert() it first")
    training, validation = as_images(training, "train"), as_images(validation, "validation")
    _check_inputs(network, training, validation, recipe)
    # Settings of Accelerate's environment, such as its precision, would change results unseen.
    accelerator = Accelerator(
        cpu=on_cpu(),
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
    identified = identity(network, training, recipe, seed)
    history = resume(checkpoint, network, optimizer, identified, accelerator.device)
    for epoch in range(len(history), recipe.epochs):
        bar = tqdm(
            total=_steps(training, recipe),
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
        scores = accuracy(network, validation, precision=recipe.precision, processes=accelerator)
        entry = {"epoch": epoch + 1, "loss": loss, "rate": optimizer.param_groups[0]["lr"]}
        history.append(entry | {"accuracy": scores})
        bar.set_postfix(loss=f"{loss:.3f}", validation=" ".join(f"{a:.4f}" for a in scores))
        bar.close()
        if checkpoint and accelerator.is_main_process:
            save(Path(checkpoint), network, optimizer, identified, history)
        if on_epoch and accelerator.is_main_process:
            on_epoch(history[-1])
    network.eval()
    return history


def _check_inputs(
    network: EarlyExitNetwork, training: Source, validation: Source, recipe: Recipe
) -> None:
    """Refuse what can be read once alone, events that would be bent, and labels of no class."""
    if classes := _classes(network):
        for source in (training, validation):
            if isinstance(source, Images):  # the labels of others are seen as they come
                check_labels(source.name, source.labels, classes)
    for source in (training, validation):
        if isinstance(source, Stream) and source.once and recipe.epochs > 1:
            raise ValueError(
                f"a {source.name} is read once, and {recipe.epochs} epochs need it as often: give "
                "what starts anew with every iter(), such as a DataLoader"
            )
    if not isinstance(training, Stream) and len(training) < recipe.batch_size:
        raise ValueError(f"{len(training)} images do not fill a batch of {recipe.batch_size}")
    bent = {"mixup_alpha": 0, "augment": "none", "small_epochs": 0}
    if isinstance(network.encoder, Events) and any(
        getattr(recipe, n) != v for n, v in bent.items()
    ):
        raise ValueError(
            f"{network.name} takes events, which can be neither mixed nor resized: Recipe("
            f"{', '.join(f'{name}={value!r}' for name, value in bent.items())}); change them in "
            "your Dataset"
        )


def _classes(network: EarlyExitNetwork) -> int | None:
    """How many classes a network answers, if its last layer says so."""
    answering = geometry_of(list(layers_of(network.heads[-1]))[-1])
    return getattr(answering, "out_features", None)


def _steps(training: Source, recipe: Recipe) -> int | None:
    """Batches an epoch, if that is known."""
    if isinstance(training, Stream):
        return training.steps()
    return len(training) // recipe.batch_size


def _shuffled(
    training: Source, recipe: Recipe, generator: torch.Generator, world: int
) -> Iterator[Batch]:
    """Batches of an epoch, drawn from all images, or as a stream gives them.

    A batch of a stream that leaves one of `world` processes with a single image, of which batch
    norm can learn nothing, is left out.
    """
    if isinstance(training, Stream):
        yield from (b for b in training.batches(recipe.batch_size) if len(b[1]) >= 2 * world)
        return
    order = torch.randperm(len(training), generator=generator)
    for step in range(len(training) // recipe.batch_size):
        yield training.batch(order[step * recipe.batch_size : (step + 1) * recipe.batch_size])


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
    training: Source,
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
    steps, done = _steps(training, recipe), 0
    classes = _classes(accelerator.unwrap_model(network))
    total = torch.zeros((), device=accelerator.device)
    _train_mode(network)
    with torch.random.fork_rng():
        torch.manual_seed(1_000_003 * seed + epoch)  # a loader draws its order from no other
        arriving = _shuffled(training, recipe, generator, world)
        batch = next(arriving, None)
        # dropout knows no other generator; each process drops others
        torch.manual_seed((rank << 40) + 1_000_003 * seed + epoch)
        while batch is not None:
            rate = recipe.rate(epoch * steps + done, steps) if steps else recipe.rate(epoch, 1)
            for group in optimizer.param_groups:
                group["lr"] = rate
            if classes:
                check_labels(training.name, batch[1], classes)
            images = _augment(batch[0], recipe.augment, generator)
            if epoch < recipe.small_epochs:
                images = interpolate(
                    images, size=recipe.small_size, mode="bilinear", antialias=True
                )
            images, labels = images[rank::world], batch[1][rank::world]
            loss = _mixed_loss(
                network, images.to(accelerator.device), labels.to(accelerator.device), recipe, rng
            )
            optimizer.zero_grad()  # before, so that gradients from elsewhere do not count
            accelerator.backward(loss)
            optimizer.step()
            total += loss.detach()
            bar.update()
            batch, done = next(arriving, None), done + 1
    if not done:
        raise ValueError(f"{training.name} gave no batch of at least {2 * world} images")
    if world > 1:  # every process goes on with the same norms and reports the same loss
        broadcast(list(network.buffers()))
        total = accelerator.reduce(total, "mean")
    return float(total) / done


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
        logits = network(mixed.contiguous(memory_format=layout_of(mixed)))
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
