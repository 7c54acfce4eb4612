"""Two sets of results, row by row: equal, or by how much they differ."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from sparq_utils.results.files import EXPERIMENTS, results_dir, seed_folders, seeds, trace_path
from sparq_utils.results.manifest import ResultsError
from sparq_utils.results.rows import Row, row
from sparq_utils.results.variants import ROWS

COMPARED = {"accuracy": "accuracy", "synaptic_ops": "operations", "energy_j": "modelled energy"}
"""What is compared of a row, and what it is called."""


@dataclass(frozen=True)
class Difference:
    """A table's row made twice, over the same seeds: (recorded, new) of each quantity compared.

    Without seeds, the row is recorded and was not made again. `images` says what each was tested
    on.
    """

    experiment: str
    variant: str
    seeds: tuple[int, ...]
    images: tuple[str, ...]
    values: dict[str, tuple[float, float]]

    def __str__(self) -> str:
        if not self.seeds:
            return f"{self.experiment}, {self.variant}: not made again"
        where = f"{self.experiment}, {self.variant}, seeds {', '.join(map(str, self.seeds))}"
        if len(set(self.images)) > 1:
            where += f", on other images ({self.images[1]}, not {self.images[0]})"
        changed = [
            f"{COMPARED[name]} {new / old - 1:+.3%}" if old else f"{COMPARED[name]} {new:g}, not 0"
            for name, (old, new) in self.values.items()
            if old != new
        ]
        return f"{where}: {'; '.join(changed) or 'equal'}"


def compare(folder: str | Path) -> list[Difference]:
    """Every recorded row beside the one that the traces in `folder` give.

    Each over the seeds that both have. Raises `ResultsError` if they have no row in common.
    """
    places = (results_dir(), Path(folder))
    found = []
    for experiment, (variant, made) in product(EXPERIMENTS, ROWS.items()):
        recorded, again = (_ready(place, experiment, made.trace) for place in places)
        images, values = (), {}
        if common := sorted(recorded & again):
            pair = [_row(place, experiment, variant, common) for place in places]
            images = tuple(f"{one.traces[0].samples:,} of {one.data}" for one in pair)
            old, new = (one.as_row() for one in pair)
            values = {name: (old[name], new[name]) for name in COMPARED}
        if recorded:
            found.append(Difference(experiment, variant, tuple(common), images, values))
    if not any(one.seeds for one in found):
        raise ResultsError(f"{folder} has no row in common with the results in {places[0]}")
    return found


def _ready(place: Path, experiment: str, source: str) -> set[int]:
    """The seeds of which there is the trace that a row is made from."""
    with _results_in(place):
        if not seed_folders(place / experiment):
            return set()
        paths = ((seed, trace_path(experiment, source, "test", seed)) for seed in seeds(experiment))
        return {seed for seed, path in paths if path.is_file()}


def _row(place: Path, experiment: str, variant: str, over: Sequence[int]) -> Row:
    with _results_in(place):
        return row(experiment, variant, over)


@contextmanager
def _results_in(place: Path) -> Iterator[None]:
    """Read results from another folder for a while."""
    before = os.environ.get("SPARQ_RESULTS_DIR")
    os.environ["SPARQ_RESULTS_DIR"] = str(place)
    try:
        yield
    finally:
        if before is None:
            del os.environ["SPARQ_RESULTS_DIR"]
        else:
            os.environ["SPARQ_RESULTS_DIR"] = before
