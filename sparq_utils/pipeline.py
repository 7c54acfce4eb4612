"""The three experiments, from data to recorded traces, in steps that can be resumed.

For each seed: train the dynamic ANN (all exits jointly), convert it to a spiking network at T=32,
fine-tune its T=4 conversion with INT8 fake quantisation and surrogate gradients, turn that into
real INT8 kernels, do the same with its opponent (an ANN whose activations have as many levels as
that network has timesteps), and record a trace of every variant on test images (and, where there
are exits to choose, on validation images). For the first seed, also compare ways to convert, and
record how the INT8 network leaves in time. What is already there and whole is kept; a training
that was interrupted goes on where it stopped.
"""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from sparq_utils import data
from sparq_utils.experiments import Experiment, Profile, find
from sparq_utils.files import read_json, write_json, write_whole
from sparq_utils.networks.architectures import NETWORKS
from sparq_utils.networks.conversion import ClipFloorShift, convert, fold_batch_norm
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.int8 import load_int8, save_int8
from sparq_utils.networks.quantization import quantize_aware, to_int8
from sparq_utils.networks.recording import record
from sparq_utils.networks.recording_in_time import record_temporal
from sparq_utils.networks.training import Recipe, accuracy, train
from sparq_utils.results.files import DYNAMIC, IN_TIME, SPLITS, results_dir
from sparq_utils.traces.in_time import temporal_variant
from sparq_utils.traces.trace import ExitTrace, load_trace, save_trace

TIMESTEPS = {"snn": 32, "snn-rate": 32, "qsnn": 4, "qdsnn": 4}
"""T of the spiking variants, as in the paper."""

INT8 = {
    "qdsnn": {"timesteps": TIMESTEPS["qdsnn"]},
    "qdann": {"timesteps": 1, "neurons": "levels", "levels": TIMESTEPS["qdsnn"]},
}
"""How the networks that are fine-tuned with eight bits are converted from the ANN."""

CONVERSION_TIMESTEPS = (1, 2, 4, 8, 16, 32, 64)


class ExperimentError(RuntimeError):
    """An experiment that cannot go on with what it finds."""


def run(
    name: str,
    profile: str = "full",
    seeds: int = 3,
    out: str | Path | None = None,
    progress: bool = True,
) -> Path:
    """Run an experiment for seeds 0, 1, ...; the folder with its results.

    The `full` profile writes to the recorded results, the others to the user's cache, unless
    `out` names another folder. Raises `ValueError` for an unknown experiment or profile or no
    seeds, :class:`ExperimentError` where the folder holds results of other data.
    """
    experiment, chosen = find(name, profile)
    if seeds < 1:
        raise ValueError(f"{seeds} seeds: need at least 1")
    if out is None:
        out = results_dir() if profile == "full" else data.cache_dir() / "runs" / profile
    folder = Path(out) / name
    splits = data.load(experiment.data)
    for seed in range(seeds):
        run_seed(experiment, chosen, splits, seed, folder / f"seed-{seed}", progress)
    _record_leaving_in_time(chosen.take(splits), folder / "seed-0", progress)
    if chosen.conversions:
        ann = load_ann(folder / "seed-0" / "ann.safetensors", experiment, chosen.levels)
        _compare_conversions(ann, splits, chosen.conversions, folder / "conversion.json")
    return folder


def run_seed(
    experiment: Experiment,
    profile: Profile,
    splits: data.Splits,
    seed: int,
    folder: Path,
    progress: bool = True,
) -> None:
    """Train, convert, fine-tune and record one seed of an experiment.

    Raises :class:`ExperimentError`, and leaves everything as it was, where the folder holds a
    run on other images, or a file that is damaged or of another network.
    """
    splits = profile.take(splits)
    _claim(folder, splits.train)
    ann = _ann(experiment, profile, splits, seed, folder, progress)
    folded = fold_batch_norm(ann)
    save = partial(_record, splits=splits, seed=seed, folder=folder, progress=progress)
    save("ann", folded.without_exits())
    save("dynamic-ann", folded)
    snn = convert(ann, timesteps=TIMESTEPS["snn"])
    save("snn", snn.without_exits())
    if experiment.data == "MNIST":
        rate = convert(ann, timesteps=TIMESTEPS["snn-rate"], encoding="rate")
        save("snn-rate", rate.without_exits())
    for plain, dynamic in (("qsnn", "qdsnn"), ("qann", "qdann")):
        int8 = _int8(dynamic, ann, profile, splits, seed, folder, progress)
        save(plain, int8.without_exits())
        save(dynamic, int8)


