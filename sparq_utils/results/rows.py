"""The rows of our tables: what was recorded of a variant, over all its seeds.

A :class:`Measured` joins test traces with the exits at which their images leave, and answers what
tables, figures and `python -m sparq_utils results --json` ask.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import pandas as pd

from sparq_utils.paper import printed as paper
from sparq_utils.results.files import (
    EXPERIMENTS,
    ResultsError,
    how_to_record,
    load,
    recorded,
    results_dir,
    seeds,
    trace_path,
)
from sparq_utils.results.variants import ROWS, find
from sparq_utils.traces.energy import EnergyConstants, MemoryModel, energy, operations
from sparq_utils.traces.policies import Outcome, at_exit, outcome
from sparq_utils.traces.trace import ExitTrace


@dataclass(frozen=True)
class Measured:
    """One row of a table as recorded: a test trace and its leaving exits for every seed.

    Raises :class:`ResultsError` if the seeds were measured on different things.
    """

    experiment: str
    variant: str
    traces: tuple[ExitTrace, ...]
    leaving: tuple[np.ndarray, ...]

    def __post_init__(self) -> None:
        """Refuse to average what does not belong together."""
        each = (trace.measured_on for trace in self.traces)
        found = sorted({(on.timesteps, on.encoding, on.data, on.provenance) for on in each})
        if len(found) > 1:
            raise ResultsError(
                f"the seeds of {self.experiment}, {self.variant}, were measured on different "
                f"things ({'; '.join(map(str, found))}); {how_to_record(self.experiment)}"
            )

    @property
    def data(self) -> str:
        """The data that was tested on, as its traces name it."""
        return self.traces[0].measured_on.data

    @cached_property
    def _outcomes(self) -> list[Outcome]:
        """What leaving gives, one a seed."""
        return [outcome(*pair) for pair in zip(self.traces, self.leaving, strict=True)]

    @property
    def accuracy(self) -> np.ndarray:
        """Percent right, one value a seed."""
        return np.array([100 * one.accuracy for one in self._outcomes])

    @property
    def exit_shares(self) -> np.ndarray:
        """Fraction of images that leave at each exit, mean over seeds: [exits]."""
        return np.mean([one.exit_shares for one in self._outcomes], axis=0)

    @property
    def accuracy_std(self) -> float:
        """Sample standard deviation of the accuracy over seeds, in points; 0 for one seed."""
        return float(self.accuracy.std(ddof=1)) if len(self.traces) > 1 else 0.0

    def synaptic_ops(self, convention: str = "fan-out") -> float:
        """MACs and ACs an image, mean over images and seeds."""
        return self._mean(lambda trace: sum(_counted(trace, convention)))

    def count(self, name: str) -> float:
        """A count of the traces an image, such as "spikes", mean over images and seeds."""
        return float(np.mean([one.mean_counts[name] for one in self._outcomes]))

    def lif_ops(self) -> float:
        """Decays and comparisons an image (Eq. 9): two for each membrane update."""
        return 2 * self.count("lif_updates")

    def energy_j(
        self,
        constants: EnergyConstants | str = "paper",
        memory: MemoryModel | str = "step-by-step",
        convention: str = "fan-out",
    ) -> dict[str, float]:
        """Modelled joules an image, by part: "synaptic", "lif", "memory"."""
        parts = [
            energy(trace, constants, memory, convention).mean_j(leaves)
            for trace, leaves in zip(self.traces, self.leaving, strict=True)
        ]
        return {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}

    def as_row(
        self,
        constants: EnergyConstants | str = "paper",
        memory: MemoryModel | str = "step-by-step",
    ) -> dict:
        """The row as plain types that JSON holds; what they mean is said at :func:`as_dicts`."""
        on, parts = self.traces[0].measured_on, self.energy_j(constants, memory)
        return {
            "experiment": self.experiment,
            "variant": self.variant,
            "accuracy": float(self.accuracy.mean()),
            "accuracy_std": self.accuracy_std,
            "n_seeds": len(self.traces),
            "synaptic_ops": self.synaptic_ops(),
            "spikes": self.count("spikes"),
            "lif_updates": self.count("lif_updates"),
            "energy_j": sum(parts.values()),
            "energy_parts_j": parts,
            "timesteps": on.timesteps,
            "exit_shares": self.exit_shares.tolist(),
            "encoding": on.encoding,
            "data": f"{on.data}, {self.traces[0].samples:,} test images ({on.provenance})",
        }

    def class_shares(self) -> np.ndarray:
        """Where each class leaves: fractions [classes, exits], each row summing to 1."""
        return self._by_class(1)

    def class_mix(self) -> np.ndarray:
        """Who leaves at an exit: fractions [classes, exits], each column summing to 1.

        A column of an exit at which nobody leaves is NaN.
        """
        return self._by_class(0)

    def _by_class(self, axis: int) -> np.ndarray:
        """Counts [classes, exits] over all seeds, divided by their sum along an axis."""
        labels = np.concatenate([trace.labels for trace in self.traces])
        counts = np.zeros((int(labels.max()) + 1, self.traces[0].exits))
        np.add.at(counts, (labels, np.concatenate(self.leaving)), 1)
        with np.errstate(invalid="ignore"):
            return counts / counts.sum(axis=axis, keepdims=True)

    def _mean(self, quantity: Callable[[ExitTrace], np.ndarray]) -> float:
        """Mean over images and seeds of [exits, samples | 1] at the exit where each leaves."""
        values = (np.broadcast_to(quantity(t), t.confidence.shape) for t in self.traces)
        pairs = zip(values, self.leaving, strict=True)
        return float(np.mean([at_exit(*pair).mean() for pair in pairs]))


def _counted(trace: ExitTrace, convention: str) -> tuple[np.ndarray, np.ndarray]:
    """MACs and ACs of a trace in a convention, [exits, samples | 1] each."""
    counts = operations(trace, convention=convention)
    return counts["mac_j"], counts["ac_j"]


def row(experiment: str, variant: str, over: Sequence[int] = ()) -> Measured:
    """A table's row from the recorded traces of the seeds in `over`, or of all that have them.

    Policies are chosen on the validation trace of the same seed. Raises
    :class:`ResultsError` if nothing is recorded, or not for all seeds in `over`, and
    `ValueError` for an unknown variant.
    """
    chosen, traces, leaves = find(variant), [], []
    source = chosen.trace
    if not over:
        found = seeds(experiment)
        ready = [s for s in found if trace_path(experiment, source, "test", s).is_file()]
        over = ready or found  # with none ready, loading says what is missing
    for seed in over:
        test = load(experiment, source, "test", seed)
        validation = load(experiment, source, "validation", seed) if test.exits > 1 else test
        traces.append(test)
        policy = chosen.choose(validation, np.random.default_rng(seed))
        leaves.append(policy.leaving(test))
    return Measured(experiment, variant, tuple(traces), tuple(leaves))


def collect() -> tuple[dict[tuple[str, str], Measured], list[tuple[str, str]]]:
    """Every row that is recorded, by (experiment, variant), and the rows that are not."""
    found, missing = {}, []
    for key in product(EXPERIMENTS, ROWS):
        try:
            found[key] = row(*key)
        except ResultsError:
            missing.append(key)
    return found, missing


def as_dicts(
    experiments: Sequence[str] | None = None,
    constants: EnergyConstants | str = "paper",
    memory: MemoryModel | str = "step-by-step",
    variants: Sequence[str] = tuple(ROWS),
) -> list[dict]:
    """The rows of our Tables 1 and 2, as plain types that JSON holds.

    Means over seeds, per test image: `accuracy` in percent and `accuracy_std`, its sample
    standard deviation over seeds (0 for one seed); `synaptic_ops` fan-out-exact; `energy_j`
    *modelled*, the sum of `energy_parts_j`; `exit_shares` fractions of samples. `data` says
    what was measured on. All recorded experiments if `experiments` is None; `variants` may also
    name "snn-rate". Raises :class:`ResultsError` if something is not recorded.
    """
    chosen = recorded() if experiments is None else list(experiments)
    if not chosen:
        raise ResultsError(f"no results in {results_dir()}; {how_to_record('lenet-mnist')}")
    rows = (row(name, variant, seeds(name)) for name, variant in product(chosen, variants))
    return [one.as_row(constants, memory) for one in rows]


def beside_paper(table: Sequence[dict]) -> pd.DataFrame:
    """Our rows beside the paper's Tables 1 and 2, indexed by experiment and variant.

    Accuracy in percent, synaptic operations in millions, energy in mJ: ours modelled, the
    paper's as printed. NaN where the paper has no such row.
    """
    ours = pd.DataFrame(
        {
            "experiment": [row["experiment"] for row in table],
            "variant": [row["variant"] for row in table],
            "accuracy": [row["accuracy"] for row in table],
            "accuracy_std": [row["accuracy_std"] for row in table],
            "synaptic_ops_m": [row["synaptic_ops"] / 1e6 for row in table],
            "energy_mj": [row["energy_j"] * 1e3 for row in table],
        }
    ).set_index(["experiment", "variant"])
    first = _printed(paper.TABLE_1, ("accuracy", "synaptic_ops_m"))
    second = _printed(paper.TABLE_2, ("energy_mj",))
    joined = ours.join(first).join(second)
    pairs = ("accuracy", "accuracy_std", "synaptic_ops_m", "energy_mj")
    order = [column for name in pairs for column in (name, f"paper_{name}") if column in joined]
    return joined[order]


def _printed(table: Sequence[dict], columns: Sequence[str]) -> pd.DataFrame:
    """Columns of one of the paper's tables as floats, named paper_*."""
    frame = pd.DataFrame(table).set_index(["experiment", "variant"])
    return frame[list(columns)].astype(float).add_prefix("paper_")
