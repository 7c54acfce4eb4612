"""The analytical model of Yan et al. (2024), on a trace's counts.

A spike travels as an event, with its address, through a network on the chip, once for every
connection; an ordinary network's activations travel densely, as bare bits on fixed paths. So an
event of one bit is an order of magnitude dearer than a bit of an activation, and it is the number
of events that decides. Weights are fetched from on-chip SRAM for every accumulate; potentials stay
in registers.
"""

from dataclasses import dataclass

import numpy as np

from sparq_utils.traces.energy import EnergyParts
from sparq_utils.traces.memory import MemoryModel, activation_bits
from sparq_utils.traces.trace import ExitTrace

ACCUMULATE_J = 0.05448e-12
"""Joules of an accumulation, of a comparison and of a subtraction (22 nm)."""

EVENT_J, DENSE_BIT_J = 3.0e-12, 0.25e-12
"""Joules to move a spike's event, and a bit of an activation, over one hop."""

WEIGHT_BIT_J = 0.0367e-12
"""Joules to fetch one bit of a weight. Inferred: with it the break-even at T = 5, 4-bit weights
and a fan-in of 4096 is the published 5.7 %, and those at other T and bits follow."""

NUMBERS = MemoryModel(name="numbers")


@dataclass(frozen=True)
class Yan:
    """Energy by Yan et al.: every connection moves its input, fetches its weight, adds.

    `hops` are the links that a spike or an activation crosses on the way to a neuron. Of an
    ordinary network's activations `zeros` are zero: those move, and are not multiplied. A trace
    does not count them. Multiplying by an activation of b bits is taken as b accumulations, and
    the pixels of an analog first layer as activations like all others, in both networks alike.
    Raises `ValueError` for a negative number of hops and a share outside [0, 1].
    """

    name: str = "yan"
    source: str = (
        "Yan et al., Reconsidering the Energy Efficiency of Spiking Neural Networks, 2024 (arXiv "
        "2409.08290v4), typical neuromorphic hardware, 22 nm; the price of a weight inferred from "
        "its break-even"
    )
    hops: float = 1.0
    zeros: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what no chip can have."""
        if not (0 <= self.hops < np.inf and 0 <= self.zeros <= 1):
            raise ValueError(f"{self.hops} hops and a share of {self.zeros} zeros: no such chip")

    def parts(self, trace: ExitTrace) -> EnergyParts:
        """Modelled joules of leaving at each exit: arithmetic, neurons, everything that moves."""
        on, macs, acs = trace.measured_on, trace.count("macs"), trace.count("acs")
        analog = on.encoding == "analog"
        bits = activation_bits(trace, NUMBERS) if analog else on.timesteps.bit_length()
        multiplied = macs * bits * (1 - self.zeros)
        fired = trace.count("spikes") if not analog else np.zeros_like(acs)
        moved = acs * EVENT_J + macs * bits * DENSE_BIT_J
        weights = (acs + macs) * on.weight_bits * WEIGHT_BIT_J
        return EnergyParts(
            synaptic=(acs + multiplied) * ACCUMULATE_J,
            lif=(trace.count("lif_updates") + fired) * ACCUMULATE_J,
            memory=moved * self.hops + weights,
        )
