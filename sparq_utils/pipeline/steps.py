"""The experiments, from data to recorded traces, in steps that can be resumed.

For each seed: train the dynamic ANN (all exits jointly), convert it to a spiking network at T=32,
fine-tune its T=4 conversion with INT8 fake quantisation and surrogate gradients, turn that into
real INT8 kernels, do the same with its opponent (an ANN whose activations have as many levels as
that network has timesteps), and record a trace of every variant on test images (and, where there
are exits to choose, on validation images). For the first seed, also compare ways to convert, and
record how the INT8 network leaves in time.

What was trained is saved and loaded again before anything is recorded with it, so a run that was
stopped anywhere ends with the same files as one that was not. A manifest binds them together
(:mod:`sparq_utils.results.manifest`).
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from sparq_utils import data
from sparq_utils.experiments import Experiment, Profile, find
from sparq_utils.files import cache_dir, lock, read_json, write_json, write_whole
from sparq_utils.networks.conversion import convert
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.int8 import save_int8
from sparq_utils.networks.machine import made_on
from sparq_utils.networks.quantization import quantize_aware, to_int8
from sparq_utils.networks.training import Recipe, accuracy, train
from sparq_utils.pipeline.variants import (
    IN_TIME,
    INT8,
    load_ann,
    network_of,
    new_network,
    recorder_of,
    variants,
    weights_file,
)
from sparq_utils.results.files import DYNAMIC, SPLITS, results_dir
from sparq_utils.results.manifest import CHECKPOINTS, CONVERSIONS, NOTES, Manifest, open_run
from sparq_utils.traces.trace import save_trace

CONVERSION_TIMESTEPS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Seed:
    """One seed of an experiment on its images: what its steps share."""

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
    seeds, `FolderInUseError` where another process is at it, and as :func:`run_seed` does.
    """
    experiment, chosen = find(name, profile)
    if seeds < 1:
        raise ValueError(f"{seeds} seeds: need at least 1")
    if out is None:
        out = results_dir() if profile == "full" else cache_dir() / "runs" / profile
    folder = Path(out) / name
    splits = data.load(experiment.data)
    with lock(folder):
        for seed in range(seeds):
            run_seed(experiment, chosen, splits, seed, folder / f"seed-{seed}", progress)
    return folder


def run_seed(
    experiment: Experiment,
    profile: Profile,
    splits: data.Splits,
    seed: int,
    folder: Path,
    progress: bool = True,
) -> None:
    """Train, convert, fine-tune and record one seed of an experiment, or what of it is not there.

    Raises `ResultsError` or `ExperimentError`, and leaves everything as it was, where the folder
    holds another run, or a file that is damaged or of another network.
    """
    splits = profile.take(splits)
    for variant in ("dynamic-ann", *INT8):  # weights are to be of this network, before all else
        if (folder / weights_file(variant)).is_file():
            network_of(variant, experiment, folder, profile.levels)
    recipe = {"levels": profile.levels, "ann": _plain(profile.ann), "qat": _plain(profile.qat)}
    described = describe(splits)
    manifest = open_run(folder, experiment.name, seed, recipe, described, _plain(Recipe(1)))
    run = Seed(experiment, profile, splits, seed, manifest, progress)
    _note(run, data=splits.train.provenance, train_images=len(splits.train))
    _train_ann(run)
    for variant in INT8:
        _train_int8(run, variant)
    for variant in (*variants(experiment), *(IN_TIME if seed == 0 else ())):
        _record(run, variant)
    if seed == 0 and profile.conversions:
        _compare_conversions(run)
    if NOTES not in manifest.files:
        manifest.bind(NOTES, made_on())


def describe(splits: data.Splits) -> dict:
    """Each split's name, number of images and SHA-256 of its pixels and labels."""
    return {
        images.split: {
            "name": images.provenance,
            "images": len(images),
            "sha256": _digest(images.pixels, images.labels),
        }
        for images in (splits.train, splits.validation, splits.test)
    }


def _digest(*tensors: torch.Tensor) -> str:
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.contiguous().numpy())
    return found.hexdigest()


