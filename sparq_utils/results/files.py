"""Recorded results: where they lie, and where images leave under each variant of a table.

Layout: `results/<experiment>/seed-<s>/<variant>-<split>.npz`, one trace a file. Thresholds and
policies are chosen on the validation trace and reported on the test trace of the same seed.
"""

import os
from pathlib import Path

import numpy as np

from sparq_utils.traces.optimum import Objective, exact_optimum
from sparq_utils.traces.policies import choose_thresholds, leave_at_thresholds, leave_by_table
from sparq_utils.traces.qlearning import learn
from sparq_utils.traces.trace import ExitTrace, load_trace

EXPERIMENTS = ("mlp-mnist", "lenet-mnist", "alexnet-cifar10")
SPLITS = ("validation", "test")
TRACES = ("ann", "dynamic-ann", "snn", "snn-rate", "qsnn", "qdsnn", "qann", "qdann")
"""The variants that are recorded for every seed."""

TEMPORAL = ("qsnn-by-step", "qsnn-by-step-gap", "qdsnn-by-exit-and-step")
"""The same INT8 network leaving in time (:mod:`sparq_utils.traces.in_time`), for seed 0 alone."""

DYNAMIC = ("dynamic-ann", "qdsnn", "qdann", *TEMPORAL)
"""Those with several exits, recorded on validation images too."""

ROWS = {
    "ann": "ann",
    "dynamic-ann": "dynamic-ann",
    "snn": "snn",
    "qsnn": "qsnn",
    "qdsnn-0.2-0.4": "qdsnn",
    "qdsnn-0.6-0.7": "qdsnn",
    "qdsnn-q": "qdsnn",
    "qdsnn-optimal": "qdsnn",
}
"""The variants of a table, and the recorded trace each is made from."""

MAX_LOSS = 0.0
"""Accuracy that the dynamic ANN may lose, on validation data, against its own last exit."""


class ResultsError(LookupError):
    """Results that were asked for and are not recorded, or do not belong together."""


def results_dir() -> Path:
    """Where results lie: `SPARQ_RESULTS_DIR`, else `results/` beside the package."""
    chosen = os.environ.get("SPARQ_RESULTS_DIR")
    return Path(chosen) if chosen else Path(__file__).resolve().parents[2] / "results"


def trace_path(experiment: str, variant: str, split: str = "test", seed: int = 0) -> Path:
    """The file of one recorded trace, there or not.

    Raises `ValueError` for an unknown experiment, variant or split.
    """
    for what, value, known in (
        ("experiment", experiment, EXPERIMENTS),
        ("variant", variant, (*TRACES, *TEMPORAL)),
        ("split", split, SPLITS),
    ):
        if value not in known:
            raise ValueError(f"unknown {what} '{value}'; choose one of {', '.join(known)}")
    return results_dir() / experiment / f"seed-{seed}" / f"{variant}-{split}.npz"


def seeds(experiment: str) -> list[int]:
    """The recorded seeds of an experiment, rising; raises :class:`ResultsError` if none."""
    folder = trace_path(experiment, "ann").parent.parent
    names = (path.name.removeprefix("seed-") for path in folder.glob("seed-*") if path.is_dir())
    found = sorted(int(name) for name in names if name.isdecimal())
    if not found:
        raise ResultsError(f"no results in {folder}; {how_to_record(experiment)}")
    return found


def recorded() -> list[str]:
    """The experiments of which there are results."""
    return [name for name in EXPERIMENTS if any((results_dir() / name).glob("seed-*/*.npz"))]


def load(experiment: str, variant: str, split: str = "test", seed: int = 0) -> ExitTrace:
    """One recorded trace.

    Raises :class:`ResultsError` if it is not recorded, `TraceError` if its file is damaged,
    `ValueError` for an unknown name.
    """
    path = trace_path(experiment, variant, split, seed)
    if not path.is_file():
        raise ResultsError(f"no results at {path}; {how_to_record(experiment)}")
    return load_trace(path)


def leaving(
    variant: str, validation: ExitTrace, test: ExitTrace, rng: np.random.Generator
) -> np.ndarray:
    """At which exit each test image leaves under a table's variant: int64 [samples].

    "qdsnn-a-b" leaves at the thresholds a and b; "qdsnn-q" learns and "qdsnn-optimal" solves
    for a table, and "dynamic-ann" finds the cheapest thresholds within :data:`MAX_LOSS`, all on
    the validation trace. Static variants have a single exit.
    """
    if variant == "qdsnn-q":
        return leave_by_table(test, learn(validation, rng).leave)
    if variant == "qdsnn-optimal":
        return leave_by_table(test, exact_optimum(validation, Objective()).leave)
    if variant == "dynamic-ann":
        return leave_at_thresholds(test, choose_thresholds(validation, MAX_LOSS))
    if variant.startswith("qdsnn-"):
        return leave_at_thresholds(test, [float(part) for part in variant.split("-")[1:]])
    return leave_at_thresholds(test, [])


def how_to_record(experiment: str) -> str:
    """The way out of missing results."""
    return (
        f"record them with 'python -m sparq_utils run {experiment} --profile full', "
        "or point SPARQ_RESULTS_DIR at results you have"
    )
