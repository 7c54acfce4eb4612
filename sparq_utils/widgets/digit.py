"""The digit explorer: LeNet-5's INT8 spiking network itself, its C file running in the page."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import traitlets

from sparq_utils.traces.trace import ExitTrace
from sparq_utils.widgets.base import script
from sparq_utils.widgets.live import NetworkExplorer


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
