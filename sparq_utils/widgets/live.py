"""What explorers share in which a network runs: images to pick from, thresholds, prices."""

from collections.abc import Mapping, Sequence

import numpy as np
import traitlets

from sparq_utils.traces.energy import EnergyConstants, MemoryModel
from sparq_utils.traces.policies import Thresholds
from sparq_utils.traces.trace import ExitTrace
from sparq_utils.widgets.base import Explorer, addressed, pack
from sparq_utils.widgets.pricing import checked_prices, countable, precision, price_presets, prices


class NetworkExplorer(Explorer):
    """A network at work on an image of the reader's choice, no kernel needed.

    `network` is what :func:`sparq_utils.deploy.web.wasm` gives for a direct-coded spiking network.
    `images` uint8 [n, H, W, C] (0 to 255) and `labels` [n] are there to pick from. `trace` was
    recorded from the same network; its counts that do not depend on the image price the exits.
    Synced: `thresholds`, `picked` (an index, or -1 for an image of one's own), `image` (bytes; all
    zero answers nothing), `constants` (:data:`~sparq_utils.widgets.pricing.Prices`).

    Raises `ValueError` for a network, images or a trace that do not fit together.
    """

    in_address = addressed("picked", "image", "thresholds", "constants")

    network = traitlets.Dict().tag(sync=True)
    about = traitlets.Dict().tag(sync=True)
    thresholds = traitlets.List(traitlets.Float()).tag(sync=True)
    picked = traitlets.Int(0, min=-1).tag(sync=True)
    image = traitlets.Bytes().tag(sync=True)
    constants = traitlets.Dict().tag(sync=True)
    constant_presets = traitlets.List().tag(sync=True)

    def __init__(
        self,
        network: Mapping,
        images: np.ndarray,
        labels: np.ndarray,
        trace: ExitTrace,
        thresholds: Sequence[float] = (0.6, 0.7),
        constants: EnergyConstants | str = "paper",
        memory: MemoryModel | str = "step-by-step",
        **kwargs: object,
    ) -> None:
        if network["encoding"] != "direct":
            raise ValueError(
                f"the page shows direct-coded networks, not {network['encoding']} ones"
            )
        channels, height, width = self._shape = tuple(network["input_shape"])
        images, labels = np.asarray(images), np.asarray(labels)
        if images.dtype != np.uint8 or images.shape[1:] != (height, width, channels):
            raise ValueError(
                f"images are {images.dtype} {images.shape}; expected uint8 [n, {height}, {width}, "
                f"{channels}] for a network that takes {list(self._shape)}"
            )
        if labels.shape != (len(images),):
            raise ValueError(f"{labels.size} labels for {len(images)} images")
        Thresholds(tuple(thresholds)).check(trace.exits)
        self._trace = trace
        picked = kwargs.setdefault("picked", 0 if len(images) else -1)
        blank = np.zeros((height, width, channels), np.uint8)
        code = np.frombuffer(network["code"], np.uint8)
        contents, data = pack({"code": code, "images": images, "labels": labels.astype(np.uint8)})
        super().__init__(
            contents=contents,
            data=data,
            network={name: value for name, value in network.items() if name != "code"},
            about={
                "costs": _fixed_costs(network, trace, memory),
                "count": len(images),
                "bits_per_weight": precision(trace),
            },
            thresholds=list(thresholds),
            image=(images[picked] if picked >= 0 else blank).tobytes(),
            constants=prices(constants, [trace]),
            constant_presets=price_presets([trace]),
            **kwargs,
        )

    @property
    def pixels(self) -> np.ndarray:
        """The image in the page, as the network takes it: float32 [1, C, H, W] in [0, 1]."""
        channels, height, width = self._shape
        pixels = np.frombuffer(self.image, np.uint8).reshape(1, height, width, channels)
        return pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255

    @traitlets.validate("thresholds")
    def _within(self, proposal: dict) -> list[float]:
        """Refuse thresholds outside [0, 1], and another number than the network has."""
        Thresholds(tuple(proposal["value"])).check(self._trace.exits)
        return proposal["value"]

    @traitlets.validate("constants")
    def _priced(self, proposal: dict) -> dict:
        """Refuse prices that are missing, negative or not finite."""
        return checked_prices(proposal["value"], [self.about["bits_per_weight"]])

    @traitlets.validate("picked")
    def _one_of_them(self, proposal: dict) -> int:
        """Refuse the index of an image that there is not."""
        if proposal["value"] >= self.about["count"]:
            raise ValueError(f"there are {self.about['count']} images, counted from 0")
        return proposal["value"]

    @traitlets.validate("image")
    def _whole(self, proposal: dict) -> bytes:
        """Refuse an image of another size than the network takes."""
        size = int(np.prod(self._shape))
        if len(proposal["value"]) != size:
            raise ValueError(f"an image has {size} bytes, this one {len(proposal['value'])}")
        return proposal["value"]


def _fixed_costs(network: Mapping, trace: ExitTrace, memory: MemoryModel | str) -> dict:
    """Counts that are the same for every image, cumulative by exit: macs, updates, bits."""
    exits = network["exits"]
    if trace.exits != exits or trace.measured_on.timesteps != network["timesteps"]:
        raise ValueError(
            f"the trace has {trace.exits} exits and T = {trace.measured_on.timesteps}, the "
            f"network {exits} and T = {network['timesteps']}: record it from this network"
        )
    counts = countable(trace, memory, "fan-out")
    costs = {name: counts[name] for name in ("macs", "updates", "bits")}
    for name, count in costs.items():
        if count.shape[1] != 1:
            raise ValueError(
                f"'{name}' depends on the image; choose a direct-coded trace and a memory model "
                "that fetches weights 'once' or each 'timestep'"
            )
    return {name: count[:, 0].tolist() for name, count in costs.items()}


def exemplars(trace: ExitTrace, leaving: np.ndarray, each: int = 3) -> list[np.ndarray]:
    """Samples that show what exits are for: indices int64 [at most `each`] per exit.

    All are answered right where they leave (`leaving` int [samples]); behind the first exit,
    those come first whom it would have answered wrong, then the surest ones. Empty where
    nobody leaves.
    """
    samples = np.arange(trace.samples)
    sure = trace.confidence[leaving, samples]
    saved = (leaving > 0) & ~trace.correct[0]
    order = np.lexsort((-sure, ~saved))
    right = trace.correct[leaving, samples][order]
    return [order[right & (leaving[order] == exit)][:each] for exit in range(trace.exits)]
