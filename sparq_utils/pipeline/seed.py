"""One seed of an experiment: what its steps share, and how each of them leaves its results."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from accelerate import PartialState
from torch import nn

from sparq_utils import data
from sparq_utils.experiments import Experiment, Profile
from sparq_utils.files import read_json, write_json
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.machine import made_on
from sparq_utils.networks.recipe import Recipe
from sparq_utils.networks.training import train
from sparq_utils.pipeline.variants import untrained
from sparq_utils.results.manifest import NOTES, Manifest
from sparq_utils.traces.trace import ExitTrace


@dataclass(frozen=True)
class Seed:
    """One seed of an experiment on its images."""

    experiment: Experiment
    profile: Profile
    splits: data.Splits
    seed: int
    manifest: Manifest
    processes: PartialState
    progress: bool = True

    @property
    def folder(self) -> Path:
        """Where everything goes."""
        return self.manifest.folder

    def trained(
        self, name: str, recipe: Recipe, checkpoint: str
    ) -> tuple[EarlyExitNetwork, list[dict]]:
        """The network that the weights `name` are of, trained by a recipe, and its curve.

        Training goes on from `checkpoint`, a file's name. Raises as
        :func:`~sparq_utils.pipeline.variants.untrained` and
        :func:`~sparq_utils.networks.training.train` do.
        """
        about = (name, self.experiment, self.folder, self.profile.levels, self.seed)
        network, path = untrained(*about), self.folder / checkpoint
        on = (self.splits.train, self.splits.validation)
        return network, train(network, *on, recipe, self.seed, path, self.progress)

    def recorded(
        self, recorder: Callable[..., ExitTrace], network: EarlyExitNetwork, images: data.Images
    ) -> ExitTrace:
        """What a recorder makes of a network, its images shared out among the processes."""
        how = {"seed": self.seed, "progress": self.progress, "processes": self.processes}
        return recorder(network, images, **how)

    def keep(
        self, name: str, save: Callable[[Path], object], network: nn.Module | None = None
    ) -> None:
        """Let the main process write a new file, and bind it; the others wait until it is there."""
        if self.processes.is_main_process:
            made = made_on(network, self.processes.num_processes)
            self.manifest.keep(name, save, made)
        self.processes.wait_for_everyone()

    def check(self, name: str) -> None:
        """Raise `ResultsError` if a file is there that is not the run's own."""
        if self.processes.is_main_process:
            self.manifest.check(name)

    def note(self, **found: object) -> None:
        """Add to training.json what a step of training gave."""
        if not self.processes.is_main_process:
            return
        path = self.folder / NOTES
        notes = read_json(path) if path.is_file() else {}
        now = notes | found
        if now != notes:
            self.manifest.files.pop(NOTES, None)  # it is bound anew at the end
            self.manifest.save()
            write_json(path, now)


def plain(recipe: Recipe) -> dict:
    """A recipe as JSON gives it back."""
    return json.loads(json.dumps(asdict(recipe)))