def _plain(recipe: Recipe) -> dict:
    """A recipe as JSON gives it back."""
    return json.loads(json.dumps(asdict(recipe)))


def _train_ann(run: Seed) -> None:
    """Train the dynamic ANN of all exits, unless its weights are there."""
    if (run.folder / "ann.safetensors").is_file():
        return
    network = new_network(run.experiment, run.profile.levels, run.seed)
    curve = _train(run, network, run.profile.ann, CHECKPOINTS["ann"])
    _note(run, torch=torch.__version__, ann=curve, ann_recipe=_plain(run.profile.ann))
    run.manifest.keep("ann.safetensors", partial(_save_weights, network), made_on(network))


def _train_int8(run: Seed, variant: str) -> None:
    """Fine-tune an INT8 network with early exits, unless its weights are there."""
    path = run.folder / f"{variant}.safetensors"
    if path.is_file():
        return
    ann = load_ann(run.folder / "ann.safetensors", run.experiment, run.profile.levels)
    prepared = quantize_aware(convert(ann, **INT8[variant]))
    step = CHECKPOINTS[variant].removesuffix(".pt")
    curve = _train(run, prepared, run.profile.qat, CHECKPOINTS[variant])
    scores = {
        "fake": accuracy(prepared, run.splits.test),
        "int8": accuracy(to_int8(prepared), run.splits.test),
    }
    accuracies = "int8_test_accuracy" + step.removeprefix("qat")
    found = {step: curve, f"{step}_recipe": _plain(run.profile.qat), accuracies: scores}
    _note(run, torch=torch.__version__, **found)
    run.manifest.keep(path.name, partial(save_int8, to_int8(prepared)), made_on(prepared))


def _train(run: Seed, network: EarlyExitNetwork, recipe: Recipe, checkpoint: str) -> list[dict]:
    train_on, validate_on = run.splits.train, run.splits.validation
    path = run.folder / checkpoint
    return train(network, train_on, validate_on, recipe, run.seed, path, run.progress)


def _note(run: Seed, **found: object) -> None:
    """Add to training.json what a step of training gave."""
    path = run.folder / NOTES
    notes = read_json(path) if path.is_file() else {}
    now = notes | found
    if now != notes:
        run.manifest.files.pop(NOTES, None)  # it is bound anew at the end
        run.manifest.save()
        write_json(path, now)


def _save_weights(network: nn.Module, path: Path) -> None:
    """Write weights as safetensors, whole or not at all, each tensor in its usual layout."""
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    write_whole(path, save(state))


def _record(run: Seed, variant: str) -> None:
    """Record a variant's traces that are not there.

    Validation images are for choosing when to leave: a variant with one exit needs none.
    """
    splits = SPLITS if variant in DYNAMIC else ("test",)
    names = {split: f"{variant}-{split}.npz" for split in splits}
    if all((run.folder / name).is_file() for name in names.values()):
        return
    network = network_of(variant, run.experiment, run.folder, run.profile.levels)
    recorder = recorder_of(variant, network.timesteps)
    for split, name in names.items():
        if not (run.folder / name).is_file():
            images = getattr(run.splits, split)
            trace = recorder(network, images, seed=run.seed, progress=run.progress)
            run.manifest.keep(name, partial(save_trace, trace), made_on(network))


def _compare_conversions(run: Seed) -> None:
    """Accuracy against T for each way to convert, on the first test images; to a JSON file."""
    path = run.folder / CONVERSIONS
    run.manifest.check(CONVERSIONS)
    if path.is_file():
        return
    ann = load_ann(run.folder / "ann.safetensors", run.experiment, run.profile.levels)
    images = run.splits.test.take(run.profile.conversions)
    calibration = run.splits.train.floats(slice(0, 500))
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
    found = {
        "experiment": run.experiment.name,
        "seed": run.seed,
        "data": images.provenance,
        "images": len(images),
        "ann_accuracy": accuracy(ann, images)[-1],
        "methods": methods,
    }
    run.manifest.keep(CONVERSIONS, partial(write_json, content=found), made_on())
