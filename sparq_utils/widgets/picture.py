"""The picture explorer: ResNet-20's INT8 spiking network on a photo of the reader's own."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import traitlets

from sparq_utils.traces.trace import ExitTrace
from sparq_utils.widgets.base import script
from sparq_utils.widgets.live import NetworkExplorer


class PictureExplorer(NetworkExplorer):
    """Drop a photo, or pick one of a few; see it as the network does, and where it is sure.

    As :class:`~sparq_utils.widgets.live.NetworkExplorer`, for colour images uint8 [n, H, W, 3] of
    any number, none included; `classes` names what the network can answer. The photo is cropped
    to a square and shrunk in the page: nothing leaves it.
    """

    _esm: ClassVar[str] = script("picture.js")

    classes = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(
        self,
        network: Mapping,
        images: np.ndarray,
        labels: np.ndarray,
        trace: ExitTrace,
        classes: Sequence[str],
        thresholds: Sequence[float] = (0.6, 0.7),
        **kwargs: object,
    ) -> None:
        if network["input_shape"][0] != 3:
            raise ValueError(f"a photo has 3 channels, this network takes {network['input_shape']}")
        if len(classes) != network["classes"]:
            raise ValueError(f"{len(classes)} names for {network['classes']} classes")
        super().__init__(
            network, images, labels, trace, thresholds, classes=list(classes), **kwargs
        )
