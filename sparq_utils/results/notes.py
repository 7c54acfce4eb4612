"""What runs noted besides traces: how they trained, and what they compared on the way."""

from dataclasses import dataclass

import numpy as np

from sparq_utils.files import read_json
from sparq_utils.results.files import NotRecordedError, how_to_record, results_dir, seeds
from sparq_utils.results.manifest import NOTES


@dataclass(frozen=True)
class Conversion:
    """A trained network converted in several ways (`conversion.json`): accuracies on test images.

    `methods` maps a way to accuracies by T, {"weight copy": {1: 0.4, ...}, ...}; `ann` is the
    accuracy of the network itself, `images` the number of images. All are fractions.
    """

    methods: dict[str, dict[int, float]]
    ann: float
    images: int

    @property
    def standard_error(self) -> float:
        """The standard error of an accuracy close to that of the ANN, a fraction."""
        return float(np.sqrt(self.ann * (1 - self.ann) / self.images))

    def timesteps_needed(self, method: str) -> int:
        """The fewest timesteps that come within two standard errors of the ANN.

        Raises `ValueError` if none of those recorded do.
        """
        enough = self.ann - 2 * self.standard_error
        found = [t for t, accuracy in self.methods[method].items() if accuracy >= enough]
        if not found:
            raise ValueError(f"{method} stays below {enough:.4f} at every T that is recorded")
        return min(found)


def conversion(experiment: str) -> Conversion:
    """An experiment's recorded conversion; raises :class:`NotRecordedError` if there is none."""
    found = _noted(experiment, "conversion.json")
    methods = {
        way: {int(t): accuracy for t, accuracy in by_t.items()}
        for way, by_t in found["methods"].items()
    }
    return Conversion(methods, found["ann_accuracy"], found["images"])


@dataclass(frozen=True)
class Silence:
    """What penalties on spikes lead to, on validation images (`silence.json`).

    `penalties` [points], of which `chosen` is the one of the recorded sparse network; `accuracy`
    and `spike_rate` [points, exits], fractions: of the images, and of all chances to spike up to an
    exit. `start` is the accuracy and the spike rate, [exits] each, that all of them started from.
    """

    penalties: tuple[float, ...]
    accuracy: np.ndarray
    spike_rate: np.ndarray
    start: tuple[np.ndarray, np.ndarray]
    chosen: float


def silence(experiment: str) -> Silence:
    """An experiment's penalties on spikes; raises :class:`NotRecordedError` if there are none."""
    found = _noted(experiment, "silence.json")
    start, *points = found["points"]
    both = ("accuracy", "spike_rate")
    return Silence(
        tuple(point["penalty"] for point in points),
        *(np.array([point[name] for point in points]) for name in both),
        tuple(np.array(start[name]) for name in both),
        found["chosen"],
    )


def _noted(experiment: str, name: str) -> dict:
    """What an experiment's runs noted together in one file."""
    path = results_dir() / experiment / name
    if not path.is_file():
        raise NotRecordedError(f"no {path}; {how_to_record(experiment)}")
    return read_json(path)


def training_notes(experiment: str) -> list[dict]:
    """What each recorded seed of an experiment noted while it trained, seeds rising."""
    folder = results_dir() / experiment
    files = [folder / f"seed-{seed}" / NOTES for seed in seeds(experiment)]
    return [read_json(file) for file in files if file.is_file()]


def exit_training() -> dict:
    """Ways to train exits together, compared: `validation_accuracy` [seeds, exits] by way, ...

    Accuracies are fractions; the other keys say on what and for how long the ways were compared.
    `python -m benchmarks.training_exits` records it in `exit-training.json`; empty if it has not.
    """
    path = results_dir() / "exit-training.json"
    return read_json(path) if path.is_file() else {}
