"""The digit explorer: LeNet-5's INT8 spiking network itself, its C file running in the page."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import traitlets

from sparq_utils.traces.policies import Thresholds
from sparq_utils.traces.trace import ExitTrace
from sparq_utils.widgets.base import script
from sparq_utils.widgets.live import NetworkExplorer, exemplars


class DigitExplorer(NetworkExplorer):
    """Draw a digit, or pick one; watch its spikes travel until an exit is sure.

    As :class:`~sparq_utils.widgets.live.NetworkExplorer`, with `images` uint8 [n, H, W], at least
    one. `kinds` names digits (their indices) that are offered as buttons, {"Easy": [3, 5]};
    without it a slider offers all.
    """

    _esm: ClassVar[str] = script("digit.js")

    kinds = traitlets.List().tag(sync=True)

    def __init__(
        self,
        network: Mapping,
        images: np.ndarray,
        labels: np.ndarray,
        trace: ExitTrace,
        thresholds: Sequence[float] = (0.6, 0.7),
        kinds: Mapping[str, Sequence[int]] | None = None,
        **kwargs: object,
    ) -> None:
        images = np.asarray(images)
        if images.ndim != 3 or len(images) == 0:
            raise ValueError(f"images are {images.shape}; expected [n, H, W], at least one digit")
        offered = [
            {"name": name, "digits": [int(index) for index in indices]}
            for name, indices in (kinds or {}).items()
        ]
        named = [index for one in offered for index in one["digits"]]
        if not all(one["digits"] for one in offered) or any(
            not 0 <= index < len(images) for index in named
        ):
            raise ValueError(f"kinds {kinds} name no digits, or others than {len(images)} images")
        kwargs.setdefault("picked", named[0] if named else 0)
        super().__init__(
            network, images[..., None], labels, trace, thresholds, kinds=offered, **kwargs
        )

    @classmethod
    def of_exemplars(
        cls,
        network: Mapping,
        images: np.ndarray,
        labels: np.ndarray,
        trace: ExitTrace,
        thresholds: Sequence[float] = (0.6, 0.7),
        names: Sequence[str] = (),
        **kwargs: object,
    ) -> "DigitExplorer":
        """The explorer with those of many digits that show what exits are for.

        `trace` was recorded from the network on all of the `images`; :func:`exemplars` of where
        they leave are offered, those of each exit as a button if `names` has one per exit.
        Raises `ValueError` for a trace of other digits.
        """
        if not np.array_equal(trace.labels, labels):
            raise ValueError(f"the trace holds {trace.samples} other digits: record it on these")
        if names and len(names) != trace.exits:
            raise ValueError(f"{len(names)} names for {trace.exits} exits")
        some = exemplars(trace, Thresholds(tuple(thresholds)).leaving(trace))
        ends = np.cumsum([len(one) for one in some])
        places = np.split(np.arange(ends[-1]), ends[:-1])
        kinds = {name: at for name, at in zip(names, places, strict=False) if at.size}
        shown = np.concatenate(some)
        images, labels = images[shown], labels[shown]
        return cls(network, images, labels, trace, thresholds, kinds=kinds, **kwargs)
