"""Inference that stops computing when a sample leaves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.traces.policies import ByConfidence, Thresholds

LetsGo = Callable[[int, np.ndarray], np.ndarray]
"""Whether each of these confidences [n] may leave at an exit, counted from 0: bool [n]."""


@dataclass(frozen=True)
class Answers:
    """What staged inference returns, each [B]: prediction, confidence in [0, 1], exit index."""

    prediction: Tensor
    confidence: Tensor
    exit: Tensor


@dataclass(frozen=True)
class _Inside:
    """Images that have not left: their numbers [b], features [T, b, ...] and what was said.

    `said` [exits so far, b, classes] are log-probabilities, kept where exits answer in company.
    """

    numbers: Tensor
    steps: Tensor
    said: Tensor | None

    def only(self, places: np.ndarray) -> "_Inside":
        """Those at these places, rising."""
        if len(places) == len(self.numbers):
            return self
        index = torch.from_numpy(places).to(self.numbers.device)
        said = None if self.said is None else self.said[:, index]
        return _Inside(self.numbers[index], self.steps.index_select(1, index), said)


@torch.no_grad()
def staged_inference(
    network: EarlyExitNetwork,
    images: Tensor,
    policy: ByConfidence | Sequence[float] | LetsGo,
    company: np.ndarray | None = None,
) -> Answers:
    """Classify images, each leaving at the first exit that lets it go; the last takes the rest.

    `images` floats [B, *input_shape]. After each exit the batch shrinks to the samples that
    stay: a sample that left costs nothing more. `policy` is an object that decides by confidence
    (:class:`~sparq_utils.traces.policies.Thresholds`, a learned
    :class:`~sparq_utils.traces.policies.Table`), plain thresholds, or any function of an exit and
    confidences. Confidence is the largest softmax probability: of each exit alone, or with
    `company` weights [exits, exits] (:func:`~sparq_utils.traces.company.fit_company`) of what it
    says together with the exits before it.

    Raises `ValueError` for images of another shape, and a policy or a company of other exits.
    """
    lets_go = _rule(policy, network.exits)
    if company is not None and company.shape != (network.exits, network.exits):
        raise ValueError(f"company weights {company.shape} for {network.exits} exits: need one row "
                         "and one column per exit")  # fmt: skip
    network.check_input(images)
    if network.training:
        network.eval()  # batch norm must not depend on who is left in the batch
    run = _Run(network, lets_go, company)
    for piece in network.pieces(images):
        run.advance(0, None, piece, None)
    run.finish()
    return run.answers(len(images))


class _Run:
    """One pass of a batch through a network, in pieces that shrink and are filled up again."""

    def __init__(
        self, network: EarlyExitNetwork, lets_go: LetsGo, company: np.ndarray | None
    ) -> None:
        self.network, self.lets_go = network, lets_go
        self.company = None if company is None else torch.from_numpy(company)
        self.staying: list[list[_Inside]] = [[] for _ in range(network.exits + 1)]
        self.given: list[tuple[Tensor, Answers]] = []  # numbers of images, what they are answered
        self.seen = self.size = 0  # images so far; those of a whole piece

    def advance(
        self, index: int, numbers: Tensor | None, features: Tensor, said: Tensor | None
    ) -> None:
        """Stage and head `index`; who stays goes on as soon as they fill a piece.

        `features` [T*b, ...] (or [b, ...]) of the images `numbers`, None for the next ones.
        """
        features = self.network.stages[index](features)  # [T*b, ...]
        logits = self.network.heads[index](features)  # [T*b, classes]
        if self.network.timesteps > 1:
            logits = logits.unflatten(0, (self.network.timesteps, -1)).mean(0)  # [b, classes]
        if numbers is None:
            numbers = torch.arange(self.seen, self.seen + len(logits), device=logits.device)
            self.seen += len(logits)
            self.size = self.size or len(logits)
        said, sure, best = self._answer(index, logits, said)
        self.given.append((numbers, Answers(best, sure, torch.full_like(best, index))))
        if index + 1 == self.network.exits:
            return
        stay = np.flatnonzero(~self._let_go(index, sure))
        if len(stay):
            steps = features.unflatten(0, (self.network.timesteps, -1))  # [T, b, ...]
            self.staying[index].append(_Inside(numbers, steps, said).only(stay))
        if sum(len(inside.numbers) for inside in self.staying[index]) >= self.size > 0:
            self._go_on(index)

    def finish(self) -> None:
        """Those who wait for a piece to be filled go on without more of them."""
        for index in range(self.network.exits):
            if self.staying[index]:
                self._go_on(index)

    def _go_on(self, index: int) -> None:
        """Who stayed at an exit meets the next stage."""
        inside, self.staying[index] = self.staying[index], []
        numbers, steps = inside[0].numbers, inside[0].steps
        said = inside[0].said
        if len(inside) > 1:
            numbers = torch.cat([one.numbers for one in inside])
            steps = torch.cat([one.steps for one in inside], 1)
            said = None if said is None else torch.cat([one.said for one in inside], 1)
        self.advance(index + 1, numbers, steps.flatten(0, 1), said)

    def _answer(
        self, index: int, logits: Tensor, said: Tensor | None
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """What was said [index + 1, b, classes] in company; confidence and prediction [b]."""
        sure, best = logits.float().softmax(-1).max(-1)  # [b]
        if self.company is None:
            return None, sure, best
        new = logits.float().double().log_softmax(-1)[None]  # [1, b, classes]
        said = new if said is None else torch.cat([said, new])
        weights = self.company[index, : index + 1].to(said)
        if weights[:-1].any() or weights[-1] != 1:  # else it says what it says alone
            together = torch.tensordot(weights, said, 1).softmax(-1).max(-1)
            sure, best = together.values.float(), together.indices
        return said, sure, best

    def _let_go(self, index: int, sure: Tensor) -> np.ndarray:
        """Whom the policy lets go, bool [b]."""
        go = np.asarray(self.lets_go(index, sure.cpu().numpy()))
        if go.shape != (len(sure),) or go.dtype != bool:
            raise ValueError(f"the policy answered {go.dtype} {list(go.shape)} for {len(sure)} "
                             "confidences; expected one bool for each")  # fmt: skip
        return go

    def answers(self, count: int) -> Answers:
        """The answer that each of `count` images left with."""
        inside, answers = self.given[-1]
        if len(inside) == count:
            return answers
        result = Answers(
            prediction=answers.prediction.new_empty(count),
            confidence=answers.confidence.new_empty(count),
            exit=answers.exit.new_empty(count),
        )
        for inside, answers in self.given:  # whoever stayed is given a later answer again
            result.prediction[inside] = answers.prediction
            result.confidence[inside] = answers.confidence
            result.exit[inside] = answers.exit
        return result


def _rule(policy: ByConfidence | Sequence[float] | LetsGo, exits: int) -> LetsGo:
    """The rule by which a policy of any kind lets images go; refused where it has none."""
    if callable(policy):
        return policy
    if hasattr(policy, "leaving") and not isinstance(policy, ByConfidence):
        raise ValueError(f"{type(policy).__name__} does not decide by confidence: it can only be "
                         "told about traces")  # fmt: skip
    decides = policy if isinstance(policy, ByConfidence) else Thresholds(tuple(policy))
    decides.check(exits)
    return decides.lets_go
