"""Modelled energy and power of an exit trace (Eq. 3-5): joules, seconds, watts, bytes.

Nothing here is measured. Energy is a sum of operation counts, each priced by a constant, so
every figure is *modelled* and only as good as the constants and the memory model it names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np

from sparq_utils.traces.trace import ExitTrace

CONVENTIONS = ("fan-out", "printed")
"""How synapses are counted: every connection a spike reaches, or Eq. 6-8 as printed."""

WEIGHT_FETCHES = ("once", "timestep", "event")
STATE_PLACES = ("memory", "chip")


def _one_of(what: str, value: object, known: tuple[str, ...]) -> None:
    """Refuse a value that is not one of the known names."""
    if value not in known:
        raise ValueError(f"unknown {what} '{value}'; choose one of {', '.join(known)}")


@dataclass(frozen=True)
class EnergyConstants:
    """Energy of one operation, in joules; `byte_j` is joules per byte moved.

    `mac_j` prices a multiply-accumulate, `ac_j` a spike-triggered accumulate, `decay_j` and
    `compare_j` the two halves of one membrane update. Raises `ValueError` if one is negative.
    """

    mac_j: float
    ac_j: float
    decay_j: float
    compare_j: float
    byte_j: float
    name: str = field(default="custom", compare=False)
    source: str = field(default="given by the caller", compare=False)

    def __post_init__(self) -> None:
        """Refuse energies that are negative or not finite."""
        for constant in PRICED:
            value = getattr(self, constant)
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(f"{constant} is {value}; an energy is finite and at least 0 J")


PRICED = tuple(item.name for item in fields(EnergyConstants) if item.name.endswith("_j"))
"""The constants that price something, in the order in which energy is summed."""

PAPER = EnergyConstants(
    mac_j=4.6e-12,
    ac_j=0.03e-12,
    decay_j=0.9e-12,
    compare_j=0.1e-12,
    byte_j=80e-12,
    name="paper",
    source="SPARQ (arXiv 2603.14380), section 2.3.1, as printed and at every weight precision: it "
    "prices floating-point accumulates at an 8-bit add and 8-bit MACs at a 32-bit one",
)

HOROWITZ_FP32 = EnergyConstants(
    mac_j=3.7e-12 + 0.9e-12,
    ac_j=0.9e-12,
    decay_j=3.7e-12,
    compare_j=0.9e-12,
    byte_j=1300e-12 / 8,
    name="horowitz-fp32",
    source="Horowitz, ISSCC 2014, 45 nm. MAC: FP32 multiply 3.7 pJ + FP32 add 0.9 pJ; AC: FP32 "
    "add; decay: FP32 multiply; compare: FP32 add (a subtraction's sign); DRAM 1.3 nJ per 64 bits",
)

HOROWITZ_INT8 = EnergyConstants(
    mac_j=0.2e-12 + 0.1e-12,
    ac_j=0.1e-12,
    decay_j=3.7e-12,
    compare_j=0.9e-12,
    byte_j=1300e-12 / 8,
    name="horowitz-int8",
    source="Horowitz, ISSCC 2014, 45 nm. MAC: INT8 multiply 0.2 pJ + INT32 add 0.1 pJ; AC: INT32 "
    "add (8 bits overflow after a few spikes, so sums are 32-bit); decay and compare at FP32, 3.7 "
    "and 0.9 pJ, because our quantised network keeps its potentials in float32; DRAM as for FP32",
)

HOROWITZ_INT8_STATE = EnergyConstants(
    mac_j=0.2e-12 + 0.03e-12,
    ac_j=0.03e-12,
    decay_j=0.2e-12,
    compare_j=0.03e-12,
    byte_j=1300e-12 / 8,
    name="horowitz-int8-state",
    source="Horowitz, ISSCC 2014, 45 nm, everything at 8 bits, potentials included: add 0.03 pJ, "
    "multiply 0.2 pJ. A lower bound that our network, with 32-bit potentials, does not reach",
)

PRESETS = {
    preset.name: preset for preset in (PAPER, HOROWITZ_FP32, HOROWITZ_INT8, HOROWITZ_INT8_STATE)
}
"""Constants by name. The name "horowitz" picks FP32 or INT8 by a trace's weight precision."""


@dataclass(frozen=True)
class MemoryModel:
    """Which bytes cross the chip's border in one inference: a model, every choice named.

    - `weights`: "once" fetches each parameter that was evaluated once an inference,
      "timestep" once a timestep, "event" once for every MAC and AC (no reuse at all).
    - `state`: membrane potentials are read and written at every update ("memory"), or held
      "chip"-side and free. `state_bits` is their precision.
    - `activation_bits`: an ANN's activations, each written once and read once.

    Spikes are one bit per neuron and timestep, written once and read once. The weights' own
    precision comes from the trace. The input image is not counted.
    """

    weights: str = "timestep"
    state: str = "memory"
    state_bits: int = 32
    activation_bits: int = 32
    name: str = field(default="custom", compare=False)

    def __post_init__(self) -> None:
        """Refuse choices that do not exist."""
        _one_of("weights", self.weights, WEIGHT_FETCHES)
        _one_of("state", self.state, STATE_PLACES)
        for bits in ("state_bits", "activation_bits"):
            if getattr(self, bits) < 1:
                raise ValueError(f"{bits} is {getattr(self, bits)}, expected at least 1 bit")


STEP_BY_STEP = MemoryModel("timestep", "memory", name="step-by-step")
LAYER_BY_LAYER = MemoryModel("once", "chip", name="layer-by-layer")
EVENT_DRIVEN = MemoryModel("event", "memory", name="event-driven")

