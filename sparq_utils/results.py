"""Recorded results: where they lie, and the rows of our Tables 1 and 2 made from them.

Layout: `results/<experiment>/seed-<s>/<variant>-<split>.npz`, one trace a file. Thresholds and
policies are chosen on the validation trace and reported on the test trace of the same seed.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sparq_utils import paper
from sparq_utils.energy import EnergyConstants, MemoryModel, energy
from sparq_utils.optimum import Objective, exact_optimum
from sparq_utils.policies import choose_thresholds, leave_at_thresholds, leave_by_table, outcome
from sparq_utils.qlearning import learn
from sparq_utils.trace import ExitTrace, load_trace

EXPERIMENTS = ("mlp-mnist", "lenet-mnist", "alexnet-cifar10")
SPLITS = ("validation", "test")
TRACES = ("ann", "dynamic-ann", "snn", "snn-rate", "qsnn", "qdsnn")
"""The variants that are recorded."""

DYNAMIC = ("dynamic-ann", "qdsnn")
"""Those with several exits, recorded on validation images too."""

ROWS = {
    "ann": "ann",
    "dynamic-ann": "dynamic-ann",
    "snn": "snn",
    "qsnn": "qsnn",
    "qdsnn-0.2-0.4": "qdsnn",
    "qdsnn-0.6-0.7": "qdsnn",
    "qdsnn-q": "qdsnn",
    "qdsnn-optimal": "qdsnn",
}
"""The variants of a table, and the recorded trace each is made from."""

MAX_LOSS = 0.0
"""Accuracy that the dynamic ANN may lose, on validation data, against its own last exit."""


class ResultsError(LookupError):
    """Results that were asked for and are not recorded, or do not belong together."""


def results_dir() -> Path:
    """Where results lie: `SPARQ_RESULTS_DIR`, else `results/` beside the package."""
    chosen = os.environ.get("SPARQ_RESULTS_DIR")
    return Path(chosen) if chosen else Path(__file__).resolve().parent.parent / "results"


def trace_path(experiment: str, variant: str, split: str = "test", seed: int = 0) -> Path:
    """The file of one recorded trace, there or not.

    Raises `ValueError` for an unknown experiment, variant or split.
    """
    for what, value, known in (
        ("experiment", experiment, EXPERIMENTS),
        ("variant", variant, TRACES),
        ("split", split, SPLITS),
    ):
        if value not in known:
            raise ValueError(f"unknown {what} '{value}'; choose one of {', '.join(known)}")
    return results_dir() / experiment / f"seed-{seed}" / f"{variant}-{split}.npz"


def seeds(experiment: str) -> list[int]:
    """The recorded seeds of an experiment, rising; raises :class:`ResultsError` if none."""
    folder = trace_path(experiment, "ann").parent.parent
    names = (path.name.removeprefix("seed-") for path in folder.glob("seed-*") if path.is_dir())
    found = sorted(int(name) for name in names if name.isdecimal())
    if not found:
        raise ResultsError(f"no results in {folder}; {_how_to_record(experiment)}")
    return found


def recorded() -> list[str]:
    """The experiments of which there are results."""
    return [name for name in EXPERIMENTS if any((results_dir() / name).glob("seed-*/*.npz"))]


def load(experiment: str, variant: str, split: str = "test", seed: int = 0) -> ExitTrace:
    """One recorded trace.

    Raises :class:`ResultsError` if it is not recorded, `TraceError` if its file is damaged,
    `ValueError` for an unknown name.
    """
    path = trace_path(experiment, variant, split, seed)
    if not path.is_file():
        raise ResultsError(f"no results at {path}; {_how_to_record(experiment)}")
    return load_trace(path)


def leaving(
    variant: str, validation: ExitTrace, test: ExitTrace, rng: np.random.Generator
) -> np.ndarray:
    """At which exit each test image leaves under a table's variant: int64 [samples].

    "qdsnn-a-b" leaves at the thresholds a and b; "qdsnn-q" learns and "qdsnn-optimal" solves
    for a table, and "dynamic-ann" finds the cheapest thresholds within :data:`MAX_LOSS`, all on
    the validation trace. Static variants have a single exit.
    """
    if variant == "qdsnn-q":
        return leave_by_table(test, learn(validation, rng).leave)
    if variant == "qdsnn-optimal":
        return leave_by_table(test, exact_optimum(validation, Objective()).leave)
    if variant == "dynamic-ann":
        return leave_at_thresholds(test, choose_thresholds(validation, MAX_LOSS))
    if variant.startswith("qdsnn-"):
        return leave_at_thresholds(test, [float(part) for part in variant.split("-")[1:]])
    return leave_at_thresholds(test, [])


def rows(
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
        raise ResultsError(f"no results in {results_dir()}; {_how_to_record('lenet-mnist')}")
    return [_row(name, variant, constants, memory) for name in chosen for variant in variants]


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


def _row(
    experiment: str,
    variant: str,
    constants: EnergyConstants | str,
    memory: MemoryModel | str,
) -> dict:
    """One row of the table: the mean over seeds."""
    source = ROWS.get(variant, variant)
    found, results, parts = seeds(experiment), [], []
    measured = set()
    for seed in found:
        test = load(experiment, source, "test", seed)
        validation = load(experiment, source, "validation", seed) if test.exits > 1 else test
        leaves = leaving(variant, validation, test, np.random.default_rng(seed))
        results.append(outcome(test, leaves))
        parts.append(energy(test, constants, memory).mean_j(leaves))
        on = test.measured_on
        measured.add((on.timesteps, on.encoding, on.data, on.provenance))
    if len(measured) > 1:
        raise ResultsError(
            f"the seeds of {experiment}, {source}, were measured on different things "
            f"({'; '.join(map(str, sorted(measured)))}); {_how_to_record(experiment)}"
        )
    timesteps, encoding, data, provenance = measured.pop()
    accuracy = [100 * result.accuracy for result in results]
    energy_parts = _means(parts)
    counts = _means([result.mean_counts for result in results])
    return {
        "experiment": experiment,
        "variant": variant,
        "accuracy": float(np.mean(accuracy)),
        "accuracy_std": float(np.std(accuracy, ddof=1)) if len(found) > 1 else 0.0,
        "n_seeds": len(found),
        "synaptic_ops": counts["synaptic_ops"],
        "spikes": counts["spikes"],
        "lif_updates": counts["lif_updates"],
        "energy_j": sum(energy_parts.values()),
        "energy_parts_j": energy_parts,
        "timesteps": timesteps,
        "exit_shares": np.mean([result.exit_shares for result in results], axis=0).tolist(),
        "encoding": encoding,
        "data": f"{data}, {test.samples:,} test images ({provenance})",
    }


def _means(dicts: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each key over dicts with the same keys."""
    return {key: float(np.mean([values[key] for values in dicts])) for key in dicts[0]}


def _how_to_record(experiment: str) -> str:
    """The way out of missing results."""
    return (
        f"record them with 'python -m sparq_utils run {experiment} --profile full', "
        "or point SPARQ_RESULTS_DIR at results you have"
    )
