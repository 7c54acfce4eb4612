"""Early exits: the joint training loss, and inference that stops computing when a sample leaves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.traces.policies import Thresholds


@dataclass(frozen=True)
class Answers:
    """What staged inference returns, each [B]: prediction, confidence in [0, 1], exit index."""

    prediction: Tensor
    confidence: Tensor
    exit: Tensor


@torch.no_grad()
def staged_inference(
    network: EarlyExitNetwork, images: Tensor, thresholds: Sequence[float]
) -> Answers:
    """Classify images, each leaving at the first exit whose confidence reaches its threshold.

    `images` floats [B, *input_shape]. After each exit the batch shrinks to the samples that
    stay: a sample that left costs nothing more. Confidence is the largest softmax probability.
    Raises `ValueError` for images of another shape and thresholds outside [0, 1].
    """
    thresholds = Thresholds(tuple(thresholds))
    thresholds.check(network.exits)
    network.check_input(images)
    if network.training:
        network.eval()  # batch norm must not depend on who is left in the batch
    given: list[_Given] = []
    arriving = ((None, piece) for piece in network.pieces(images))
    for index, threshold in enumerate([*thresholds, None]):
        arriving = _through(network, index, threshold, arriving, given)
    for _ in arriving:  # runs all stages; the last one passes nobody on
        pass
    inside, answers = given[-1]
    if len(inside) == len(images):
        return answers
    result = Answers(
        prediction=answers.prediction.new_empty(len(images)),
        confidence=answers.confidence.new_empty(len(images)),
        exit=answers.exit.new_empty(len(images)),
    )
    for inside, answers in given:  # whoever stayed is given a later answer again
        result.prediction[inside] = answers.prediction
        result.confidence[inside] = answers.confidence
        result.exit[inside] = answers.exit
    return result


_Given = tuple[Tensor, Answers]
"""Numbers of images, ascending, and the answers that an exit gives them."""

_Arriving = Iterator[tuple[Tensor | None, Tensor]]
"""Numbers of images (None: in order) and their features, [b, ...] or [T*b, ...], in pieces."""


def _through(
    network: EarlyExitNetwork,
    index: int,
    threshold: float | None,
    arriving: _Arriving,
    given: list[_Given],
) -> _Arriving:
    """Stage and head `index`: note the answers, pass on who stays, in pieces as large as before.

    Without a threshold nobody stays.
    """
    waiting: list[tuple[Tensor, Tensor]] = []
    seen = size = 0
    for inside, features in arriving:
        features = network.stages[index](features)  # [T*b, ...]
        steps = features.unflatten(0, (network.timesteps, -1))  # [T, b, ...]
        logits = network.heads[index](features)  # [T*b, classes]
        if network.timesteps > 1:
            logits = logits.unflatten(0, (network.timesteps, -1)).mean(0)  # [b, classes]
        sure, best = logits.float().softmax(-1).max(-1)  # [b]
        if inside is None:
            inside = torch.arange(seen, seen + len(best), device=best.device)
            seen += len(best)
        size = size or len(inside)
        given.append((inside, Answers(best, sure, torch.full_like(best, index))))
        if threshold is None:
            continue
        # Python's numbers are float64; one that is not a number does not leave
        stay = [place for place, c in enumerate(sure.tolist()) if not c >= threshold]
        if 0 < len(stay) < len(inside):
            places = torch.tensor(stay, device=best.device)
            inside, steps = inside[places], steps.index_select(1, places)
        if stay:
            waiting.append((inside, steps))
        if sum(len(numbers) for numbers, _ in waiting) >= size > 0:
            yield _joined(waiting)
            waiting = []
    if waiting:
        yield _joined(waiting)


def _joined(waiting: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Numbers and features [T*b, ...] of several pieces [T, b, ...] as one."""
    if len(waiting) == 1:
        ((numbers, steps),) = waiting
        return numbers, steps.flatten(0, 1)
    numbers, steps = zip(*waiting, strict=True)
    return torch.cat(numbers), torch.cat(steps, 1).flatten(0, 1)
