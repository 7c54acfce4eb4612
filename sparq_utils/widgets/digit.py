"""The digit explorer: LeNet-5's INT8 spiking network itself, its C file running in the page."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import traitlets

from sparq_utils.traces.energy import EnergyConstants, MemoryModel
from sparq_utils.traces.policies import Thresholds
from sparq_utils.traces.trace import ExitTrace
from sparq_utils.widgets.base import Explorer, addressed, pack, script
from sparq_utils.widgets.pricing import checked_prices, countable, precision, price_presets, prices


class DigitExplorer(Explorer):
    """Draw a digit, or pick one; watch its spikes travel until an exit is sure.

    `network` is what :func:`sparq_utils.deploy.web.wasm` gives for a direct-coded spiking network
    on [1, H, W] images. `images` uint8 [n, H, W] (0 to 255) and `labels` [n]
    are digits to pick from. `trace` was recorded from the same network; its counts that do not
    depend on the image price the exits. `kinds` names digits (their indices) that are offered
    as buttons, {"Easy": [3, 5]}; without it a slider offers all. Synced: `thresholds`, `picked`
    (an index, or -1 for a drawing), `image` (bytes; all zero answers nothing), `constants`
    (:data:`~sparq_utils.widgets.pricing.Prices`).

    Raises `ValueError` for a network, images or a trace that do not fit together.
    """

    _esm: ClassVar[str] = script("digit.js")
    in_address = addressed("picked", "image", "thresholds", "constants")

    network = traitlets.Dict().tag(sync=True)
    about = traitlets.Dict().tag(sync=True)
    thresholds = traitlets.List(traitlets.Float()).tag(sync=True)
    picked = traitlets.Int(0, min=-1).tag(sync=True)
    image = traitlets.Bytes().tag(sync=True)
    kinds = traitlets.List().tag(sync=True)
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
        kinds: Mapping[str, Sequence[int]] | None = None,
        **kwargs: object,
    ) -> None:
        if network["encoding"] != "direct":
            raise ValueError(
                f"the page shows direct-coded networks, not {network['encoding']} ones"
            )
        shape = tuple(network["input_shape"])
        images, labels = np.asarray(images), np.asarray(labels)
        if images.dtype != np.uint8 or images.ndim != 3 or (1, *images.shape[1:]) != shape:
            raise ValueError(
                f"images are {images.dtype} {images.shape}; expected uint8 [n, {shape[1]}, "
                f"{shape[2]}] for a network that takes {list(shape)}"
            )
        if labels.shape != (len(images),) or len(images) == 0:
            raise ValueError(f"{labels.size} labels for {len(images)} images")
        Thresholds(tuple(thresholds)).check(trace.exits)
        self._shape, self._trace = shape, trace
        offered = [
            {"name": name, "digits": [int(index) for index in indices]}
            for name, indices in (kinds or {}).items()
        ]
        named = [index for one in offered for index in one["digits"]]
        if not all(one["digits"] for one in offered) or any(
            not 0 <= index < len(images) for index in named
        ):
            raise ValueError(f"kinds {kinds} name no digits, or others than {len(images)} images")
        first = offered[0]["digits"][0] if offered else 0
        kwargs.setdefault("picked", first)
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
            kinds=offered,
            image=images[kwargs["picked"]].tobytes(),
            constants=prices(constants, [trace]),
            constant_presets=price_presets([trace]),
            **kwargs,
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

    @property
    def pixels(self) -> np.ndarray:
        """The digit in the page, as the network takes it: float32 [1, 1, H, W] in [0, 1]."""
        pixels = np.frombuffer(self.image, np.uint8).reshape(1, *self._shape)
        return pixels.astype(np.float32) / 255

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
        """Refuse the index of a digit that there is not."""
        if proposal["value"] >= self.about["count"]:
            raise ValueError(f"there are {self.about['count']} digits, counted from 0")
        return proposal["value"]

    @traitlets.validate("image")
    def _whole(self, proposal: dict) -> bytes:
        """Refuse an image of another size than the network takes."""
        pixels = self._shape[1] * self._shape[2]
        if len(proposal["value"]) != pixels:
            raise ValueError(f"an image has {pixels} bytes, this one {len(proposal['value'])}")
        return proposal["value"]


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
