"""The energy explorer: where the joules of each variant go, at any price of an operation."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import traitlets

from sparq_utils.traces.energy import EnergyConstants, MemoryModel
from sparq_utils.traces.trace import ExitTrace
from sparq_utils.widgets.base import Explorer, addressed, script
from sparq_utils.widgets.pricing import (
    checked_leaving,
    checked_prices,
    countable,
    energy_parts_j,
    precision,
    price_presets,
    prices,
    totals,
)


class EnergyExplorer(Explorer):
    """Stacked bars of modelled energy (synapses, neurons, memory), one a variant.

    `traces` maps a label to a trace, or to a pair (trace, leaving) where `leaving` int
    [samples] is the exit of each sample; a trace alone leaves at its last exit. Synced:
    `constants` (:data:`~sparq_utils.widgets.pricing.Prices`), `scale`. :attr:`point` is what the
    bars show. Raises `ValueError` without traces, and for exits that a trace has not.
    """

    _esm: ClassVar[str] = script("joules.js")
    in_address = addressed("constants", "scale")

    rows = traitlets.List().tag(sync=True)
    constants = traitlets.Dict().tag(sync=True)
    constant_presets = traitlets.List().tag(sync=True)
    scale = traitlets.Enum(("joules", "log", "shares"), "joules").tag(sync=True)

    def __init__(
        self,
        traces: Mapping[str, ExitTrace | tuple[ExitTrace, np.ndarray]],
        constants: EnergyConstants | str = "paper",
        memory: MemoryModel | str = "step-by-step",
        convention: str = "fan-out",
        **kwargs: object,
    ) -> None:
        if not traces:
            raise ValueError("no traces given; an energy explorer needs at least one")
        pairs = {
            label: given if isinstance(given, tuple) else (given, None)
            for label, given in traces.items()
        }
        alone = [trace for trace, _ in pairs.values()]
        super().__init__(
            rows=[_row(label, *pair, memory, convention) for label, pair in pairs.items()],
            constants=prices(constants, alone),
            constant_presets=price_presets(alone),
            **kwargs,
        )

    @property
    def point(self) -> dict[str, dict[str, float]]:
        """Modelled joules per image by variant and part, as the page shows them."""
        return {
            row["label"]: energy_parts_j(row, self.constants[row["bits_per_weight"]])
            for row in self.rows
        }

    @traitlets.validate("constants")
    def _priced(self, proposal: dict) -> dict:
        """Refuse prices that are missing, negative or not finite."""
        return checked_prices(proposal["value"], {row["bits_per_weight"] for row in self.rows})


def _row(
    label: str,
    trace: ExitTrace,
    leaving: np.ndarray | None,
    memory: MemoryModel | str,
    convention: str,
) -> dict:
    """One variant's totals over all its images."""
    if leaving is None:
        leaving = np.full(trace.samples, trace.exits - 1)
    leaving = checked_leaving(label, leaving, trace)
    sums = totals(countable(trace, memory, convention), leaving)
    return {"label": label, "samples": trace.samples, "bits_per_weight": precision(trace), **sums}
