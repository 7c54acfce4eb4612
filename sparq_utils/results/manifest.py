"""A recorded run is one thing: its recipe, its data and every file, bound by SHA-256.

`manifest.json` in a seed's folder says what the run was made of and which files are its own. It
is written before a file appears, so what is there and not in it, or is another file than it says,
is of another run, however a run was interrupted. What it names and is not there is known to be
missing (AlexNet's floating-point weights are too large to be kept with the book).
"""

import hashlib
import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sparq_utils.files import read_json, write_json

MANIFEST, NOTES = "manifest.json", "training.json"
"""The manifest, and what training gave (bound last, as it grows)."""

CONVERSIONS, PENALTIES = "../conversion.json", "../silence.json"
"""What the first seed alone compares: ways to convert, and penalties on spikes."""


class Training(NamedTuple):
    """How weights come about: the `step` of training, its `recipe`, the weights it starts from."""

    step: str
    recipe: str
    source: str | None

    @property
    def checkpoint(self) -> str:
        """The file that the training goes on from."""
        return f"{self.step}.pt"


TRAININGS = {
    "ann": Training("ann", "ann", None),
    "qdsnn": Training("qat", "qat", "ann"),
    "qdann": Training("qat-qdann", "qat", "ann"),
    "qdsnn-sparse": Training("qat-qdsnn-sparse", "silence", "qdsnn"),
}
"""The weights of a run by name (`<name>.safetensors`), in the order in which they are trained."""

WEIGHTS = {f"{name}.safetensors": training for name, training in TRAININGS.items()}
"""The same by file."""


class ResultsError(LookupError):
    """Results that were asked for and are not recorded, or do not belong together."""


@dataclass
class Manifest:
    """What a run is made of, and the SHA-256 of each of its files.

    `recipe` and `data` are plain types that JSON holds; `files` has, for each name, its `sha256`
    and what it was `made_on`.
    """

    folder: Path
    experiment: str
    seed: int
    recipe: dict
    data: dict
    files: dict[str, dict[str, str]]

    def save(self) -> None:
        """Write it into its folder."""
        keys = ("experiment", "seed", "recipe", "data", "files")
        write_json(self.folder / MANIFEST, {key: getattr(self, key) for key in keys})

    def keep(self, name: str, save: Callable[[Path], object], made_on: str) -> None:
        """Let `save` write a new file, and bind it before it appears under its name.

        Raises :class:`ResultsError`, and writes nothing, where the manifest names another file.
        """
        path = self.folder / name
        staged = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            save(staged)
            found = sha256(staged)
            bound = self.files.setdefault(name, {"sha256": found, "made_on": made_on})
            if bound["sha256"] != found:
                raise ResultsError(
                    f"{path} came out unlike what {MANIFEST} names (made on {bound['made_on']}, "
                    f"now on {made_on}); nothing was written; run into a new folder, with --out"
                )
            self.save()
            staged.replace(path)
        finally:
            staged.unlink(missing_ok=True)

    def bind(self, name: str, made_on: str) -> None:
        """Take up a file that is there, as it is."""
        self.files[name] = {"sha256": sha256(self.folder / name), "made_on": made_on}
        self.save()

    def check(self, name: str) -> None:
        """Raise :class:`ResultsError` if a file is there that is not the run's own."""
        path = self.folder / name
        if not path.is_file():
            return
        if name not in self.files:
            raise ResultsError(
                f"{path} is not in {MANIFEST}: it does not belong to this run; move it away"
            )
        if sha256(path) != self.files[name]["sha256"]:
            raise ResultsError(
                f"{path} is another file than the one recorded (SHA-256 in {MANIFEST}); put the "
                "recorded one back or move the folder away"
            )

    def check_all(self, trained: Collection[str] = WEIGHTS) -> None:
        """Check every file there is, listed or not, and that lost weights can be made again.

        That goes for the weights in `trained`; others are not going to be made.
        """
        for name in sorted({*self.files, *recorded_names(self.folder)}):
            self.check(name)
        for name in self.missing():
            made_of_it = {f for f in self.files if f.endswith(".npz")}
            made_of_it |= {f for f, one in WEIGHTS.items() if one.source == Path(name).stem}
            if name not in trained or not made_of_it & set(self.files):
                continue
            if not (self.folder / WEIGHTS[name].checkpoint).is_file():
                raise ResultsError(
                    f"{self.folder / name} is not here, and others would not belong to the traces "
                    f"beside it: put it back (SHA-256 {self.files[name]['sha256']}), or run into a "
                    "new folder, with --out"
                )

    def missing(self) -> list[str]:
        """The run's files that are not here."""
        return [name for name in self.files if not (self.folder / name).is_file()]


