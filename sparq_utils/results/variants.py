"""The rows of our tables: of which recorded trace each is made, and how it decides when to leave.

A row's policy is chosen on the validation trace of the same seed, and told about test images.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sparq_utils.traces.optimum import exact_optimum
from sparq_utils.traces.policies import Policy, Thresholds
from sparq_utils.traces.qlearning import learn
from sparq_utils.traces.sweeps import choose_thresholds
from sparq_utils.traces.trace import ExitTrace

MAX_LOSS = 0.0
"""Accuracy that the dynamic ANN may lose, on validation data, against its own last exit."""

Choose = Callable[[ExitTrace, np.random.Generator], Policy]
"""How a policy is chosen, given a validation trace."""


@dataclass(frozen=True)
class Variant:
    """One row: `label` in tables and figures, the recorded `trace` it is made from, its policy.

    `policy` says in plain words how `choose` comes to a policy.
    """

    label: str
    trace: str
    policy: str = "one exit: nothing to decide"
    choose: Choose = lambda validation, rng: Thresholds(())


def fixed(*thresholds: float) -> Choose:
    """The choice of these thresholds, whatever the validation data."""
    return lambda validation, rng: Thresholds(thresholds)


def _no_loss(validation: ExitTrace, rng: np.random.Generator) -> Policy:
    return choose_thresholds(validation, MAX_LOSS)


def _learned(validation: ExitTrace, rng: np.random.Generator) -> Policy:
    return learn(validation, rng).policy


def _optimal(validation: ExitTrace, rng: np.random.Generator) -> Policy:
    return exact_optimum(validation).policy


_FIXED = "the same thresholds for every network and seed"
ROWS = {
    "ann": Variant("ANN", "ann"),
    "dynamic-ann": Variant(
        "dynamic ANN",
        "dynamic-ann",
        "thresholds that need the fewest operations and lose no accuracy on validation images",
        _no_loss,
    ),
    "snn": Variant("SNN", "snn"),
    "qsnn": Variant("QSNN", "qsnn"),
    "qdsnn-0.2-0.4": Variant("QDSNN 0.2/0.4", "qdsnn", _FIXED, fixed(0.2, 0.4)),
    "qdsnn-0.6-0.7": Variant("QDSNN 0.6/0.7", "qdsnn", _FIXED, fixed(0.6, 0.7)),
    "qdsnn-q": Variant(
        "QDSNN, Q-learned", "qdsnn", "a table learned on validation images (Eq. 1-2)", _learned
    ),
    "qdsnn-optimal": Variant(
        "QDSNN, optimum", "qdsnn", "the table worth most on validation images (Eq. 1-2)", _optimal
    ),
}
"""The rows of a table, in order, by the name that `results --json` calls them."""

BESIDE = {"snn-rate": Variant("SNN, rate-coded", "snn-rate")}
"""Rows that can be asked for and stand in no table."""

LABELS = {name: one.label for name, one in (ROWS | BESIDE).items()} | {"qdsnn": "QDSNN"}
"""How rows and recorded traces are called in tables, figures and explorers."""


def find(variant: str) -> Variant:
    """A row's specification; raises `ValueError` for an unknown name."""
    known = ROWS | BESIDE
    if variant not in known:
        raise ValueError(f"unknown variant '{variant}'; choose one of {', '.join(known)}")
    return known[variant]
