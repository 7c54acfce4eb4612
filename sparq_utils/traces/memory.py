"""Which bytes move: memory models, every choice named, as functions of a trace's counts."""

from dataclasses import dataclass, field
from math import ceil, log2

import numpy as np

from sparq_utils.traces.prices import check_whole, one_of
from sparq_utils.traces.trace import ExitTrace

WEIGHT_FETCHES = ("once", "timestep", "event")
STATE_PLACES = ("memory", "chip")


@dataclass(frozen=True)
class MemoryModel:
    """Which bytes cross the chip's border in one inference: a model, every choice named.

    - `weights`: "once" fetches each parameter that was evaluated once an inference,
      "timestep" once a timestep, "event" once for every MAC and AC (no reuse at all).
    - `state`: membrane potentials are read and written at every update ("memory"), or held
      "chip"-side and free. `state_bits` is their precision; None means the bits that their
      arithmetic needs (:func:`state_bits`).
    - `activation_bits`: an ANN's activations, each written once and read once; those of a few
      levels take ceil(log2(levels + 1)) bits instead.
    - `currents`: a direct-coded first layer is computed once, and its neurons read the same
      currents again at every timestep, at the precision of the potentials' inputs.

    Spikes are one bit per neuron and timestep, written once and read once. The weights' own
    precision comes from the trace. The input image is not counted.
    """

    weights: str = "timestep"
    state: str = "memory"
    state_bits: int | None = 32
    activation_bits: int = 32
    currents: bool = False
    name: str = field(default="custom", compare=False)

    def __post_init__(self) -> None:
        """Refuse choices that do not exist."""
        one_of("weights", self.weights, WEIGHT_FETCHES)
        one_of("state", self.state, STATE_PLACES)
        for bits in ("state_bits", "activation_bits"):
            value = getattr(self, bits)
            if bits == "activation_bits" or value is not None:
                check_whole(bits, value)


STEP_BY_STEP = MemoryModel("timestep", "memory", name="step-by-step")
LAYER_BY_LAYER = MemoryModel("once", "chip", name="layer-by-layer")
EVENT_DRIVEN = MemoryModel("event", "memory", name="event-driven")
STEP_BY_STEP_CURRENTS = MemoryModel(currents=True, name="step-by-step-currents")
STEP_BY_STEP_EXACT = MemoryModel(state_bits=None, currents=True, name="step-by-step-exact")
EVENT_DRIVEN_EXACT = MemoryModel(
    "event", "memory", state_bits=None, currents=True, name="event-driven-exact"
)

MEMORY_MODELS = {model.name: model for model in (STEP_BY_STEP, LAYER_BY_LAYER, EVENT_DRIVEN)}
"""Three schedules, by name.

- "step-by-step", the default: the whole network advances one timestep at a time, as a
  snnTorch loop and most spiking chips do. A network of 36 MB does not stay on an edge chip
  between two steps, so its weights are fetched, and its potentials read and written, at every
  step. It is unkind to networks with many timesteps.
- "layer-by-layer": each layer runs all its timesteps before the next begins, as this package
  executes it: weights are fetched once and a potential lives in a register meanwhile, as do the
  constant currents of a first layer.
- "event-driven": every spike fetches the weights of the connections it reaches.
"""

COMPLETED_MODELS = {
    model.name: model for model in (STEP_BY_STEP_CURRENTS, STEP_BY_STEP_EXACT, EVENT_DRIVEN_EXACT)
}
"""The same with what they leave out, by name.

- "step-by-step-currents": a direct-coded first layer's constant currents are read at every step.
- "step-by-step-exact", "event-driven-exact": they are, and potentials and currents take the bits
  that their arithmetic needs.
"""


def memory_model(memory: MemoryModel | str) -> MemoryModel:
    """The memory model meant by a name. Raises `ValueError` for an unknown one."""
    if isinstance(memory, MemoryModel):
        return memory
    one_of("memory model", memory, (*MEMORY_MODELS, *COMPLETED_MODELS))
    return (MEMORY_MODELS | COMPLETED_MODELS)[memory]


def state_bits(trace: ExitTrace, model: MemoryModel) -> tuple[int, int]:
    """Bits of a membrane potential (0 where it stays on the chip) and of a constant current.

    What their arithmetic needs: an INT8 synapse answers in 8 bits, 255 steps of its output's
    scale. Over T steps a potential without decay is one of 255 T + 1 whole numbers of these steps,
    less the threshold times a spike count of at most T. Both fit 16 bits up to T = 15, and nothing
    is rounded. Floating point keeps its own 32.
    """
    on, bits = trace.measured_on, model.state_bits
    is_int8 = on.weight_bits <= 8  # weights may have fewer, currents have eight
    potential = current = bits
    if bits is None:
        both = (255 * on.timesteps).bit_length() + on.timesteps.bit_length()
        potential = 16 if is_int8 and both <= 16 else 32
        current = 8 if is_int8 else on.weight_bits
    return (potential if model.state == "memory" else 0), current


def activation_bits(trace: ExitTrace, model: MemoryModel) -> int:
    """Bits of an ANN's activation: of its levels where it has few, else as the model says."""
    levels = trace.measured_on.levels
    return model.activation_bits if levels is None else ceil(log2(levels + 1))


def traffic_bits(
    trace: ExitTrace, memory: MemoryModel | str = "step-by-step"
) -> dict[str, np.ndarray]:
    """Bits moved when leaving at each exit, by what they are: int64 [exits, samples] each.

    Keys are "weights", "potentials", "activations" (spikes, or an ANN's numbers) and "currents".
    """
    model = memory_model(memory)
    potential, current = state_bits(trace, model)
    if model.weights == "once":
        fetched = trace.count("weights")
    elif model.weights == "timestep":
        fetched = trace.count("weight_passes")
    else:
        fetched = trace.synaptic_ops
    updates = trace.count("lif_updates")
    if trace.measured_on.encoding == "analog":
        activations = activation_bits(trace, model) * trace.count("neurons")
    else:
        activations = updates
    return {
        "weights": fetched * trace.measured_on.weight_bits,
        "potentials": 2 * potential * updates,
        "activations": 2 * activations,
        "currents": current * (trace.count("current_reads") if model.currents else 0 * updates),
    }


def memory_bytes(trace: ExitTrace, memory: MemoryModel | str = "step-by-step") -> np.ndarray:
    """Bytes moved when leaving at each exit, by a memory model: float64 [exits, samples]."""
    return sum(traffic_bits(trace, memory).values()) / 8
