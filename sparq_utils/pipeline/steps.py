"""The experiments, from data to recorded traces, in steps that can be resumed.

For each seed: train the dynamic ANN (all exits jointly), convert it to a spiking network at T=32,
fine-tune its T=4 conversion with INT8 fake quantisation and surrogate gradients, turn that into
real INT8 kernels, do the same with its opponent (an ANN whose activations have as many levels as
that network has timesteps), fine-tune the INT8 network once more with a penalty on its spikes, and
record a trace of every variant on test images (and, where there are exits to choose, on validation
images). For the first seed, also compare ways to convert and penalties on spikes, and record how
the INT8 network leaves in time.

What was trained is saved and loaded again before anything is recorded with it, so a run that was
stopped anywhere ends with the same files as one that was not. A manifest binds them together
(:mod:`sparq_utils.results.manifest`).

Where a launcher started several processes they train together and share out the images to record;
the main process alone writes, into a folder that all of them see.
"""

import hashlib
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from sparq_utils import data
from sparq_utils.experiments import Experiment, Profile, find
from sparq_utils.files import cache_dir, lock, write_whole
from sparq_utils.networks.int8 import save_int8
from sparq_utils.networks.machine import made_on
from sparq_utils.networks.processes import all_processes
from sparq_utils.networks.quantization import to_int8
from sparq_utils.networks.recipe import Recipe
from sparq_utils.networks.scoring import accuracy
from sparq_utils.pipeline.first_seed import compare_conversions, compare_penalties
from sparq_utils.pipeline.seed import Seed, plain
from sparq_utils.pipeline.variants import (
    IN_TIME,
    INT8,
    SPARSE,
    network_of,
    recorder_of,
    variants,
    weights_file,
)
from sparq_utils.results.files import DYNAMIC, SPLITS, results_dir
from sparq_utils.results.manifest import NOTES, TRAININGS, Manifest, open_run
from sparq_utils.traces.trace import save_trace


def run(
    name: str,
    profile: str = "full",
    seeds: int = 3,
    out: str | Path | None = None,
    progress: bool = True,
    only: str | None = None,
) -> Path:
    """Run an experiment for seeds 0, 1, ...; the folder with its results.

    The `full` profile writes to the recorded results, the others to the user's cache, unless
    `out` names another folder. With `only` one variant alone is trained and recorded, from the
    weights that are there. Raises `ValueError` for an unknown experiment, profile or variant or no
    seeds, `FolderInUseError` where another process is at it, and as :func:`run_seed` does.
    """
    experiment, chosen = find(name, profile)
    if only is not None and only not in (known := variants(experiment)):
        raise ValueError(f"unknown variant '{only}'; choose one of {', '.join(known)}")
    if seeds < 1:
        raise ValueError(f"{seeds} seeds: need at least 1")
    if out is None:
        out = results_dir() if profile == "full" else cache_dir() / "runs" / profile
    folder = Path(out) / name
    processes = all_processes()
    with processes.main_process_first():  # who may download
        splits = data.load(experiment.data)
    progress = progress and processes.is_main_process
    with lock(folder) if processes.is_main_process else nullcontext():
        for seed in range(seeds):
            here = folder / f"seed-{seed}"
            run_seed(experiment, chosen, splits, seed, here, progress, only)
    return folder


def run_seed(
    experiment: Experiment,
    profile: Profile,
    splits: data.Splits,
    seed: int,
    folder: Path,
    progress: bool = True,
    only: str | None = None,
) -> None:
    """Train, convert, fine-tune and record one seed of an experiment, or what of it is not there.

    With `only`, a variant, of it that alone. Raises `ResultsError` or `ExperimentError`, and leaves
    everything as it was, where the folder holds another run, or a file that is damaged or of
    another network; `FileNotFoundError` where `only` lacks weights to start from.
    """
    splits, wanted = profile.take(splits), variants(experiment) if only is None else [only]
    trained = {weights_file(variant) for variant in wanted}
    for variant in ("dynamic-ann", *INT8):  # weights are to be of this network, before all else
        if (folder / weights_file(variant)).is_file():
            network_of(variant, experiment, folder, profile.levels)
    recipes = {name: plain(getattr(profile, name)) for name in ("ann", "qat", "silence")}
    about = (experiment.name, seed, {"levels": profile.levels} | recipes, describe(splits))
    processes = all_processes()
    if processes.is_main_process:
        manifest = open_run(folder, *about, plain(Recipe(1)), trained)
    else:
        manifest = Manifest(folder, *about, {})
    run = Seed(experiment, profile, splits, seed, manifest, processes, progress)
    run.note(data=splits.train.provenance, train_images=len(splits.train))
    for name in TRAININGS:
        if f"{name}.safetensors" in trained:
            _train(run, name)
    for variant in (*wanted, *(IN_TIME if seed == 0 and only is None else ())):
        _record(run, variant)
    if seed == 0 and profile.conversions and only is None:
        compare_conversions(run)
    if seed == 0 and profile.penalties and SPARSE in wanted:
        compare_penalties(run)
    if processes.is_main_process and NOTES not in manifest.files:
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


def _train(run: Seed, name: str) -> None:
    """Train the weights `name`, in eight bits but for the ANN's, unless they are there."""
    path, training = run.folder / f"{name}.safetensors", TRAININGS[name]
    if path.is_file():
        return
    recipe = getattr(run.profile, training.recipe)
    network, curve = run.trained(name, recipe, training.checkpoint)
    found = {training.step: curve, f"{training.step}_recipe": plain(recipe)}
    save = partial(_save_weights, network)
    if name != "ann":
        int8 = to_int8(network)
        save = partial(save_int8, int8)
        kinds = {"fake": network, "int8": int8}
        scores = {
            kind: accuracy(one, run.splits.test, processes=run.processes)
            for kind, one in kinds.items()
        }
        found["int8_test_accuracy" + training.step.removeprefix("qat")] = scores
    run.note(torch=torch.__version__, **found)
    run.keep(path.name, save, network)


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
            trace = run.recorded(recorder, network, images)
            run.keep(name, partial(save_trace, trace), network)
