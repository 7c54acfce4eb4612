"""The rows of our tables: of which recorded trace each is made, and how it decides when to leave.

Policies, thresholds and the weights of a company are chosen on the validation trace of the same
seed, and told about test images. Where energy decides, it is modelled with the default constants
and memory model, whatever a table is priced with.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sparq_utils.traces.energy import energy
from sparq_utils.traces.optimum import exact_optimum
from sparq_utils.traces.policies import Policy, Thresholds, at_exit
from sparq_utils.traces.qlearning import learn
from sparq_utils.traces.sweeps import choose_thresholds, thresholds_within
from sparq_utils.traces.trace import ExitTrace

MAX_LOSS = 0.0
"""Accuracy that the dynamic ANN may lose, on validation data, against its own last exit."""

HALF_A_POINT = 0.005


@dataclass(frozen=True)
class Seen:
    """What a choice may look at: validation traces as the row answers and as exits do alone."""

    validation: ExitTrace
    alone: ExitTrace
    rng: np.random.Generator


@dataclass(frozen=True)
class Variant:
    """One row: `label` in tables and figures, the recorded `trace` it is made from, its policy.

    `policy` says in plain words how `choose` comes to a policy. With `company` its exits answer
    in company (:mod:`sparq_utils.traces.company`), else alone, as the paper has it.
    """

    label: str
    trace: str
    policy: str = "one exit: nothing to decide"
    choose: Callable[[Seen], Policy] = lambda seen: Thresholds(())
    company: bool = False

    @property
    def answer(self) -> str:
        """How its exits answer: "alone" or "company"."""
        return "company" if self.company else "alone"


def _fixed(label: str, trace: str, *thresholds: float, company: bool = False) -> Variant:
    """A row with the same thresholds for every network and seed."""
    return Variant(
        f"{label} {'/'.join(map(str, thresholds))}",
        trace,
        "the same thresholds for every network and seed",
        lambda seen: Thresholds(thresholds),
        company,
    )


def _best(label: str, trace: str) -> Variant:
    """A row in company whose thresholds are the most accurate."""
    return Variant(
        f"{label}, best",
        trace,
        "the thresholds most accurate on validation images, of equal ones those of least modelled "
        "energy",
        lambda seen: choose_thresholds(seen.validation, cost=energy(seen.validation).total),
        company=True,
    )


def _half(label: str, trace: str) -> Variant:
    """A row in company that may lose half a point against the last exit alone."""
    return Variant(
        f"{label}, half a point",
        trace,
        "the thresholds of least modelled energy that lose at most half a point of the accuracy "
        "that the last exit alone has on validation images",
        lambda seen: choose_thresholds(
            seen.validation,
            HALF_A_POINT,
            energy(seen.validation).total,
            against=float(seen.alone.correct[-1].mean()),
        ),
        company=True,
    )


def _matched(seen: Seen) -> Policy:
    """Thresholds that may cost on validation images what the Q-learned table costs there."""
    joules = energy(seen.validation).total  # [exits, samples]
    table = learn(seen.validation, seen.rng).policy
    budget = at_exit(joules, table.leaving(seen.validation)).mean()
    return thresholds_within(seen.validation, float(budget), joules)


ROWS = {
    "ann": Variant("ANN", "ann"),
    "dynamic-ann": Variant(
        "dynamic ANN",
        "dynamic-ann",
        "the thresholds of fewest operations that lose no accuracy on validation images",
        lambda seen: choose_thresholds(seen.validation, MAX_LOSS),
    ),
    "snn": Variant("SNN", "snn"),
    "qsnn": Variant("QSNN", "qsnn"),
    "qdsnn-0.2-0.4": _fixed("QDSNN", "qdsnn", 0.2, 0.4),
    "qdsnn-0.6-0.7": _fixed("QDSNN", "qdsnn", 0.6, 0.7),
    "qdsnn-company-0.6-0.7": _fixed("QDSNN in company", "qdsnn", 0.6, 0.7, company=True),
    "qdsnn-company-best": _best("QDSNN in company", "qdsnn"),
    "qdsnn-company-half": _half("QDSNN in company", "qdsnn"),
    "qdsnn-q": Variant(
        "QDSNN, Q-learned",
        "qdsnn",
        "a table (Eq. 1-2, joules saved): of the greedy ones met while learning, the one of most "
        "reward on validation images",
        lambda seen: learn(seen.validation, seen.rng).policy,
    ),
    "qdsnn-matched": Variant(
        "QDSNN, thresholds at the Q-learned energy",
        "qdsnn",
        "the thresholds most accurate on validation images of those that need no more modelled "
        "energy there than the Q-learned table",
        _matched,
    ),
    "qdsnn-optimal": Variant(
        "QDSNN, reward-optimal",
        "qdsnn",
        "the table of most reward (Eq. 1-2, joules saved) on validation images",
        lambda seen: exact_optimum(seen.validation).policy,
    ),
    "qdsnn-sparse-0.6-0.7": _fixed("sparse QDSNN", "qdsnn-sparse", 0.6, 0.7),
    "qdsnn-sparse-company-best": _best("sparse QDSNN in company", "qdsnn-sparse"),
    "qann": Variant("QANN", "qann"),
    "qdann-0.6-0.7": _fixed("QDANN", "qdann", 0.6, 0.7),
    "qdann-company-best": _best("QDANN in company", "qdann"),
    "qdann-company-half": _half("QDANN in company", "qdann"),
}
"""The rows of a table, in order, by the name that `results --json` calls them."""

BESIDE = {"snn-rate": Variant("SNN, rate-coded", "snn-rate")}
"""Rows that can be asked for and stand in no table."""

LABELS = {name: one.label for name, one in (ROWS | BESIDE).items()} | {
    "qdsnn": "QDSNN",
    "qdsnn-sparse": "sparse QDSNN",
    "qdann": "QDANN",
}
"""How rows and recorded traces are called in tables, figures and explorers."""


def find(variant: str) -> Variant:
    """A row's specification; raises `ValueError` for an unknown name."""
    known = ROWS | BESIDE
    if variant not in known:
        raise ValueError(f"unknown variant '{variant}'; choose one of {', '.join(known)}")
    return known[variant]
