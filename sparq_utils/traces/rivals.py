"""When does the spike win? The spike rate at which two networks cost the same.

Every model here is linear in the number of spikes: with the same share of spikes at every layer,
twice the spikes trigger twice the accumulates. So a spiking network's energy is a fixed part plus
a slope times its spike rate, and the rate at which it meets its opponent's energy is exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sparq_utils.traces.energy import mean_at
from sparq_utils.traces.energy_models import EnergyModel
from sparq_utils.traces.trace import CAUSED_BY_SPIKES, ExitTrace

Left = tuple[ExitTrace, np.ndarray]
"""A trace, and the exit at which each of its samples leaves, int [samples]."""


@dataclass(frozen=True)
class BreakEven:
    """A spiking network beside its opponent under one model: mean modelled joules per image.

    `rate` is spikes per neuron and timestep, `break_even` the rate under which the spiking network
    needs less energy: 0 where it would lose in silence too, above 1 where it wins at any rate.
    """

    model: str
    spiking_j: float
    opponent_j: float
    rate: float
    break_even: float

    @property
    def spike_wins(self) -> bool:
        """Whether the spiking network needs less energy, as it is."""
        return self.spiking_j < self.opponent_j

    @property
    def ratio(self) -> float:
        """The spiking network's energy over its opponent's."""
        return self.spiking_j / self.opponent_j


def spike_rate(trace: ExitTrace, leaving: np.ndarray) -> float:
    """Spikes per neuron and timestep over all images: what was emitted over what could have been.

    An input of spike trains counts among the spikes and not among the neurons.
    """
    updates = mean_at(trace.count("lif_updates"), leaving)
    return mean_at(trace.count("spikes"), leaving) / updates if updates else 0.0


def break_even(model: EnergyModel, spiking: Sequence[Left], opponent: Sequence[Left]) -> BreakEven:
    """Compare two networks under a model: `spiking` and `opponent` are their seeds, each a pair.

    All seeds count alike. Raises `ValueError` if the first has no spikes to compare, or there are
    no seeds.
    """
    if not spiking or not opponent:
        raise ValueError("nothing to compare: give at least one trace of each network")
    rate = float(np.mean([spike_rate(*left) for left in spiking]))
    if not rate:
        on = spiking[0][0].measured_on
        raise ValueError(f"{on.network} ({on.variant}) has no spikes: give the spiking one first")
    ours = float(np.mean([_energy_j(model, trace, leaving) for trace, leaving in spiking]))
    silent = float(
        np.mean([_energy_j(model, without_spikes(trace), leaving) for trace, leaving in spiking])
    )
    theirs = float(np.mean([_energy_j(model, trace, leaving) for trace, leaving in opponent]))
    slope = (ours - silent) / rate  # joules for every spike per neuron and step
    even = (theirs - silent) / slope if slope else np.inf  # where it meets the opponent's
    return BreakEven(model.name, ours, theirs, rate, even if silent < theirs else 0.0)


def without_spikes(trace: ExitTrace) -> ExitTrace:
    """The same network if none of its neurons ever fired: what it costs in silence."""
    caused = [name for name in CAUSED_BY_SPIKES if name in trace.counts]
    silent = {name: np.zeros_like(trace.counts[name]) for name in caused}
    return replace(trace, counts=trace.counts | silent)


def _energy_j(model: EnergyModel, trace: ExitTrace, leaving: np.ndarray) -> float:
    """Mean modelled joules per image."""
    return mean_at(model.parts(trace).total, leaving)