MEMORY_MODELS = {model.name: model for model in (STEP_BY_STEP, LAYER_BY_LAYER, EVENT_DRIVEN)}
"""Three schedules, by name.

- "step-by-step", the default: the whole network advances one timestep at a time, as a
  snnTorch loop and most spiking chips do. A network of 36 MB does not stay on an edge chip
  between two steps, so its weights are fetched, and its potentials read and written, at every
  step. It is unkind to networks with many timesteps.
- "layer-by-layer": each layer runs all its timesteps before the next begins, as this package
  executes it: weights are fetched once and a potential lives in a register meanwhile.
- "event-driven": every spike fetches the weights of the connections it reaches.
"""


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
        return {name: _mean_at(part, leaving) for name, part in parts.items()}


def power_w(energy_j: float, time_s: float) -> float:
    """Mean power in watts of `energy_j` joules spent in `time_s` seconds (Eq. 3).

    Raises `ValueError` unless the time is positive.
    """
    if not np.all(np.asarray(time_s) > 0):
        raise ValueError(f"time is {time_s} s; power needs a positive time")
    return energy_j / time_s


def memory_bytes(trace: ExitTrace, memory: MemoryModel | str = "step-by-step") -> np.ndarray:
    """Bytes moved when leaving at each exit, by a memory model: float64 [exits, samples]."""
    model = memory_model(memory)
    if model.weights == "once":
        fetched = trace.count("weights")
    elif model.weights == "timestep":
        fetched = trace.count("weight_passes")
    else:
        fetched = trace.synaptic_ops
    bits = fetched * trace.measured_on.weight_bits
    if trace.measured_on.encoding == "analog":
        bits = bits + 2 * model.activation_bits * trace.count("neurons")
    else:
        state_bits = model.state_bits if model.state == "memory" else 0
        bits = bits + 2 * (1 + state_bits) * trace.count("lif_updates")
    return bits / 8


def operations(
    trace: ExitTrace, memory: MemoryModel | str = "step-by-step", convention: str = "fan-out"
) -> dict[str, np.ndarray]:
    """How often each constant is paid when leaving at each exit: [exits, samples] per constant.

    Keys are :data:`PRICED`. "fan-out" counts every connection a spike reaches, and the MACs of
    a direct-coded first layer. "printed" counts an ANN's dense MACs (Eq. 6-7) and a spiking
    network's spikes (Eq. 8), whatever their fan-out.
    """
    _one_of("convention", convention, CONVENTIONS)
    if convention == "fan-out":
        macs, acs = trace.count("macs"), trace.count("acs")
    elif trace.measured_on.encoding == "analog":
        macs, acs = trace.count("dense_macs"), np.zeros_like(trace.count("spikes"))
    else:
        macs, acs = np.zeros_like(trace.count("macs")), trace.count("spikes")
    updates = trace.count("lif_updates")
    moved = memory_bytes(trace, memory)
    return dict(zip(PRICED, (macs, acs, updates, updates, moved), strict=True))


def energy(
    trace: ExitTrace,
    constants: EnergyConstants | str = "paper",
    memory: MemoryModel | str = "step-by-step",
    convention: str = "fan-out",
) -> EnergyParts:
    """Model the energy of leaving at each exit (Eq. 4 for an ANN, Eq. 5 for a spiking network).

    `constants` and `memory` are objects or names (:data:`PRESETS` or "horowitz",
    :data:`MEMORY_MODELS`). Returns joules per image, [exits, samples] a part. Raises
    `ValueError` for an unknown name or convention.
    """
    price = constants_for(trace, constants)
    count = operations(trace, memory, convention)
    return EnergyParts(
        synaptic=count["mac_j"] * price.mac_j + count["ac_j"] * price.ac_j,
        lif=count["decay_j"] * price.decay_j + count["compare_j"] * price.compare_j,
        memory=count["byte_j"] * price.byte_j,
    )


def constants_for(trace: ExitTrace, constants: EnergyConstants | str) -> EnergyConstants:
    """The constants meant by a name; "horowitz" depends on the trace's weight precision.

    Raises `ValueError` for an unknown name, and for "horowitz" at a precision it lacks.
    """
    if isinstance(constants, EnergyConstants):
        return constants
    if constants == "horowitz":
        by_bits = {32: HOROWITZ_FP32, 8: HOROWITZ_INT8}
        bits = trace.measured_on.weight_bits
        if bits not in by_bits:
            raise ValueError(
                f"no Horowitz constants for {bits}-bit weights (only 8 and 32); "
                "pass an EnergyConstants of your own"
            )
        return by_bits[bits]
    _one_of("constants", constants, (*PRESETS, "horowitz"))
    return PRESETS[constants]


def memory_model(memory: MemoryModel | str) -> MemoryModel:
    """The memory model meant by a name. Raises `ValueError` for an unknown one."""
    if isinstance(memory, MemoryModel):
        return memory
    _one_of("memory model", memory, tuple(MEMORY_MODELS))
    return MEMORY_MODELS[memory]


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
    price = constants_for(trace, constants)
    count = operations(trace, memory, convention)
    return {name: _mean_at(count[name], leaving) * getattr(price, name) for name in PRICED}


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


def _mean_at(values: np.ndarray, leaving: np.ndarray | None) -> float:
    """Mean over samples of `values` [exits, samples] at each sample's exit."""
    if leaving is None:
        return float(values[-1].mean())
    return float(values[leaving, np.arange(values.shape[1])].mean())
