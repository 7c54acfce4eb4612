"""The analytical model of Lemaire et al. (2022), on a trace's counts.

Every access goes to a memory whose price grows with what it holds, and event-driven hardware reads
and writes a potential for every weight that a spike meets. A trace does not tell layers apart, so
there is one memory per kind (weights, potentials, activations), as large as the whole network
needs, where the article has one per layer; and what an analog synapse reads is charged once for
every MAC, as the article charges a convolution (Eq. 3), in fully connected layers too.
"""

from dataclasses import dataclass

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
        """Modelled joules of leaving at each exit: synapses, neurons, accesses to memory."""
        macs, acs = trace.count("macs"), trace.count("acs")
        spikes, updates = trace.count("spikes"), trace.count("lif_updates")
        neurons = trace.count("neurons")
        weight, potential, activation = self._accesses_j(trace)
        spiking = trace.measured_on.encoding != "analog"
        operations = macs * (MULTIPLY_J + ADD_J) + acs * ADD_J  # Eq. 1.1, 1.4, 2.1, 2.4
        addresses = (macs + acs) * ADD_J + 2 * spikes * (MULTIPLY_J + ADD_J)  # Eq. 16-17
        per_neuron = updates + spikes if spiking else neurons  # biases, resets: Eq. 1.2, 1.4, 2.4
        read = weight * (macs + acs + neurons) + activation * macs  # Eq. 3, 6-8
        passed = activation * (2 * spikes if spiking else neurons)  # Eq. 5, 11-13
        kept = potential * 2 * (acs + updates)  # Eq. 9-10, 14-15
        return EnergyParts(
            synaptic=operations + addresses, lif=per_neuron * ADD_J, memory=read + passed + kept
        )

    def _accesses_j(self, trace: ExitTrace) -> tuple[float, float, float]:
        """Joules of an access to the memory of weights, of potentials and of activations."""
        neurons = int(trace.count("neurons")[-1].max())
        weights = int(trace.count("weights")[-1].max()) * trace.measured_on.weight_bits
        potential, _ = state_bits(trace, NEEDED)
        analog = trace.measured_on.encoding == "analog"
        bits = activation_bits(trace, NEEDED) if analog else 1
        sizes = (weights, neurons * potential, neurons * bits)
        weight, state, activation = (ACCESS_J + ACCESS_PER_BIT_J * size for size in sizes)
        return weight, state, activation
