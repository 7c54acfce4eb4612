"""What explorers sum and price, as JavaScript does, and the paper's points beside ours."""

import math
from collections.abc import Iterable, Mapping
from numbers import Real

import numpy as np

from sparq_utils.paper import printed as paper
from sparq_utils.results.variants import LABELS
from sparq_utils.traces.energy import (
    PRESETS,
    PRICED,
    EnergyConstants,
    MemoryModel,
    constants_for,
    operations,
    parts_j,
)
from sparq_utils.traces.policies import check_leaving
from sparq_utils.traces.trace import ExitTrace

SUMMED = {"macs": "mac_j", "acs": "ac_j", "updates": "decay_j", "bits": "byte_j"}
"""What is summed over samples, and the constant whose count it is (bits: eight to a byte)."""


Prices = dict[str, dict[str, float]]
"""Joules by constant, for each precision of weights: bits as text, as JSON's keys are."""


def precision(trace: ExitTrace) -> str:
    """The key of a trace's prices: the bits of its weights, as text."""
    return str(trace.measured_on.weight_bits)


def prices(constants: EnergyConstants | str, traces: Iterable[ExitTrace]) -> Prices:
    """What each operation costs, in joules, at every precision of weights among the traces."""
    found = {}
    for trace in traces:
        priced = constants_for(trace, constants)
        found[precision(trace)] = {name: getattr(priced, name) for name in PRICED}
    return found


def price_presets(traces: Iterable[ExitTrace]) -> list[dict]:
    """Sets of constants to choose from: keys "name", "about" and "constants" (prices).

    "horowitz" follows the precision of the weights; it is left out where a trace has another
    than 8 or 32 bits.
    """
    traces = list(traces)
    found = [
        {"name": name, "about": preset.source, "constants": prices(preset, traces)}
        for name, preset in PRESETS.items()
    ]
    if {precision(trace) for trace in traces} == {"8", "32"}:
        about = "horowitz-int8 where weights have 8 bits, horowitz-fp32 where they have 32"
        mixed = {"name": "horowitz", "about": about, "constants": prices("horowitz", traces)}
        found.append(mixed)
    return found


def checked_prices(given: Mapping[str, Mapping[str, float]], bits: Iterable[str]) -> Prices:
    """Prices as given, if there are some for each precision in `bits`.

    Raises `ValueError` for a precision or a constant that is missing or unknown, and for an
    energy that is negative or not finite.
    """
    wanted = sorted(set(bits), key=int)
    if sorted(given) != sorted(wanted):
        raise ValueError(f"constants are given for {sorted(given)} bits, needed for {wanted}")
    for constants in given.values():
        if not isinstance(constants, Mapping) or set(constants) != set(PRICED):
            odd = sorted(set(map(str, constants)) ^ set(PRICED))
            raise ValueError(f"constants missing or unknown: {', '.join(odd)}")
        EnergyConstants(**constants)
    return {key: dict(constants) for key, constants in given.items()}


def countable(trace: ExitTrace, memory: MemoryModel | str, convention: str) -> dict:
    """What the explorers sum, as whole numbers: float64-exact int64 [exits, samples | 1]."""
    counts = operations(trace, memory, convention)
    whole = {}
    for name, constant in SUMMED.items():
        count = np.asarray(counts[constant]) * (8 if name == "bits" else 1)
        if (count == count[:, :1]).all():
            count = count[:, :1]  # [exits, 1]: the same for every sample
        whole[name] = np.rint(count).astype(np.int64)
    return whole


def checked_leaving(name: str, leaving: np.ndarray, trace: ExitTrace) -> np.ndarray:
    """The exit of every sample, as int64 [samples]; raises `ValueError` if it is none."""
    leaving = np.asarray(leaving)
    check_leaving(leaving, trace.exits, trace.samples, name)
    return leaving.astype(np.int64)


def totals(counts: Mapping[str, np.ndarray], leaving: np.ndarray) -> dict[str, int]:
    """Whole-number totals over all samples that leave at exit `leaving` [samples]."""
    shape = (len(next(iter(counts.values()))), leaving.size)
    samples = np.arange(leaving.size)
    return {
        name: int(np.broadcast_to(count, shape)[leaving, samples].sum())
        for name, count in counts.items()
    }


def energy_parts_j(sums: Mapping[str, int], price: Mapping[str, float]) -> dict[str, float]:
    """Modelled joules per image out of totals (Eq. 4-5), as energyParts of energy.js adds them."""
    macs, acs, updates, bits = (sums[name] for name in SUMMED)
    counts = dict(zip(PRICED, (macs, acs, updates, updates, bits / 8), strict=True))
    parts = parts_j(counts, EnergyConstants(**price))
    return {name: joules / sums["samples"] for name, joules in parts.items()}


def checked_points(points: Iterable[Mapping]) -> list[dict]:
    """Points of others to draw beside ours, as :func:`paper_points` gives them.

    Raises `ValueError`, naming the point, for an accuracy outside 0 to 100 percent and for
    operations or joules (None where unknown) that are negative or not finite.
    """
    for point in points:
        missing = {"name", "accuracy", "synaptic_ops", "energy_j"} - set(point)
        costs = [point[key] for key in ("synaptic_ops", "energy_j") if point.get(key) is not None]
        values = [point.get("accuracy"), *costs]
        if (
            missing
            or not all(isinstance(value, Real) and 0 <= value < math.inf for value in values)
            or point["accuracy"] > 100
        ):
            raise ValueError(f"the point '{point.get('name')}' cannot be drawn: {dict(point)}")
    return [dict(point) for point in points]


def paper_points(experiment: str) -> list[dict]:
    """The paper's Tables 1 and 2 for one experiment: accuracy (percent), operations, joules."""
    energy = {r["variant"]: r["energy_mj"] for r in paper.TABLE_2 if r["experiment"] == experiment}
    return [
        {
            "name": f"Paper: {LABELS[row['variant']]}",
            "accuracy": float(row["accuracy"]),
            "synaptic_ops": float(row["synaptic_ops_m"]) * 1e6,
            "energy_j": float(energy[row["variant"]]) * 1e-3 if row["variant"] in energy else None,
        }
        for row in paper.TABLE_1
        if row["experiment"] == experiment
    ]
