"""Whether recorded results are what they say: every file by its hash, samples by their weights."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sparq_utils import data
from sparq_utils.experiments import EXPERIMENTS, Experiment
from sparq_utils.files import read_json
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.pipeline.steps import describe
from sparq_utils.pipeline.variants import load_trained, made_of, recorder_of, weights_file
from sparq_utils.results.files import results_dir, seed_folders
from sparq_utils.results.manifest import (
    CONVERSIONS,
    MANIFEST,
    NOTES,
    PENALTIES,
    TRAININGS,
    WEIGHTS,
    Manifest,
    ResultsError,
    read_manifest,
    recorded_names,
    sha256,
)
from sparq_utils.traces.trace import ExitTrace, load_trace

SAMPLES = 40
"""Images of each trace that are run again, the first ones."""


@dataclass(frozen=True)
class Finding:
    """What was found out about something recorded; `holds` is None where it cannot be tried."""

    what: str
    holds: bool | None
    told: str


def verify(root: str | Path | None = None) -> Iterator[Finding]:
    """Check every recorded seed: its files against the manifest, its traces against its weights.

    The first images of each trace are run again, where weights and data are at hand. Raises
    `ResultsError` if nothing is recorded.
    """
    root = Path(root) if root else results_dir()
    folders = _folders(root)
    if not folders:
        raise ResultsError(f"no results in {root}; 'python -m sparq_utils run' records them")
    splits: dict[str, data.Splits | data.DataError] = {}
    for folder in folders:
        what = f"{folder.parent.name}/{folder.name}"
        try:
            manifest = read_manifest(folder)
            if manifest is None:
                raise ResultsError(f"{folder} has no manifest: 'python -m sparq_utils bind' it")
            experiment = _experiment(folder)
        except (ResultsError, ValueError) as error:
            yield Finding(what, False, str(error))
            continue
        yield from _files(manifest, what)
        if experiment.data not in splits:
            splits[experiment.data] = _load(experiment.data)
        found = splits[experiment.data]
        if isinstance(found, data.DataError):
            yield Finding(f"{what} traces", None, f"not run again: {found}")
        else:
            yield from _traces(manifest, experiment, found, what)


def _folders(root: Path) -> list[Path]:
    """Every experiment's folders of seeds, in order."""
    return [folder for name in sorted(EXPERIMENTS) for folder in seed_folders(root / name)]


def unbound() -> list[Path]:
    """The recorded seeds' folders that have no manifest."""
    return [folder for folder in _folders(results_dir()) if read_manifest(folder) is None]


def _experiment(folder: Path) -> Experiment:
    """The experiment that a seed's folder belongs to, by its name."""
    if folder.parent.name not in EXPERIMENTS:
        raise ResultsError(
            f"{folder} is in no experiment's folder; name one like results/mlp-mnist/seed-0"
        )
    return EXPERIMENTS[folder.parent.name]


def _load(name: str) -> data.Splits | data.DataError:
    try:
        return data.load(name)
    except data.DataError as error:
        return error


def _files(manifest: Manifest, what: str) -> Iterator[Finding]:
    """Every file's hash; what is missing; what is there and belongs to no run."""
    missing = manifest.missing()
    lost = [name for name in missing if name not in WEIGHTS]
    for name in lost:
        yield Finding(f"{what}/{name}", False, f"not here, though {MANIFEST} names it; put it back")
    wrong = len(lost)
    for name in sorted({*manifest.files, *recorded_names(manifest.folder)}):
        try:
            manifest.check(name)
        except ResultsError as error:
            wrong += 1
            yield Finding(f"{what}/{name}", False, str(error))
    if not wrong:
        same = len(manifest.files) - len(missing)
        yield Finding(what, True, f"{same} files are those of the manifest")
    traces = {n: weights_file(_named_after(n)[0]) for n in manifest.files if n.endswith(".npz")}
    absent = [name for name in WEIGHTS if not (manifest.folder / name).is_file()]
    without = [weights for weights in traces.values() if weights in absent]
    if gone := [name for name in absent if name in missing or name in without]:
        known = "known to be missing here" if set(gone) <= set(missing) else "not here"
        yield Finding(
            what, None, f"{' and '.join(gone)}: {known}, so {len(without)} of {len(traces)} traces "
            "are not run again",
        )  # fmt: skip


def _named_after(name: str) -> tuple[str, str]:
    """Variant and split of a trace's file, such as "qdsnn" and "test" of "qdsnn-test.npz"."""
    variant, _, split = name.removesuffix(".npz").rpartition("-")
    return variant, split


def _traces(
    manifest: Manifest, experiment: Experiment, splits: data.Splits, what: str
) -> Iterator[Finding]:
    """The first images of every trace, run again."""
    taken = data.Splits(
        *(
            images.take(manifest.data.get(images.split, {}).get("images"))
            for images in (splits.train, splits.validation, splits.test)
        )
    )
    if (now := describe(taken)) != manifest.data:
        names = [part.get("name") for part in manifest.data.values()]
        yield Finding(
            f"{what} traces", None,
            f"not run again: recorded on {names[0]!r}, not the {now['train']['name']!r} here",
        )  # fmt: skip
        return
    here = [name for name in manifest.files if (manifest.folder / name).is_file()]
    for name, holds, told in rerun(manifest, experiment, taken, here):
        yield Finding(f"{what}/{name}", holds, told)


