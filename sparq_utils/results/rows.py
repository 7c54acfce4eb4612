"""The rows of our tables: what was recorded of a variant, over all its seeds.

A :class:`Row` joins test traces with the exits at which their images leave, and answers what
tables, figures and `python -m sparq_utils results --json` ask.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product

import numpy as np
import pandas as pd

from sparq_utils.paper import printed as paper
from sparq_utils.results.files import (
    EXPERIMENTS,
    NotRecordedError,
    ResultsError,
    how_to_record,
    load,
    recorded,
    results_dir,
    seeds,
    trace_path,
)
from sparq_utils.results.variants import ROWS, Seen, Variant, find
from sparq_utils.traces.company import fit_company, in_company
from sparq_utils.traces.energy import (
    EnergyConstants,
    MemoryModel,
    constants_for,
    energy,
    memory_model,
    operations,
)
from sparq_utils.traces.policies import Outcome, Policy, Thresholds, at_exit, outcome
from sparq_utils.traces.trace import ADDED_COUNTS, COUNTS, ExitTrace


@dataclass(frozen=True)
class Row:
    """One row of a table as recorded: a test trace and its leaving exits for every seed.

    `traces` answer as the row does, alone or in company. `spec` and `policies` (one per seed) say
    how it was decided when to leave, where that is known. Raises :class:`ResultsError` if the
    seeds were measured on different things.
    """

    experiment: str
    variant: str
    traces: tuple[ExitTrace, ...]
    leaving: tuple[np.ndarray, ...]
    spec: Variant | None = None
    policies: tuple[Policy, ...] = ()

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

    @property
    def left(self) -> list[tuple[ExitTrace, np.ndarray]]:
        """Each seed's trace with the exits at which its images leave."""
        return list(zip(self.traces, self.leaving, strict=True))

    @cached_property
    def _outcomes(self) -> list[Outcome]:
        """What leaving gives, one per seed."""
        return [outcome(*one) for one in self.left]

    @property
    def accuracy(self) -> np.ndarray:
        """Fraction that is right, one value per seed."""
        return np.array([one.accuracy for one in self._outcomes])

    @property
    def exit_shares(self) -> np.ndarray:
        """Fraction of images that leave at each exit, mean over seeds: [exits]."""
        return np.mean([one.exit_shares for one in self._outcomes], axis=0)

    @property
    def accuracy_std(self) -> float:
        """Sample standard deviation of the accuracy over seeds, a fraction; 0 for one seed."""
        return float(self.accuracy.std(ddof=1)) if len(self.traces) > 1 else 0.0

    def synaptic_ops(self, convention: str = "fan-out") -> float:
        """MACs and ACs per image, mean over images and seeds."""
        return self._mean(lambda trace: sum(_counted(trace, convention)))

    def count(self, name: str) -> float:
        """A count of the traces per image, such as "spikes", mean over images and seeds."""
        return float(np.mean([one.mean_counts[name] for one in self._outcomes]))

    def lif_ops(self) -> float:
        """Decays and comparisons per image (Eq. 9): two for each membrane update."""
        return 2 * self.count("lif_updates")

    def energy_j(
        self,
        constants: EnergyConstants | str = "paper",
        memory: MemoryModel | str = "step-by-step",
        convention: str = "fan-out",
    ) -> float:
        """Modelled joules per image, mean over images and seeds."""
        return sum(self.energy_parts_j(constants, memory, convention).values())

    def energy_parts_j(
        self,
        constants: EnergyConstants | str = "paper",
        memory: MemoryModel | str = "step-by-step",
        convention: str = "fan-out",
    ) -> dict[str, float]:
        """Modelled joules per image, by part: "synaptic", "lif", "memory"."""
        parts = [
            energy(trace, constants, memory, convention).mean_j(leaving)
            for trace, leaving in self.left
        ]
        return {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}

    def arithmetic_j(
        self, constants: EnergyConstants | str = "paper", convention: str = "fan-out"
    ) -> dict[str, float]:
        """Modelled joules per image without memory, mean over images and seeds: two parts."""
        parts = self.energy_parts_j(constants, "layer-by-layer", convention)
        return {name: parts[name] for name in ("synaptic", "lif")}

    def as_row(
        self,
        constants: EnergyConstants | str = "paper",
        memory: MemoryModel | str = "step-by-step",
    ) -> dict:
        """The row as plain types that JSON holds; what they mean is said at :func:`as_dicts`."""
        first, parts = self.traces[0], self.energy_parts_j(constants, memory)
        on, percent = first.measured_on, 100 * self.accuracy
        return {
            "experiment": self.experiment,
            "variant": self.variant,
            "accuracy": float(percent.mean()),
            "accuracy_std": float(percent.std(ddof=1)) if percent.size > 1 else 0.0,
            "n_seeds": len(self.traces),
            "synaptic_ops": self.synaptic_ops(),
            "spikes": self.count("spikes"),
            "lif_updates": self.count("lif_updates"),
            "energy_j": sum(parts.values()),
            "energy_parts_j": parts,
            "timesteps": on.timesteps,
            "exit_shares": self.exit_shares.tolist(),
            "encoding": on.encoding,
            "data": f"{on.data}, {first.samples:,} test images ({on.provenance})",
            "answer": self.spec.answer if self.spec else "alone",
            "policy": self._policy(),
            "weight_bits": on.weight_bits,
            "levels": on.levels,
            "counts": self._counts(),
            "constants": constants_for(first, constants).name,
            "memory": memory_model(memory).name,
        }

    def _counts(self) -> dict[str, float]:
        """Means of all that the traces count; counts that one of them lacks are left out."""
        added = [name for name in ADDED_COUNTS if all(name in t.counts for t in self.traces)]
        return {name: self.count(name) for name in COUNTS} | {
            name: self._mean(lambda trace, name=name: trace.count(name)) for name in added
        }

    def _policy(self) -> dict:
        """How it was decided when to leave: in words, and the thresholds of each seed."""
        by_threshold = all(isinstance(policy, Thresholds) for policy in self.policies)
        return {
            "chosen": self.spec.policy if self.spec else "given by the caller",
            "thresholds": [list(policy) for policy in self.policies] if by_threshold else None,
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


class _Shelf:
    """The recorded traces of one look-up, each read and each company fitted but once."""

    def __init__(self) -> None:
        self.alone = cache(load)  # (experiment, trace, split, seed)
        self.weights = cache(self._weights)
        self.answering = cache(self._answering)

    def _weights(self, experiment: str, trace: str, seed: int) -> np.ndarray:
        """How exits weigh one another, fitted on validation images."""
        return fit_company(self.alone(experiment, trace, "validation", seed))

    def _answering(self, experiment: str, spec: Variant, split: str, seed: int) -> ExitTrace:
        """The trace of a row, answering as the row does."""
        trace = self.alone(experiment, spec.trace, split, seed)
        if not spec.company:
            return trace
        if trace.logits is None:
            raise NotRecordedError(
                f"{trace_path(experiment, spec.trace, split, seed)} keeps no logits, so its exits "
                f"cannot answer in company; {how_to_record(experiment)}"
            )
        return in_company(trace, self.weights(experiment, spec.trace, seed))


def row(experiment: str, variant: str | Variant, over: Sequence[int] = ()) -> Row:
    """A table's row from the recorded traces of the seeds in `over`, or of all that have them.

    `variant` is a name in :data:`~sparq_utils.results.variants.ROWS`, or a specification of your
    own. Policies are chosen on the validation trace of the same seed. Raises
    :class:`NotRecordedError` if nothing is recorded, or not for all seeds in `over`, and
    `ValueError` for an unknown variant.
    """
    return _row(experiment, variant, over, _Shelf())


def _row(experiment: str, variant: str | Variant, over: Sequence[int], shelf: _Shelf) -> Row:
    """A row from traces that other rows may have taken from the shelf already."""
    spec = find(variant) if isinstance(variant, str) else variant
    traces, policies = [], []
    if not over:
        there = seeds(experiment)
        ready = [s for s in there if trace_path(experiment, spec.trace, "test", s).is_file()]
        over = ready or there  # with none ready, loading says what is missing
    for seed in over:
        test = shelf.answering(experiment, spec, "test", seed)
        split = "validation" if test.exits > 1 else "test"  # one exit: nothing to choose
        validation = shelf.answering(experiment, spec, split, seed)
        alone = shelf.alone(experiment, spec.trace, split, seed)
        traces.append(test)
        policies.append(spec.choose(Seen(validation, alone, np.random.default_rng(seed))))
    leaving = (policy.leaving(test) for policy, test in zip(policies, traces, strict=True))
    name = variant if isinstance(variant, str) else spec.label
    return Row(experiment, name, tuple(traces), tuple(leaving), spec, tuple(policies))


def collect() -> tuple[dict[tuple[str, str], Row], list[tuple[str, str]]]:
    """Every row that is recorded, by (experiment, variant), and the rows that are not."""
    found, missing, shelf = {}, [], _Shelf()
    for experiment, variant in product(EXPERIMENTS, ROWS):
        try:
            found[experiment, variant] = _row(experiment, variant, (), shelf)
        except NotRecordedError:
            missing.append((experiment, variant))
    return found, missing


def as_dicts(
    experiments: Sequence[str] | None = None,
    constants: EnergyConstants | str = "paper",
    memory: MemoryModel | str = "step-by-step",
    variants: Sequence[str] | None = None,
) -> list[dict]:
    """The rows of our Tables 1 and 2, as plain types that JSON holds.

    Means over seeds, per test image: `accuracy` in percent and `accuracy_std`, its sample
    standard deviation over seeds (0 for one seed); `synaptic_ops` fan-out-exact; `energy_j`
    *modelled*, the sum of `energy_parts_j`; `exit_shares` fractions of samples. `data` says
    what was measured on.

    `answer` is "alone" or "company"; `policy` says how it was decided when to leave (`chosen`,
    in words, and the `thresholds` of every seed, None for tables). So that each energy can be
    computed again by hand: `counts` (the means of all that a trace counts, at the exit taken),
    `weight_bits`, the `levels` of an ANN's activations (None for floats and spikes), and the
    names of `constants` and `memory` model.

    All recorded experiments if `experiments` is None, and all rows of which any seed is recorded
    if `variants` is; a row that is asked for by name, and a seed that lacks what others have,
    raise :class:`ResultsError`.
    """
    chosen, shelf = recorded() if experiments is None else list(experiments), _Shelf()
    if not chosen:
        raise NotRecordedError(f"no results in {results_dir()}; {how_to_record('lenet-mnist')}")
    rows = [
        _row(name, variant, seeds(name), shelf)
        for name, variant in product(chosen, ROWS if variants is None else variants)
        if variants is not None or _is_recorded(name, variant, shelf)
    ]
    return [one.as_row(constants, memory) for one in rows]


def _is_recorded(experiment: str, variant: str, shelf: _Shelf) -> bool:
    """Whether any seed holds what a row is made of; in company that is logits too."""
    spec = find(variant)
    there = [
        seed
        for seed in seeds(experiment)
        if trace_path(experiment, spec.trace, "test", seed).is_file()
    ]
    if not spec.company:
        return bool(there)
    return any(shelf.alone(experiment, spec.trace, "test", s).logits is not None for s in there)


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
