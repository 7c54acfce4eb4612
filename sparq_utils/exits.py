"""Early exits: the joint training loss, and inference that stops computing when a sample leaves."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sparq_utils.networks import EarlyExitNetwork


def joint_loss(
    logits: Tensor,
    targets: Tensor,
    weights: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Weighted mean of the cross-entropies of all exits (BranchyNet, Teerapittayanon 2016).

    `logits` [exits, B, classes]; `targets` int64 [B]; `weights` one an exit, all equal for None.
    """
    weights = [1.0] * len(logits) if weights is None else weights
    if len(weights) != len(logits):
        raise ValueError(f"{len(weights)} exit weights for {len(logits)} exits: need one an exit")
    losses = [
        weight * cross_entropy(exit_logits, targets, label_smoothing=label_smoothing)
        for weight, exit_logits in zip(weights, logits, strict=True)
    ]
    return torch.stack(losses).sum() / sum(weights)


@dataclass(frozen=True)
class Answers:
    """What staged inference returns, each [B]: prediction, confidence in [0, 1], exit index."""

    prediction: Tensor
    confidence: Tensor
    exit: Tensor


def check_thresholds(thresholds: Sequence[float], exits: int) -> list[float]:
    """Raise `ValueError` unless there is one threshold in [0, 1] for each exit but the last."""
    thresholds = [float(t) for t in thresholds]
    if len(thresholds) != exits - 1:
        raise ValueError(
            f"{len(thresholds)} thresholds for {exits} exits: need {exits - 1}, the last exit "
            "takes whoever is left"
        )
    for threshold in thresholds:
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold {threshold} is outside [0, 1]")
    return thresholds


@torch.no_grad()
def staged_inference(
    network: EarlyExitNetwork, images: Tensor, thresholds: Sequence[float]
) -> Answers:
    """Classify images, each leaving at the first exit whose confidence reaches its threshold.

    `images` floats [B, *input_shape]. After each exit the batch shrinks to the samples that
    stay: a sample that left costs nothing more. Confidence is the largest softmax probability.
    Raises `ValueError` for images of another shape and thresholds outside [0, 1].
    """
    thresholds = check_thresholds(thresholds, network.exits)
    network.check_input(images)
    if network.training:
        network.eval()  # batch norm must not depend on who is left in the batch
    answers = [_staged(network, piece, thresholds) for piece in network.pieces(images)]
    if len(answers) == 1:
        return answers[0]
    return Answers(
        torch.cat([answer.prediction for answer in answers]),
        torch.cat([answer.confidence for answer in answers]),
        torch.cat([answer.exit for answer in answers]),
    )


def _staged(network: EarlyExitNetwork, features: Tensor, thresholds: Sequence[float]) -> Answers:
    """What :func:`staged_inference` does, for encoded images [b, ...] or [T*b, ...]."""
    steps = network.timesteps
    prediction = confidence = left_at = inside = None
    for index, (stage, head) in enumerate(zip(network.stages, network.heads, strict=True)):
        features = stage(features)  # [T*b, ...]
        logits = head(features).unflatten(0, (steps, -1)).mean(0)  # [b, classes]
        sure, best = logits.float().softmax(-1).max(-1)  # [b]
        if inside is None:  # nobody has left yet
            prediction, confidence, left_at = best, sure, torch.zeros_like(best)
            inside = torch.arange(len(best), device=best.device)
        else:
            prediction[inside], confidence[inside], left_at[inside] = best, sure, index
        if index == len(thresholds):  # the last exit takes whoever is left
            break
        stay = (~(sure.double() >= thresholds[index])).nonzero().squeeze(1)
        if not len(stay):
            break
        if len(stay) < len(inside):
            inside = inside[stay]
            kept = features.unflatten(0, (steps, -1)).index_select(1, stay)  # [T, b, ...]
            features = kept.flatten(0, 1)
    return Answers(prediction, confidence, left_at)


@torch.no_grad()
def logits_in_batches(
    network: nn.Module, images: Tensor, batch_size: int = 256, progress: bool = False
) -> Tensor:
    """Logits of every exit for many images, [exits, N, classes], a batch at a time."""
    from tqdm.auto import tqdm

    batches = tqdm(images.split(batch_size), desc="inference", disable=not progress)
    return torch.cat([network(batch) for batch in batches], dim=1)
