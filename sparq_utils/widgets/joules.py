"""The energy explorer: where the joules of each variant go, at any price of an operation."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import traitlets

from sparq_utils.traces.memory import MemoryModel, memory_model
from sparq_utils.traces.prices import EnergyConstants, one_of
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

MEMORIES = {
    "step-by-step": "The whole network advances one timestep at a time: weights are fetched, "
    "potentials read and written, at every step. The default.",
    "layer-by-layer": "Each layer runs all its timesteps before the next begins: weights are "
    "fetched once, potentials stay in registers.",
    "event-driven": "Every spike fetches the weights of the connections that it reaches.",
    "step-by-step-exact": "Step by step; the constant currents of the first layer are read again "
    "at every step, and potentials take the bits that their arithmetic needs.",
    "event-driven-exact": "Event-driven, with the same two corrections.",
}
"""The memory models to choose from (:mod:`sparq_utils.traces.memory`), in a sentence each."""

OWN = "A memory model of your own."


class EnergyExplorer(Explorer):
    """Modelled energy of synapses, neurons and memory, one line per variant.

    `traces` maps a label to a trace, or to a pair (trace, leaving) where `leaving` int
    [samples] is the exit of each sample; a trace alone leaves at its last exit. Synced:
    `constants` (:data:`~sparq_utils.widgets.pricing.Prices`), `memory` (one of
    :data:`MEMORIES`, or a model of your own as well), `scale`. :attr:`point` is what is shown.
    Raises `ValueError` without traces, and for exits that a trace has not.
    """

    _esm: ClassVar[str] = script("joules.js")
    in_address = addressed("constants", "memory", "scale")

    rows = traitlets.List().tag(sync=True)
    constants = traitlets.Dict().tag(sync=True)
    constant_presets = traitlets.List().tag(sync=True)
    memories = traitlets.List().tag(sync=True)
    memory = traitlets.Unicode().tag(sync=True)
    scale = traitlets.Enum(("dots", "joules", "shares"), "dots").tag(sync=True)

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
        alone, chosen = [trace for trace, _ in pairs.values()], memory_model(memory)
        models = {name: memory_model(name) for name in MEMORIES} | {chosen.name: chosen}
        super().__init__(
            rows=[_row(label, *pair, models, convention) for label, pair in pairs.items()],
            memories=[{"name": name, "about": MEMORIES.get(name, OWN)} for name in models],
            memory=chosen.name,
            constants=prices(constants, alone),
            constant_presets=price_presets(alone),
            **kwargs,
        )

    @property
    def point(self) -> dict[str, dict[str, float]]:
        """Modelled joules per image by variant and part, as the page shows them."""
        return {
            row["label"]: energy_parts_j(
                row | {"bits": row["bits"][self.memory]}, self.constants[row["bits_per_weight"]]
            )
            for row in self.rows
        }

    @traitlets.validate("memory")
    def _known(self, proposal: dict) -> str:
        """Refuse a memory model that is not offered."""
        one_of("memory model", proposal["value"], tuple(one["name"] for one in self.memories))
        return proposal["value"]

    @traitlets.validate("constants")
    def _priced(self, proposal: dict) -> dict:
        """Refuse prices that are missing, negative or not finite."""
        return checked_prices(proposal["value"], {row["bits_per_weight"] for row in self.rows})


def _row(
    label: str,
    trace: ExitTrace,
    leaving: np.ndarray | None,
    memories: Mapping[str, MemoryModel],
    convention: str,
) -> dict:
    """One variant's totals over all its images; its bits by memory model."""
    if leaving is None:
        leaving = np.full(trace.samples, trace.exits - 1)
    leaving, bits = checked_leaving(label, leaving, trace), {}
    for name, memory in memories.items():
        sums = totals(countable(trace, memory, convention), leaving)
        bits[name] = sums.pop("bits")
    about = {"label": label, "samples": trace.samples, "bits_per_weight": precision(trace)}
    return {**about, **sums, "bits": bits}
