"""The conversion explorer: how many timesteps each way to convert an ANN needs."""

from collections.abc import Mapping
from typing import ClassVar

import traitlets

from sparq_utils.widgets.base import Explorer, addressed, script


class ConversionExplorer(Explorer):
    """Accuracy against the number of timesteps, one curve for each way to convert.

    `curves` maps a method's name to {T: accuracy as a fraction}, as recorded in
    `conversion.json` (where T is text); `ann_accuracy` is the fraction to reach. Synced:
    `timesteps`, one of the recorded ones. Raises `ValueError` where nothing was recorded.
    """

    _esm: ClassVar[str] = script("conversion.js")
    in_address = addressed("timesteps")

    curves = traitlets.Dict().tag(sync=True)
    steps = traitlets.List(traitlets.Int()).tag(sync=True)
    ann_accuracy = traitlets.Float(None, allow_none=True).tag(sync=True)
    timesteps = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        curves: Mapping[str, Mapping[int | str, float]],
        ann_accuracy: float | None = None,
        **kwargs: object,
    ) -> None:
        named = {
            name: {str(steps): float(accuracy) for steps, accuracy in curve.items()}
            for name, curve in curves.items()
        }
        steps = sorted({int(steps) for curve in named.values() for steps in curve})
        if not steps:
            raise ValueError("no accuracies recorded; a conversion explorer needs at least one")
        if steps[0] < 1:
            raise ValueError(f"T = {steps[0]} is no number of timesteps; it is at least 1")
        fractions = [a for curve in named.values() for a in curve.values()]
        if not all(
            0 <= a <= 1 for a in (*fractions, 0.0 if ann_accuracy is None else ann_accuracy)
        ):
            raise ValueError("accuracies are fractions between 0 and 1")
        kwargs.setdefault("timesteps", 4 if 4 in steps else steps[0])
        super().__init__(curves=named, steps=steps, ann_accuracy=ann_accuracy, **kwargs)

    @property
    def point(self) -> dict[str, float]:
        """Accuracy (a fraction) of each method at the selected number of timesteps."""
        at = str(self.timesteps)
        return {name: curve[at] for name, curve in self.curves.items() if at in curve}

    @traitlets.validate("timesteps")
    def _recorded(self, proposal: dict) -> int:
        """Refuse a number of timesteps that was not recorded."""
        steps = sorted({int(steps) for curve in self.curves.values() for steps in curve})
        if proposal["value"] not in steps:
            raise ValueError(f"T = {proposal['value']} was not recorded; choose one of {steps}")
        return proposal["value"]
