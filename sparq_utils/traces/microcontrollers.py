"""Parts that a network could run on: clock, memories, and what their core draws while it works.

Modelled, all of it: a current of the datasheet, times cycles that were counted or bounded.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Microcontroller:
    """A part: `supply_v` volts and `run_a` amperes, typical, while its core runs from flash.

    Raises `ValueError` for figures that are not positive.
    """

    name: str
    clock_hz: float
    supply_v: float
    run_a: float
    flash_bytes: int
    ram_bytes: int
    source: str

    def __post_init__(self) -> None:
        """Refuse figures that no part can have."""
        for figure in ("clock_hz", "supply_v", "run_a", "flash_bytes", "ram_bytes"):
            value = getattr(self, figure)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{self.name}: {figure} is {value}; it is finite and above 0")

    @property
    def cycle_j(self) -> float:
        """Joules per clock cycle: volts times amperes, over the clock."""
        return self.supply_v * self.run_a / self.clock_hz


NRF52840 = Microcontroller(
    name="nRF52840",
    clock_hz=64e6,
    supply_v=3.0,
    run_a=3.3e-3,
    flash_bytes=1024 * 1024,
    ram_bytes=256 * 1024,
    source="Nordic Semiconductor, nRF52840 Product Specification v1.11, section 'Current "
    "consumption', table 'CPU running', I_CPU0: CoreMark at 64 MHz from flash, HFXO, DC/DC "
    "regulator, at 3 V and 25 degrees C",
)
"""A radio chip with a Cortex-M4F. With its linear regulator it draws 6.3 mA (I_CPU1)."""


def cycles_between(
    instructions: np.ndarray | float, loads: np.ndarray | float
) -> tuple[np.ndarray | float, np.ndarray | float]:
    """Cycles of a Cortex-M4 at least, and with every load alone: it takes one more then.

    Loads that follow one another overlap. Not counted are taken branches, one to three cycles
    more each, and waits for flash.
    """
    return instructions, instructions + loads
