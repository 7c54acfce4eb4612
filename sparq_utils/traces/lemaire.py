"""The analytical model of Lemaire et al. (2022), on a trace's counts.

Every access goes to a memory whose price grows with what it holds, and event-driven hardware reads
and writes a potential for every weight that a spike meets. Each layer has a memory of its own for
its weights and one for its potentials. That of activations is one for the whole network, a few
percent of an access; spikes wait in queues that are as cheap as an access can be. What an analog
synapse reads is charged once for every MAC, as the article charges a convolution (Eq. 3), in fully
connected layers too.
"""

from dataclasses import dataclass

import numpy as np

from sparq_utils.traces.energy import EnergyParts
from sparq_utils.traces.memory import MemoryModel, activation_bits, state_bits
from sparq_utils.traces.trace import ExitTrace

ADD_J, MULTIPLY_J = 0.1e-12, 3.1e-12
"""Joules of an INT32 addition and multiplication (Horowitz, ISSCC 2014, 45 nm)."""

ACCESS_J, ACCESS_PER_BIT_J = 13.2e-12, 1.09e-17
"""Joules of an access to an SRAM: a constant, and more for every bit that it holds (45 nm)."""

NEEDED = MemoryModel(state_bits=None, name="bits needed")


@dataclass(frozen=True)
class Lemaire:
    """Energy by Lemaire et al.: operations, addresses and every single access to memory."""

    name: str = "lemaire"
    source: str = (
        "Lemaire et al., An Analytical Estimation of Spiking Neural Networks Energy Efficiency, "
        "ICONIP 2022 (arXiv 2210.13107), Eq. 1-17; SRAM prices as in its authors' own Qualia"
    )

    def parts(self, trace: ExitTrace) -> EnergyParts:
        """Modelled joules of leaving at each exit: synapses, neurons, accesses to memory.

        Raises `TraceError` for a trace that does not say how large its layers' memories are.
        """
        macs, acs = trace.count("macs"), trace.count("acs")
        spikes, updates = trace.count("spikes"), trace.count("lif_updates")
        neurons = trace.count("neurons")
        spiking = trace.measured_on.encoding != "analog"
        operations = macs * (MULTIPLY_J + ADD_J) + acs * ADD_J  # Eq. 1.1, 1.4, 2.1, 2.4
        addresses = (macs + acs) * ADD_J + 2 * spikes * (MULTIPLY_J + ADD_J)  # Eq. 16-17
        per_neuron = updates + spikes if spiking else neurons  # biases, resets: Eq. 1.2, 1.4, 2.4
        analog = (macs + (0 if spiking else neurons)) * _activation_j(trace)  # Eq. 3, 11-12
        queued = 2 * spikes * ACCESS_J  # Eq. 5, 13
        return EnergyParts(
            synaptic=operations + addresses,
            lif=per_neuron * ADD_J,
            memory=_weights_j(trace) + _potentials_j(trace) + analog + queued,
        )


def _weights_j(trace: ExitTrace) -> np.ndarray:
    """Joules of reading weights and biases (Eq. 6-8): [exits, samples]."""
    accesses = trace.count("macs") + trace.count("acs") + trace.count("neurons")
    held = trace.count("mac_weights") + trace.count("ac_weights")
    return accesses * ACCESS_J + held * trace.measured_on.weight_bits * ACCESS_PER_BIT_J


def _potentials_j(trace: ExitTrace) -> np.ndarray:
    """Joules of reading and writing potentials (Eq. 9-10, 14-15): [exits, samples]."""
    bits, _ = state_bits(trace, NEEDED)
    accesses = trace.count("acs") + trace.count("lif_updates")
    held = trace.count("ac_neurons") + trace.count("update_neurons")
    return 2 * (accesses * ACCESS_J + held * bits * ACCESS_PER_BIT_J)


def _activation_j(trace: ExitTrace) -> float:
    """Joules of an access to the memory of an ordinary network's activations."""
    neurons = int(trace.count("neurons")[-1].max())
    analog = trace.measured_on.encoding == "analog"
    bits = activation_bits(trace, NEEDED) if analog else 1
    return ACCESS_J + ACCESS_PER_BIT_J * neurons * bits
