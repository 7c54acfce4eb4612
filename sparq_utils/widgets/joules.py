"""The energy explorer: where the joules of each variant go, at any price of an operation."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import traitlets

from sparq_utils.traces.energy import PRESETS, EnergyConstants, MemoryModel, constants_for
from sparq_utils.traces.trace import ExitTrace
from sparq_utils.widgets.base import Explorer, script
from sparq_utils.widgets.pricing import countable, energy_parts_j, joules, totals


class EnergyExplorer(Explorer):
    """Stacked bars of modelled energy (synapses, neurons, memory), one a variant.

    `traces` maps a label to a trace, or to a pair (trace, leaving) where `leaving` int
    [samples] is the exit of each sample; a trace alone leaves at its last exit. Synced:
    `constants` (joules by name), `scale`. :attr:`point` is what the bars show.
    Raises `ValueError` without traces.
    """

    _esm: ClassVar[str] = script("prices.js", "joules.js")

    rows = traitlets.List().tag(sync=True)
    constants = traitlets.Dict().tag(sync=True)
    constant_presets = traitlets.Dict().tag(sync=True)
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
        rows = []
        for label, given in traces.items():
            trace, leaving = given if isinstance(given, tuple) else (given, None)
            if leaving is None:
                leaving = np.full(trace.samples, trace.exits - 1)
            sums = totals(countable(trace, memory, convention), leaving)
            rows.append({"label": label, "samples": trace.samples, **sums})
        super().__init__(
            rows=rows,
            constants=joules(constants_for(trace, constants)),
            constant_presets={name: joules(preset) for name, preset in PRESETS.items()},
            **kwargs,
        )

    @property
    def point(self) -> dict[str, dict[str, float]]:
        """Modelled joules per image by variant and part, as the page shows them."""
        return {
            row["label"]: energy_parts_j(row, self.constants, row["samples"]) for row in self.rows
        }
