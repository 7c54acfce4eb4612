"""Two levels of memory: an on-chip SRAM as large as a network needs, DRAM for what does not fit."""

from dataclasses import dataclass

import numpy as np

from sparq_utils.traces.memory import (
    MemoryModel,
    activation_bits,
    memory_model,
    state_bits,
    traffic_bits,
)
from sparq_utils.traces.prices import check_whole
from sparq_utils.traces.trace import ExitTrace

SRAM_J = {8 * 2**10: 10e-12, 32 * 2**10: 20e-12, 2**20: 100e-12}
"""Joules of a 64-bit access to an SRAM of so many bytes (Horowitz, ISSCC 2014, 45 nm, caches)."""

DRAM_J = 1300e-12
"""Joules of a 64-bit access to DRAM (the same source: 1.3 to 2.6 nJ)."""


@dataclass(frozen=True)
class Hierarchy:
    """Memory of a chip with at most `capacity_bytes` of SRAM.

    What a network works on (potentials, spikes, activations, constant currents) is kept in SRAM if
    it fits, and so are the weights if they fit beside it; what does not fit lies in DRAM. The SRAM
    is only as large as what is kept, and its price is interpolated between Horowitz's three sizes
    on logarithmic scales, as cheap as the smallest below it.

    Or give your chip's own prices, in joules per byte: `near_j` of the memory of that capacity,
    whatever is kept in it, and `far_j` of the one beyond (flash, for instance). Raises `ValueError`
    without capacity and for prices below 0.
    """

    capacity_bytes: int = 2**20
    near_j: float | None = None
    far_j: float = DRAM_J / 8

    def __post_init__(self) -> None:
        """Refuse a chip without memory, and memory that gives energy."""
        check_whole("capacity_bytes", self.capacity_bytes)
        for name in ("near_j", "far_j"):
            price = getattr(self, name)
            if price is not None and not 0 <= price < np.inf:
                raise ValueError(f"{name} is {price}; an energy is finite and at least 0 J")

    def places(self, trace: ExitTrace, memory: MemoryModel | str) -> dict[str, float]:
        """Joules per byte of "weights" and of "working" data, by where each of them lies."""
        weights, working = needs_bytes(trace, memory)
        if weights + working <= self.capacity_bytes:
            price = self._near_j(weights + working)
            return {"weights": price, "working": price}
        if working <= self.capacity_bytes:
            return {"weights": self.far_j, "working": self._near_j(working)}
        return {"weights": self.far_j, "working": self.far_j}

    def _near_j(self, kept: float) -> float:
        """Joules per byte of the memory that keeps so many bytes."""
        return sram_byte_j(kept) if self.near_j is None else self.near_j

    def memory_j(self, trace: ExitTrace, memory: MemoryModel | str) -> np.ndarray:
        """Modelled joules of all bytes moved: float64 [exits, samples]."""
        bits, price = traffic_bits(trace, memory), self.places(trace, memory)
        working = sum(moved for what, moved in bits.items() if what != "weights")
        return bits["weights"] / 8 * price["weights"] + working / 8 * price["working"]


def needs_bytes(trace: ExitTrace, memory: MemoryModel | str) -> tuple[float, float]:
    """Bytes that the whole network's weights take, and what it works on, all exits included."""
    on, model = trace.measured_on, memory_model(memory)
    weights = int(trace.count("weights")[-1].max()) * on.weight_bits
    neurons = int(trace.count("neurons")[-1].max())
    if on.encoding == "analog":
        return weights / 8, neurons * activation_bits(trace, model) / 8
    potential, current = state_bits(trace, model)
    working = neurons * (1 + potential)
    if model.currents:
        working += int(trace.count("current_reads")[-1].max()) // on.timesteps * current
    return weights / 8, working / 8


def sram_byte_j(size_bytes: float) -> float:
    """Joules per byte of an SRAM of this size, between the sizes in :data:`SRAM_J`."""
    sizes, joules = np.log(list(SRAM_J)), np.log(list(SRAM_J.values()))
    return float(np.exp(np.interp(np.log(max(size_bytes, 1)), sizes, joules))) / 8
