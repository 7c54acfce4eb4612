"""One seed of an experiment: what its steps share, and how each of them leaves its results."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from sparq_utils import data
from sparq_utils.experiments import Experiment, Profile
from sparq_utils.files import read_json, write_json
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.training import Recipe, train
from sparq_utils.pipeline.variants import untrained
from sparq_utils.results.manifest import NOTES, Manifest


@dataclass(frozen=True)
class Seed:
    """One seed of an experiment on its images."""

    experiment: Experiment
    profile: Profile
    splits: data.Splits
    seed: int
    manifest: Manifest
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

    def note(self, **found: object) -> None:
        """Add to training.json what a step of training gave."""
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
