"""The trade-off explorer: how sure an exit must be, in one slider."""

from typing import ClassVar

import numpy as np
import traitlets

from sparq_utils.traces.energy import EnergyConstants, MemoryModel, energy
from sparq_utils.traces.policies import Thresholds, at_exit, outcome
from sparq_utils.traces.trace import ExitTrace
from sparq_utils.widgets.base import Explorer, addressed, script

STEPS = 100


class TradeOffExplorer(Explorer):
    """One threshold for all exits of one network; see accuracy and modelled energy answer.

    `trace` has several exits; everything is computed here, for the thresholds 0, 0.01, ... 1,
    and the page only shows it. Synced: `step` (the threshold in hundredths). :attr:`point` is
    what the page shows. Raises `ValueError` for a trace with a single exit.
    """

    _esm: ClassVar[str] = script("trade-off.js")
    in_address = addressed("step")

    points = traitlets.List().tag(sync=True)
    about = traitlets.Dict().tag(sync=True)
    step = traitlets.Int(80, min=0, max=STEPS).tag(sync=True)

    def __init__(
        self,
        trace: ExitTrace,
        label: str = "the network",
        constants: EnergyConstants | str = "paper",
        memory: MemoryModel | str = "step-by-step",
        **kwargs: object,
    ) -> None:
        if trace.exits < 2:
            raise ValueError(f"{label} has one exit: there is no threshold to move")
        total = energy(trace, constants, memory).total  # [exits, samples]
        points = []
        for step in range(STEPS + 1):
            leaving = Thresholds((step / STEPS,) * (trace.exits - 1)).leaving(trace)
            achieved = outcome(trace, leaving)
            joules = float(at_exit(total, leaving).mean())
            shares = list(achieved.exit_shares)
            points.append({"accuracy": achieved.accuracy, "energy_j": joules, "shares": shares})
        end = {"accuracy": float(trace.correct[-1].mean()), "energy_j": float(np.mean(total[-1]))}
        about = {"label": label, "end": end, "exits": trace.exits}
        super().__init__(points=points, about=about, **kwargs)

    @property
    def point(self) -> dict:
        """Accuracy and shares as fractions, and modelled joules per image, at the threshold."""
        return self.points[self.step]