def recorded_names(folder: Path) -> list[str]:
    """The weights and traces in a folder, whoever they belong to."""
    return [path.name for path in folder.iterdir() if path.suffix in (".npz", ".safetensors")]


def sha256(path: Path) -> str:
    """A file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest in a folder, or None; raises `ValueError` if it is damaged."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    found = read_json(path)
    kinds = {"experiment": str, "seed": int, "recipe": dict, "data": dict, "files": dict}
    problem = None
    if {key: type(value) for key, value in found.items()} != kinds:
        problem = f"expected {', '.join(kinds)}"
    elif not all(_is_entry(name, entry) for name, entry in found["files"].items()):
        problem = "files are names with their sha256 and made_on"
    elif not all(isinstance(part, dict) for part in found["data"].values()):
        problem = "data are splits with their name, images and sha256"
    if problem:
        raise ValueError(f"{path} is damaged ({problem}); move it away")
    return Manifest(folder, **found)


def _is_entry(name: str, entry: object) -> bool:
    """Whether the manifest may say this of a file of this name."""
    return (
        (
            name in (CONVERSIONS, PENALTIES)
            or re.fullmatch(r"[\w-]+\.(npz|safetensors|json)", name) is not None
        )
        and isinstance(entry, dict)
        and {key: type(value) for key, value in entry.items()} == {"sha256": str, "made_on": str}
        and re.fullmatch("[0-9a-f]{64}", entry["sha256"]) is not None
    )


def open_run(
    folder: Path,
    experiment: str,
    seed: int,
    recipe: dict,
    data: dict,
    defaults: dict,
    trained: Collection[str] = WEIGHTS,
) -> Manifest:
    """The manifest of a run that begins in a folder, or goes on; refuses what does not belong.

    `recipe` has the fields of each training ("ann", "qat", "silence"), of which older recordings
    may lack some: `defaults` are what those did. `trained` are the weights it is to make, if they
    are not there. Weights that were trained elsewhere are taken up if their
    training.json names this recipe and these data; traces without a manifest are not. Raises
    :class:`ResultsError`, `ValueError` for a damaged file, and leaves everything as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = read_manifest(folder)
    if found is None:
        found = Manifest(folder, experiment, seed, recipe, data, {})
        names = recorded_names(folder)
        if odd := sorted(set(names) - set(WEIGHTS)):
            raise ResultsError(
                f"{folder} holds {odd[0]} and no {MANIFEST} that says what it belongs to; choose "
                f"another --out, move it away, or 'python -m sparq_utils bind {folder}'"
            )
        _check_notes(folder, recipe, data, [name for name in WEIGHTS if name in names], defaults)
        found.save()
        for name in names:
            found.bind(name, "not recorded")
        return found
    now = {"experiment": experiment, "seed": seed, "recipe": recipe, "data": data}
    for what, value in now.items():
        _check_same(folder, what, getattr(found, what), value, defaults)
    found.check_all(trained)
    found.recipe, found.data = recipe, data
    return found


def _check_notes(
    folder: Path, recipe: dict, data: dict, weights: list[str], defaults: dict
) -> None:
    """That training.json, and weights without a manifest, are of this recipe and these data."""
    path = folder / NOTES
    notes = read_json(path) if path.is_file() else {}
    now = {"data": data["train"]["name"], "train_images": data["train"]["images"]}
    for name in weights:  # they must say what they are of
        now[f"{WEIGHTS[name].step}_recipe"] = recipe[WEIGHTS[name].recipe]
    for key, value in now.items():
        if weights and key not in notes:
            raise ResultsError(
                f"{folder / weights[0]} is there, but {path.name} does not say of which '{key}'; "
                "move it away or choose another --out"
            )
        _check_same(folder, key, notes.get(key, value), value, defaults)


def _check_same(folder: Path, what: str, recorded: object, now: object, defaults: dict) -> None:
    """Raise :class:`ResultsError` that names what differs; parts that only `now` has are new."""
    if isinstance(recorded, dict) and isinstance(now, dict):
        if "epochs" in now:
            recorded = defaults | recorded
        for key, value in recorded.items():
            _check_same(folder, f"{what}.{key}", value, now.get(key), defaults)
    elif recorded != now:
        raise ResultsError(
            f"{folder} holds another run: its {what} is {recorded!r}, now it is {now!r}; move the "
            "results away or choose another --out"
        )