def new_network(experiment: Experiment, levels: int, seed: int = 0) -> EarlyExitNetwork:
    """The experiment's untrained dynamic ANN with clip-floor-shift activations."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # torch's initialisers know no other generator
        return NETWORKS[experiment.network](partial(ClipFloorShift, levels))


def load_ann(path: str | Path, experiment: Experiment, levels: int) -> EarlyExitNetwork:
    """The trained dynamic ANN from its recorded weights.

    Raises `FileNotFoundError`, or :class:`ExperimentError` for a damaged file or one of another
    network.
    """
    network = new_network(experiment, levels)
    if not Path(path).is_file():
        raise FileNotFoundError(f"no weights at {path}; 'python -m sparq_utils run' makes them")
    try:
        network.load_state_dict(load_file(path))
    except SafetensorError as error:
        raise ExperimentError(f"{path} is damaged ({error}); delete it") from error
    except RuntimeError as error:  # torch lists every layer that is missing or of another shape
        raise ExperimentError(
            f"{path} holds weights of another network than {experiment.network}; move it away"
        ) from error
    return network.eval()


def _ann(
    experiment: Experiment,
    profile: Profile,
    splits: data.Splits,
    seed: int,
    folder: Path,
    progress: bool,
) -> EarlyExitNetwork:
    """The trained dynamic ANN: loaded if it is recorded, else trained and recorded."""
    path = folder / "ann.safetensors"
    if path.is_file():
        return load_ann(path, experiment, profile.levels)
    network = new_network(experiment, profile.levels, seed)
    curve = train(
        network, splits.train, splits.validation, profile.ann, seed, folder / "ann.pt", progress
    )
    _note_training(folder, "ann", profile.ann, curve)
    _save_weights(network, path)
    return network


def _int8(
    variant: str,
    ann: EarlyExitNetwork,
    profile: Profile,
    splits: data.Splits,
    seed: int,
    folder: Path,
    progress: bool,
) -> EarlyExitNetwork:
    """An INT8 early-exit network: loaded if it is recorded, else fine-tuned and recorded."""
    path = folder / f"{variant}.safetensors"
    if path.is_file():
        return _known_int8(path, ann, INT8[variant]["timesteps"])
    prepared = quantize_aware(convert(ann, **INT8[variant]))
    step = "qat" if variant == "qdsnn" else f"qat-{variant}"
    checkpoint = folder / f"{step}.pt"
    curve = train(
        prepared, splits.train, splits.validation, profile.qat, seed, checkpoint, progress
    )
    network = to_int8(prepared)
    scores = {"fake": accuracy(prepared, splits.test), "int8": accuracy(network, splits.test)}
    _note_training(folder, step, profile.qat, curve)
    _note_training(folder, "int8_test_accuracy" + step.removeprefix("qat"), None, scores)
    save_int8(network, path)
    return network


def _known_int8(path: Path, ann: EarlyExitNetwork, timesteps: int) -> EarlyExitNetwork:
    """A recorded INT8 network, if it can have been made of this ANN."""
    network = load_int8(path)
    found = (network.name, network.exits, network.timesteps)
    expected = (ann.name, ann.exits, timesteps)
    if found != expected:
        raise ExperimentError(
            "{} holds {} with {} exits at T={}, expected {} with {} at T={}; move it away".format(
                path, *found, *expected
            )
        )
    return network


def _claim(folder: Path, images: data.Images) -> None:
    """Note what a run trains on before it starts; refuse a folder that holds another run."""
    notes, now = _notes(folder), {"data": images.provenance, "train_images": len(images)}
    found = {key: notes.get(key, value) for key, value in now.items()}
    if found != now:
        raise ExperimentError(
            f"{folder} holds a run on {found['train_images']} training images of "
            f"'{found['data']}', now there are {len(images)} of '{images.provenance}'; "
            "move the results away or choose another --out"
        )
    if notes != notes | now:
        write_json(folder / "training.json", notes | now)


def _notes(folder: Path) -> dict:
    """What training.json holds so far; raises `ValueError` if it is damaged."""
    path = folder / "training.json"
    return read_json(path) if path.is_file() else {}


def _save_weights(network: nn.Module, path: Path) -> None:
    """Write weights as safetensors, whole or not at all."""
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    write_whole(path, save(state))


def _note_training(folder: Path, step: str, recipe: Recipe | None, found: list | dict) -> None:
    """Add what a step of training gave to training.json."""
    notes = _notes(folder) | {"torch": torch.__version__, step: found}
    if recipe:
        notes[f"{step}_recipe"] = asdict(recipe)
    write_json(folder / "training.json", notes)


def _record(
    variant: str,
    network: EarlyExitNetwork,
    splits: data.Splits,
    seed: int,
    folder: Path,
    progress: bool,
    recorder: Callable[..., ExitTrace] | None = None,
) -> None:
    """Record a variant's trace, where it is not recorded yet, by `record` or another `recorder`.

    Validation images are for choosing when to leave: a variant with one exit needs none.
    """
    recorder = recorder or partial(record, variant=variant)
    for split in SPLITS if variant in DYNAMIC else ("test",):
        path = folder / f"{variant}-{split}.npz"
        images: data.Images = getattr(splits, split)
        if path.is_file():
            found = load_trace(path)
            if found.measured_on.data != images.provenance or found.samples != len(images):
                raise ExperimentError(
                    f"{path} was recorded on {found.samples} images of "
                    f"'{found.measured_on.data}', now there are {len(images)} of "
                    f"'{images.provenance}'; move the results away or choose another --out"
                )
            continue
        batch_size = max(10, 1000 // network.timesteps)
        trace = recorder(network, images, seed=seed, batch_size=batch_size, progress=progress)
        save_trace(trace, path)


def _record_leaving_in_time(splits: data.Splits, folder: Path, progress: bool) -> None:
    """Record how the INT8 network of a seed leaves in time, and in depth and time (chapter 6)."""
    network = load_int8(folder / "qdsnn.safetensors")
    for source, criterion, order in IN_TIME:
        how = {"criterion": criterion, "order": order}
        variant = temporal_variant(source, **how)
        recorder = partial(record_temporal, variant=source, **how)
        _record(variant, network, splits, 0, folder, progress, recorder)


def _compare_conversions(
    ann: EarlyExitNetwork, splits: data.Splits, count: int, path: Path
) -> None:
    """Accuracy against T for each way to convert, on `count` test images; to a JSON file."""
    if path.is_file():
        return
    images, calibration = splits.test.take(count), splits.train.floats(slice(0, 500))
    ways = {
        "weight copy": {"threshold": "copy"},
        "percentile balancing": {"threshold": "percentile"},
        "clip-floor-shift": {"threshold": "clip-floor-shift"},
        "clip-floor-shift, beta 0.95": {"threshold": "clip-floor-shift", "beta": 0.95},
        "clip-floor-shift, rate-coded": {"threshold": "clip-floor-shift", "encoding": "rate"},
    }
    methods: dict[str, dict[int, float]] = {}
    for way, settings in ways.items():
        methods[way] = {}
        for timesteps in CONVERSION_TIMESTEPS:
            snn = convert(ann, calibration, timesteps, **settings).without_exits()
            batch_size = max(5, 1000 // timesteps)
            methods[way][timesteps] = accuracy(snn, images, batch_size)[0]
    write_json(
        path,
        {
            "experiment": path.parent.name,
            "seed": 0,
            "data": images.provenance,
            "images": len(images),
            "ann_accuracy": accuracy(ann, images)[-1],
            "methods": methods,
        },
    )