def rerun(
    manifest: Manifest, experiment: Experiment, splits: data.Splits, names: Iterable[str]
) -> Iterator[tuple[str, bool, str]]:
    """Whether each trace says of its first images what its weights say now, and how nearly.

    Traces whose weights are not there are passed over. Weights are read once for all their
    traces.
    """
    traces = sorted(name for name in names if name.endswith(".npz"))
    for weights in WEIGHTS:
        path = manifest.folder / weights
        made = [name for name in traces if weights_file(_named_after(name)[0]) == weights]
        if not made or not path.is_file():
            continue
        try:
            trained = load_trained(path, experiment, manifest.recipe["levels"])
        except (ValueError, LookupError, RuntimeError, OSError) as error:
            yield from ((name, False, str(error)) for name in made)
            continue
        for name in made:
            images = getattr(splits, _named_after(name)[1])
            yield name, *_rerun(manifest.folder / name, trained, images, manifest.seed)


def _rerun(
    path: Path, trained: EarlyExitNetwork, images: data.Images, seed: int
) -> tuple[bool, str]:
    """Whether one trace agrees with the network that its weights give."""
    variant, _ = _named_after(path.name)
    try:
        recorded = load_trace(path)
        network = made_of(trained, variant)
    except (ValueError, LookupError, RuntimeError, OSError) as error:
        return False, str(error)
    recorder = recorder_of(variant, network.timesteps)
    # rate coding draws by the batch
    count = recorder.keywords["batch_size"] if variant == "snn-rate" else SAMPLES
    return _agrees(recorded, recorder(network, images.take(count), seed=seed))


def _agrees(recorded: ExitTrace, found: ExitTrace) -> tuple[bool, str]:
    """Whether a trace of the first images agrees with the recorded one, and how nearly.

    On another processor sums of floats are rounded in another order, and a few spikes differ.
    """
    if recorded.exits != found.exits:
        return False, f"{recorded.exits} exits recorded, {found.exits} found"
    count = found.samples
    if (recorded.labels[:count] != found.labels).any():
        return False, "the labels are of other images"
    answers = (recorded.prediction[:, :count] == found.prediction).mean()
    distance = np.abs(recorded.confidence[:, :count] - found.confidence)
    totals = ((_total(found, n, count), _total(recorded, n, count)) for n in recorded.counts)
    off = max((np.abs(now - then) / np.maximum(then, 1)).max() for now, then in totals)
    if answers == 1 and not distance.any() and not off:
        return True, f"{count} images run again: equal"
    holds = answers >= 0.95 and np.median(distance) < 1e-3 and off < 0.01
    return bool(holds), (
        f"{count} images run again: {answers:.1%} of the answers are equal, confidences differ by "
        f"{np.median(distance):.1g} in the median, counts by at most {off:.2%}"
    )


def _total(trace: ExitTrace, name: str, count: int) -> np.ndarray:
    """A count's sum over the first images, [exits]."""
    return trace.count(name)[:, :count].sum(1)


def bind(folder: str | Path) -> Manifest:
    """Write the manifest of a seed that was recorded without one, once it is seen to be one run.

    Its recipe and training images come from training.json. Raises `ResultsError` where there is a
    manifest already, or where a file is of something else or does not come from its weights.
    """
    folder = Path(folder).resolve()
    experiment = _experiment(folder)
    if not folder.is_dir() or read_manifest(folder):
        raise ResultsError(f"{folder} has a manifest or is not there: nothing to bind")
    notes = read_json(folder / NOTES)
    if lacking := {"train_images", "torch", "ann_recipe", "qat_recipe"} - set(notes):
        raise ResultsError(f"{folder / NOTES} does not say {', '.join(sorted(lacking))}")
    names = recorded_names(folder)
    traces = {name: load_trace(folder / name) for name in names if name.endswith(".npz")}
    samples = {trace.measured_on.split: trace.samples for trace in traces.values()}
    splits = data.load(experiment.data)
    splits = data.Splits(
        splits.train.take(notes["train_images"]),
        splits.validation.take(samples.get("validation")),
        splits.test.take(samples.get("test")),
    )
    seed = folder.name.removeprefix("seed-")
    if not seed.isdecimal():
        raise ResultsError(f"{folder} is named like no seed; expected seed-0, seed-1, ...")
    levels = experiment.profiles["full"].levels
    known = {one.recipe: f"{one.step}_recipe" for one in reversed(TRAININGS.values())}
    recipe = {"levels": levels} | {name: notes[k] for name, k in known.items() if k in notes}
    manifest = Manifest(folder, experiment.name, int(seed), recipe, describe(splits), {})
    for name, trace in traces.items():
        on = trace.measured_on
        found = (on.network, f"{on.variant}-{on.split}.npz", on.seed, on.data, trace.samples)
        images = getattr(splits, on.split)
        provenance = images.provenance
        if found != (experiment.network, name, manifest.seed, provenance, len(images)):
            raise ResultsError(f"{folder / name} is a trace of {found}: it belongs elsewhere")
    for name, holds, told in rerun(manifest, experiment, splits, traces):
        if not holds:
            raise ResultsError(f"{folder / name} does not come from its weights: {told}")
    for name in (*names, NOTES, *((CONVERSIONS, PENALTIES) if manifest.seed == 0 else ())):
        if (folder / name).is_file():
            on = traces[name].measured_on if name in traces else None
            where = f"{on.hardware}, {on.provenance}" if on else f"torch {notes['torch']}"
            manifest.files[name] = {"sha256": "", "made_on": where}
    for name, entry in manifest.files.items():
        entry["sha256"] = sha256(folder / name)
    manifest.save()
    return manifest
