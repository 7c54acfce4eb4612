"""Energy models as data: each says what it is, where it comes from, and prices any trace.

None of them is measured. They differ in what an operation costs, in what order a chip works and
where its memory lies; a conclusion that not all of them share is a conclusion about a model.
"""

from dataclasses import dataclass
from typing import Protocol

from sparq_utils.traces.energy import EnergyParts, energy
from sparq_utils.traces.hierarchy import Hierarchy
from sparq_utils.traces.lemaire import Lemaire
from sparq_utils.traces.memory import MemoryModel, memory_model
from sparq_utils.traces.prices import EnergyConstants
from sparq_utils.traces.trace import ExitTrace
from sparq_utils.traces.yan import Yan


class EnergyModel(Protocol):
    """What prices a trace: a `name`, a `source`, and `parts(trace)`, joules per image."""

    name: str
    source: str

    def parts(self, trace: ExitTrace) -> EnergyParts:
        """Modelled joules of leaving at each exit, [exits, samples] a part."""


@dataclass(frozen=True)
class Priced:
    """Constants and a memory model (Eq. 4-5), and a hierarchy of memories if there is one."""

    name: str
    source: str
    constants: EnergyConstants | str
    memory: MemoryModel
    hierarchy: Hierarchy | None = None

    def parts(self, trace: ExitTrace) -> EnergyParts:
        """Modelled joules of leaving at each exit, [exits, samples] a part."""
        return energy(trace, self.constants, self.memory, hierarchy=self.hierarchy)


_PAPER = "SPARQ (arXiv 2603.14380), section 2.3.1, its constants at every precision"
_HOROWITZ = "Horowitz, ISSCC 2014, 45 nm, by weight precision"


def _all() -> list[EnergyModel]:
    """Every model, the paper's first."""
    present = ("step-by-step", "layer-by-layer", "event-driven")
    exact = ("step-by-step-exact", "layer-by-layer", "event-driven-exact")
    return [
        *(Priced(f"paper-{m}", _PAPER, "paper", memory_model(m)) for m in present),
        *(Priced(f"horowitz-{m}", _HOROWITZ, "horowitz", memory_model(m)) for m in present),
        *(
            Priced(
                f"horowitz-{name.removesuffix('-exact')}-exact",
                f"{_HOROWITZ}, potentials and constant currents at the bits they need",
                "horowitz-exact",
                memory_model(name),
            )
            for name in exact
        ),
        *(
            Priced(
                f"sram-dram-{name.removesuffix('-exact')}",
                f"{_HOROWITZ}; SRAM sized by the network, at most 1 MiB, DRAM beyond",
                "horowitz-exact",
                memory_model(name),
                Hierarchy(),
            )
            for name in exact
        ),
        Lemaire(),
        Yan(),
    ]


ENERGY_MODELS = {model.name: model for model in _all()}
"""The models by name."""
