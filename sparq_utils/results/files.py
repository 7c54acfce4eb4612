"""Recorded results: where they lie.

Layout: `results/<experiment>/seed-<s>/<variant>-<split>.npz`, one trace per file.
"""

import os
from itertools import starmap
from pathlib import Path

from sparq_utils.results.manifest import TRAININGS, ResultsError, read_manifest
from sparq_utils.traces.in_time import temporal_variant
from sparq_utils.traces.trace import ExitTrace, load_trace

NETWORKS = {
    "mlp-mnist": "mlp",
    "lenet-mnist": "lenet5",
    "alexnet-cifar10": "alexnet",
    "resnet20-cifar10": "resnet20",
}
"""The network of each experiment, as its traces name it."""

TITLES = {
    "mlp-mnist": "MLP",
    "lenet-mnist": "LeNet-5",
    "alexnet-cifar10": "AlexNet",
    "resnet20-cifar10": "ResNet-20",
}
"""How tables and figures call the network of each experiment."""

EXPERIMENTS = tuple(NETWORKS)
BEYOND = {"resnet20-cifar10": "CIFAR-10"}
"""The data of the experiments that the paper does not have."""

SPLITS = ("validation", "test")
TRACES = (
    *("ann", "dynamic-ann", "snn", "snn-rate", "qsnn", "qdsnn", "qdsnn-sparse", "qann", "qdann"),
)
"""The variants that are recorded for every seed."""

IN_TIME = (("qsnn", "confidence", None), ("qsnn", "gap", None), ("qdsnn", "confidence", "stage"))
"""How the INT8 network leaves in time (:mod:`sparq_utils.traces.in_time`), for seed 0 alone:
of which variant, what decides, in which order it runs."""

TEMPORAL = tuple(starmap(temporal_variant, IN_TIME))
"""The names under which that is recorded."""

DYNAMIC = ("dynamic-ann", "qdsnn", "qdsnn-sparse", "qdann", *TEMPORAL)
"""Those with several exits, recorded on validation images too."""


class NotRecordedError(ResultsError):
    """Results that were asked for and are not there, while nothing is wrong with those that are."""


def results_dir() -> Path:
    """Where results lie: `SPARQ_RESULTS_DIR`, else `results/` beside the package."""
    chosen = os.environ.get("SPARQ_RESULTS_DIR")
    return Path(chosen) if chosen else Path(__file__).resolve().parents[2] / "results"


def trace_path(experiment: str, variant: str, split: str = "test", seed: int = 0) -> Path:
    """The file of one recorded trace, there or not.

    Raises `ValueError` for an unknown experiment, variant or split.
    """
    for what, value, known in (
        ("experiment", experiment, EXPERIMENTS),
        ("variant", variant, (*TRACES, *TEMPORAL)),
        ("split", split, SPLITS),
    ):
        if value not in known:
            raise ValueError(f"unknown {what} '{value}'; choose one of {', '.join(known)}")
    return results_dir() / experiment / f"seed-{seed}" / f"{variant}-{split}.npz"


def network_path(experiment: str, variant: str, seed: int = 0) -> Path:
    """The file of a recorded INT8 network.

    Raises `ValueError` for an unknown experiment or network, :class:`NotRecordedError` if it is
    not there, :class:`ResultsError` for another file than the manifest names.
    """
    known = [name for name, training in TRAININGS.items() if training.source]
    if variant not in known:
        raise ValueError(f"unknown INT8 network '{variant}'; choose one of {', '.join(known)}")
    path = trace_path(experiment, variant, seed=seed).with_name(f"{variant}.safetensors")
    if not path.is_file():
        raise NotRecordedError(f"no network at {path}; {how_to_record(experiment)}")
    check_bound(path)
    return path


def check_bound(path: Path) -> None:
    """Raise :class:`ResultsError` for another file than the manifest beside it names."""
    if manifest := read_manifest(path.parent):
        manifest.check(path.name)


def seeds(experiment: str) -> list[int]:
    """The recorded seeds of an experiment, rising; raises :class:`NotRecordedError` if none."""
    folder = trace_path(experiment, "ann").parent.parent
    numbers = (path.name.removeprefix("seed-") for path in seed_folders(folder))
    found = sorted(int(number) for number in numbers if number.isdecimal())
    if not found:
        raise NotRecordedError(f"no results in {folder}; {how_to_record(experiment)}")
    return found


def seed_folders(experiment: Path) -> list[Path]:
    """The folders of seeds in an experiment's folder, there or not."""
    # listing, where glob() would take a folder that may not be read for an empty one
    listed = experiment.iterdir() if experiment.is_dir() else ()
    return sorted(path for path in listed if path.name.startswith("seed-") and path.is_dir())


def recorded() -> list[str]:
    """The experiments of which there are results."""
    seeds_of = {name: seed_folders(results_dir() / name) for name in EXPERIMENTS}
    return [
        name
        for name, folders in seeds_of.items()
        if any(path.suffix == ".npz" for folder in folders for path in folder.iterdir())
    ]


def load(experiment: str, variant: str, split: str = "test", seed: int = 0) -> ExitTrace:
    """One recorded trace.

    Raises :class:`NotRecordedError` if there is none, :class:`ResultsError` for a trace of
    something else than its name or its manifest says, `TraceError` for a damaged file,
    `ValueError` for an unknown name.
    """
    path = trace_path(experiment, variant, split, seed)
    if not path.is_file():
        raise NotRecordedError(f"no results at {path}; {how_to_record(experiment)}")
    trace = load_trace(path)
    expected = {
        "network": NETWORKS[experiment], "variant": variant, "split": split, "seed": seed,
    }  # fmt: skip
    for key, value in expected.items():
        if (found := getattr(trace.measured_on, key)) != value:
            raise ResultsError(
                f"{path} is a trace of {key} {found!r}, expected {value!r}: it belongs elsewhere; "
                "move it away"
            )
    check_bound(path)
    return trace


def how_to_record(experiment: str) -> str:
    """The way out of missing results."""
    return (
        f"record them with 'python -m sparq_utils run {experiment} --profile full', "
        "or point SPARQ_RESULTS_DIR at results you have"
    )
