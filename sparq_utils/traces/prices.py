"""What one operation costs: energy constants, each with its source.

Modelled, all of them: a constant is a figure for one process and one width of operands.
"""

from dataclasses import dataclass, field, fields, replace
from numbers import Integral, Real

import numpy as np

from sparq_utils.traces.trace import ExitTrace


def one_of(what: str, value: object, known: tuple[str, ...]) -> None:
    """Refuse a value that is not one of the known names."""
    if value not in known:
        raise ValueError(f"unknown {what} '{value}'; choose one of {', '.join(known)}")


def check_whole(what: str, value: object, least: int = 1) -> None:
    """Refuse a value that is no whole number, or a smaller one."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{what} is {value!r}, expected a whole number of at least {least}")


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
            if not isinstance(value, Real) or not 0 <= value < np.inf:
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

HOROWITZ_INT16_STATE = EnergyConstants(
    mac_j=0.2e-12 + 0.1e-12,
    ac_j=0.1e-12,
    decay_j=0.05e-12,
    compare_j=0.05e-12 + 0.05e-12,
    byte_j=1300e-12 / 8,
    name="horowitz-int16-state",
    source="Horowitz, ISSCC 2014, 45 nm. MAC and AC as in horowitz-int8; integrate-and-fire "
    "neurons do not decay, and at T = 4 a potential of 8-bit currents fits 16 bits exactly: an "
    "update is an INT16 add (0.05 pJ, as decay_j), a comparison and a reset (the same, compare_j)",
)

PRESETS = {
    preset.name: preset
    for preset in (
        *(PAPER, HOROWITZ_FP32, HOROWITZ_INT8, HOROWITZ_INT8_STATE),
        HOROWITZ_INT16_STATE,
    )
}
"""Constants by name."""


def _with_weights_of(bits: int, priced: EnergyConstants) -> EnergyConstants:
    """Constants for weights of fewer than 8 bits and other numbers of 8: a cheaper multiplication.

    An extrapolation. A multiplier adds one partial product per bit of the weight, so it is taken
    to cost in proportion (Horowitz's for 8 and 32 bits differ by 3.1 / 0.2 = 15.5, near (32 / 8)
    squared); what is added up keeps its width, and so its price.
    """
    return replace(
        priced,
        mac_j=0.2e-12 * bits / 8 + 0.1e-12,
        name=f"{priced.name}, {bits}-bit weights",
        source=f"{priced.source}. Multiplying by {bits} bits: {bits} / 8 of the INT8 multiply",
    )


BY_PRECISION = {
    name: {32: HOROWITZ_FP32, 8: eight} | {bits: _with_weights_of(bits, eight) for bits in (4, 2)}
    for name, eight in (("horowitz", HOROWITZ_INT8), ("horowitz-exact", HOROWITZ_INT16_STATE))
}
"""Names that pick constants by a trace's weight precision."""


def constants_for(trace: ExitTrace, constants: EnergyConstants | str) -> EnergyConstants:
    """The constants meant by a name of :data:`PRESETS` or :data:`BY_PRECISION`.

    Raises `ValueError` for an unknown name, and for a precision that a name has nothing for.
    """
    if isinstance(constants, EnergyConstants):
        return constants
    one_of("constants", constants, (*PRESETS, *BY_PRECISION))
    if constants in PRESETS:
        return PRESETS[constants]
    by_bits, bits = BY_PRECISION[constants], trace.measured_on.weight_bits
    if bits not in by_bits:
        raise ValueError(
            f"no Horowitz constants for {bits}-bit weights (only 2, 4, 8 and 32); "
            "pass an EnergyConstants of your own"
        )
    return by_bits[bits]
