"""Traces whose exits are timesteps: their names, and what leaving in time trades for what.

How they are recorded, and what each order of running costs, is said at
:mod:`sparq_utils.networks.recording_in_time`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sparq_utils.traces.energy import EnergyConstants, MemoryModel, energy
from sparq_utils.traces.policies import checked_thresholds
from sparq_utils.traces.trace import ExitTrace

CRITERIA = {"confidence": "", "gap": "-gap"}
"""What may decide, and what it adds to a variant's name."""


ORDERS = {None: "-by-step", "step": "-by-step-and-exit", "stage": "-by-exit-and-step"}
"""Which exits there are and in which order, and what that adds to a variant's name."""


def temporal_variant(variant: str, criterion: str = "confidence", order: str | None = None) -> str:
    """The name under which :func:`record_temporal` records a variant that leaves in time.

    Raises `ValueError` for an unknown criterion or order.
    """
    if criterion not in CRITERIA:
        raise ValueError(f"unknown criterion '{criterion}', expected one of {', '.join(CRITERIA)}")
    if order not in ORDERS:
        raise ValueError(f"unknown order '{order}', expected None, step or stage")
    return variant + ORDERS[order] + CRITERIA[criterion]


def threshold_curve(
    trace: ExitTrace, cost: np.ndarray, thresholds: np.ndarray | None = None
) -> pd.DataFrame:
    """Accuracy and mean cost when one threshold rules all exits, one row per threshold.

    `cost` [exits, samples], cumulative. `thresholds` rise within [0, 1]; None takes 0, 1 and the
    distinct confidences of the trace (1,000 quantiles of them if there are more). Columns:
    threshold, accuracy (a fraction), cost (a mean per image) and exit (mean index, from 0).
    """
    reached = np.maximum.accumulate(trace.confidence[:-1].astype(np.float64), axis=0)
    if thresholds is None:
        found = np.unique(reached)
        if found.size > 1_000:
            found = found[np.linspace(0, found.size - 1, 1_000).round().astype(int)]
        thresholds = np.unique(np.concatenate([[0.0], found, [1.0]]))
    thresholds = checked_thresholds(thresholds)
    if (np.diff(thresholds) <= 0).any():
        raise ValueError("thresholds must rise strictly")
    # A sample passes an exit at thresholds above the largest confidence it has shown so far.
    passed = np.searchsorted(thresholds, reached, side="right")  # [exits - 1, samples]
    passed = np.concatenate([np.zeros_like(trace.labels, dtype=np.int64)[None], passed])
    cost = np.broadcast_to(cost, trace.confidence.shape)
    index = np.broadcast_to(np.arange(trace.exits)[:, None], cost.shape)
    columns = {"threshold": thresholds}
    for name, values in (("accuracy", trace.correct), ("cost", cost), ("exit", index)):
        gained = np.diff(values.astype(np.float64), axis=0, prepend=0)  # by going on to each exit
        total = np.bincount(passed.ravel(), gained.ravel(), minlength=thresholds.size + 1)
        columns[name] = total[: thresholds.size].cumsum() / trace.samples
    return pd.DataFrame(columns)


def equal_accuracy(
    traces: Mapping[str, ExitTrace],
    accuracies: Sequence[float],
    validation: Mapping[str, ExitTrace] | None = None,
    constants: EnergyConstants | str = "paper",
    memory: MemoryModel | str = "step-by-step",
) -> pd.DataFrame:
    """What each way of leaving early needs for the same accuracy: one row per trace and accuracy.

    Every trace is ruled by a single threshold, so that none has more to tune than another. For
    each of `accuracies` (fractions) it takes the threshold that is cheapest in modelled energy
    among those that reach it, on `validation` (the same keys) if given, else on the trace itself.

    Columns: trace, wanted, threshold, accuracy (a fraction), energy_j (mean joules per image,
    modelled), synaptic_ops, exit (mean index, from 0), best (whether no other trace needs less
    energy for what was wanted). Where an accuracy is out of reach, all are NaN and best False.
    Raises `ValueError` if a validation trace is missing or of another form.
    """
    rows = []
    for name, trace in traces.items():
        chosen_on = trace if validation is None else validation.get(name)
        if chosen_on is None or chosen_on.exits != trace.exits:
            raise ValueError(f"'{name}' has no validation trace with {trace.exits} exits")
        curve = threshold_curve(chosen_on, energy(chosen_on, constants, memory).total)
        joules = energy(trace, constants, memory).total
        rows += [_cheapest(name, wanted, curve, trace, joules) for wanted in accuracies]
    table = pd.DataFrame(rows)
    table["best"] = table["energy_j"] == table.groupby("wanted")["energy_j"].transform("min")
    return table


def _cheapest(
    name: str, wanted: float, curve: pd.DataFrame, trace: ExitTrace, joules: np.ndarray
) -> dict:
    """A row of :func:`equal_accuracy`."""
    row = {"trace": name, "wanted": wanted}
    # Accuracies are multiples of 1/samples: a hair absorbs the rounding of `wanted`.
    enough = curve[curve["accuracy"] >= wanted - 1e-9]
    if enough.empty:
        missing = ("threshold", "accuracy", "energy_j", "synaptic_ops", "exit")
        return row | dict.fromkeys(missing, float("nan"))
    threshold = float(enough.loc[enough["cost"].idxmin(), "threshold"])
    here = np.array([threshold])
    by_energy = threshold_curve(trace, joules, here).iloc[0]
    operations = threshold_curve(trace, trace.synaptic_ops, here).iloc[0]
    return row | {
        "threshold": threshold,
        "accuracy": float(by_energy["accuracy"]),
        "energy_j": float(by_energy["cost"]),
        "synaptic_ops": float(operations["cost"]),
        "exit": float(by_energy["exit"]),
    }
