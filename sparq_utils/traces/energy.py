"""Modelled energy and power of an exit trace (Eq. 3-5): joules, seconds, watts, bytes.

Nothing here is measured. Energy is a sum of operation counts, each priced by a constant
(:mod:`sparq_utils.traces.prices`), so every figure is *modelled* and only as good as the constants
and the memory model (:mod:`sparq_utils.traces.memory`) it names.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sparq_utils.traces.hierarchy import Hierarchy
from sparq_utils.traces.memory import (
    MEMORY_MODELS,
    MemoryModel,
    memory_bytes,
    memory_model,
)
from sparq_utils.traces.policies import at_exit
from sparq_utils.traces.prices import (
    HOROWITZ_FP32,
    HOROWITZ_INT8,
    HOROWITZ_INT8_STATE,
    PAPER,
    PRESETS,
    PRICED,
    EnergyConstants,
    constants_for,
    one_of,
)
from sparq_utils.traces.trace import ExitTrace

__all__ = [
    "CONVENTIONS",
    "HOROWITZ_FP32",
    "HOROWITZ_INT8",
    "HOROWITZ_INT8_STATE",
    "MEMORY_MODELS",
    "PAPER",
    "PRESETS",
    "PRICED",
    "EnergyConstants",
    "EnergyParts",
    "MemoryModel",
    "constants_for",
    "energy",
    "memory_bytes",
    "memory_model",
    "operations",
    "power_w",
    "priced_operations",
    "sensitivity",
    "terms_j",
]

CONVENTIONS = ("fan-out", "printed")
"""How synapses are counted: every connection a spike reaches, or Eq. 6-8 as printed."""


@dataclass(frozen=True)
class EnergyParts:
    """Modelled energy of leaving at each exit, in joules: float64 [exits, samples] each."""

    synaptic: np.ndarray
    lif: np.ndarray
    memory: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """The three parts summed, in joules: float64 [exits, samples]."""
        return self.synaptic + self.lif + self.memory

    def mean_j(self, leaving: np.ndarray | None = None) -> dict[str, float]:
        """Mean joules per image of each part: keys "synaptic", "lif", "memory".

        `leaving` int [samples] is each sample's exit; the last one if None. The mean total is
        the sum of the three values.
        """
        parts = {"synaptic": self.synaptic, "lif": self.lif, "memory": self.memory}
        return {name: mean_at(part, leaving) for name, part in parts.items()}


def power_w(energy_j: float, time_s: float) -> float:
    """Mean power in watts of `energy_j` joules spent in `time_s` seconds (Eq. 3).

    Raises `ValueError` unless the time is positive and the energy is none or more.
    """
    if not np.all(np.asarray(time_s) > 0):
        raise ValueError(f"time is {time_s} s; power needs a positive time")
    if not np.all(np.asarray(energy_j) >= 0):
        raise ValueError(f"energy is {energy_j} J, expected at least 0")
    return energy_j / time_s


def operations(
    trace: ExitTrace, memory: MemoryModel | str = "step-by-step", convention: str = "fan-out"
) -> dict[str, np.ndarray]:
    """How often each constant is paid when leaving at each exit: [exits, samples] per constant.

    Keys are :data:`PRICED`. "fan-out" counts every connection a spike reaches, and the MACs of
    a direct-coded first layer. "printed" counts an ANN's dense MACs (Eq. 6-7) and a spiking
    network's spikes (Eq. 8), whatever their fan-out.
    """
    one_of("convention", convention, CONVENTIONS)
    if convention == "fan-out":
        macs, acs = trace.count("macs"), trace.count("acs")
    elif trace.measured_on.encoding == "analog":
        macs, acs = trace.count("dense_macs"), np.zeros_like(trace.count("spikes"))
    else:
        macs, acs = np.zeros_like(trace.count("macs")), trace.count("spikes")
    updates = trace.count("lif_updates")
    moved = memory_bytes(trace, memory)
    return dict(zip(PRICED, (macs, acs, updates, updates, moved), strict=True))


def terms_j(counts: Mapping[str, np.ndarray], price: EnergyConstants) -> dict[str, np.ndarray]:
    """Eq. 4-5, term by term: how often each constant is paid, times the constant, in joules."""
    return {name: counts[name] * getattr(price, name) for name in PRICED}


def parts_j(counts: Mapping[str, np.ndarray], price: EnergyConstants) -> dict[str, np.ndarray]:
    """Eq. 4-5, by part, in joules: "synaptic", "lif", "memory"."""
    terms = terms_j(counts, price)
    return {
        "synaptic": terms["mac_j"] + terms["ac_j"],
        "lif": terms["decay_j"] + terms["compare_j"],
        "memory": terms["byte_j"],
    }


def energy(
    trace: ExitTrace,
    constants: EnergyConstants | str = "paper",
    memory: MemoryModel | str = "step-by-step",
    convention: str = "fan-out",
    hierarchy: Hierarchy | None = None,
) -> EnergyParts:
    """Model the energy of leaving at each exit (Eq. 4 for an ANN, Eq. 5 for a spiking network).

    `constants` and `memory` are objects or names (:data:`PRESETS` or "horowitz",
    :data:`MEMORY_MODELS`). With a `hierarchy` bytes cost what its memories cost instead of
    `byte_j`. Returns joules per image, [exits, samples] a part. Raises `ValueError` for an
    unknown name or convention.
    """
    parts = parts_j(operations(trace, memory, convention), constants_for(trace, constants))
    if hierarchy is not None:
        parts["memory"] = hierarchy.memory_j(trace, memory)
    return EnergyParts(**parts)


def priced_operations(
    trace: ExitTrace,
    leaving: np.ndarray | None = None,
    constants: EnergyConstants | str = "paper",
    memory: MemoryModel | str = "step-by-step",
    convention: str = "fan-out",
) -> dict[str, float]:
    """Mean joules per image that each constant accounts for; keys are :data:`PRICED`.

    `leaving` int [samples] is each sample's exit; the last one if None.
    """
    counts = operations(trace, memory, convention)
    means = {name: mean_at(count, leaving) for name, count in counts.items()}
    return terms_j(means, constants_for(trace, constants))


def sensitivity(first: Mapping[str, float], second: Mapping[str, float]) -> list[dict]:
    """Which constant decides whether `first` or `second` needs less modelled energy.

    Both are the joules per constant of :func:`priced_operations`. Energy is linear in each
    constant, so scaling one of them, in both, by `break_even` makes the two equal. Rows have
    the keys `constant`, `first_share`, `second_share` (its fraction of each energy) and
    `break_even` (None where no positive factor turns the ranking), the constant that decides
    most easily (the factor closest to 1) first.
    """
    difference = {name: first[name] - second[name] for name in PRICED}
    total = sum(difference.values())
    rows = []
    for name in PRICED:
        own = difference[name]
        factor = (own - total) / own if own else 0.0
        rows.append(
            {
                "constant": name,
                "first_share": _share(first, name),
                "second_share": _share(second, name),
                "break_even": float(factor) if factor > 0 else None,
            }
        )
    return sorted(rows, key=_distance_from_one)


def _distance_from_one(row: dict) -> float:
    """How far a factor is from 1, by ratio; infinite where there is none."""
    return abs(np.log(row["break_even"])) if row["break_even"] else np.inf


def _share(joules: Mapping[str, float], name: str) -> float:
    """The fraction of an energy that one constant accounts for."""
    whole = sum(joules.values())
    return float(joules[name] / whole) if whole else 0.0


def mean_at(values: np.ndarray, leaving: np.ndarray | None) -> float:
    """Mean over samples of `values` [exits, samples] at each sample's exit."""
    if leaving is None:
        return float(values[-1].mean())
    return float(at_exit(values, leaving).mean())
