import hashlib
import io
import os
import tarfile
from urllib.error import URLError

import numpy as np
import pytest
import torch

from sparq_utils import data
from sparq_utils.data import DataError
from sparq_utils.experiments import EXPERIMENTS


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """No data folder, an empty cache, and a download that fails without touching the network."""
    monkeypatch.delenv("SPARQ_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def refuse(*_args, **_kwargs):
        raise URLError("no network")

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", refuse)
    monkeypatch.setattr("torchvision.datasets.utils.download_url", refuse)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder, named by the environment."""
    named = tmp_path / "data"
    named.mkdir()
    monkeypatch.setenv("SPARQ_DATA_DIR", str(named))
    return named


def write_mnist(raw, train=90, test=10):
    """Four files in MNIST's format, of random digits; their SHA-256 by name."""
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    hashes = {}
    for name in data.MNIST_FILES:
        count = train if name.startswith("train") else test
        if "images" in name:
            header, shape, high = (2051, count, 28, 28), (count, 28, 28), 256
        else:
            header, shape, high = (2049, count), (count,), 10
        body = rng.integers(0, high, shape, dtype=np.uint8).tobytes()
        content = np.array(header, ">i4").tobytes() + body
        (raw / name).write_bytes(content)
        hashes[name] = hashlib.sha256(content).hexdigest()
    return hashes


@pytest.fixture
def digits(folder, monkeypatch):
    """A tiny MNIST in the data folder, with its own hashes."""
    raw = folder / "MNIST" / "raw"
    monkeypatch.setattr(data, "MNIST_FILES", write_mnist(raw))
    return raw


def test_mnist_is_read_from_the_named_folder(digits):
    splits = data.load("MNIST")
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [80, 10, 10]
    for split, name in [
        (splits.train, "train"), (splits.validation, "validation"), (splits.test, "test")
    ]:  # fmt: skip
        assert (split.name, split.split, split.provenance) == ("MNIST", name, "MNIST")
        assert split.pixels.dtype == torch.uint8 and split.pixels.shape[1:] == (1, 28, 28)
        assert split.labels.dtype == torch.int64
    raw = (digits / "t10k-images-idx3-ubyte").read_bytes()[16:]
    assert splits.test.pixels.numpy().tobytes() == raw


def test_training_and_validation_share_no_image(digits):
    splits = data.load("MNIST")
    train, validation = (
        {p.numpy().tobytes() for p in split.pixels} for split in (splits.train, splits.validation)
    )
    raw = np.frombuffer((digits / "train-images-idx3-ubyte").read_bytes()[16:], np.uint8)
    assert not train & validation
    assert train | validation == {p.tobytes() for p in raw.reshape(-1, 784)}
    again = data.load("MNIST")
    assert torch.equal(again.validation.pixels, splits.validation.pixels)


def test_labels_stay_with_their_images(digits):
    labels = np.frombuffer((digits / "train-labels-idx1-ubyte").read_bytes()[8:], np.uint8)
    raw = np.frombuffer((digits / "train-images-idx3-ubyte").read_bytes()[16:], np.uint8)
    known = {p.tobytes(): int(c) for p, c in zip(raw.reshape(-1, 784), labels, strict=True)}
    validation = data.load("MNIST").validation
    found = [known[p.numpy().tobytes()] for p in validation.pixels]
    assert found == validation.labels.tolist()


def test_a_damaged_file_is_named_with_both_hashes(digits):
    path = digits / "t10k-labels-idx1-ubyte"
    expected = data.MNIST_FILES[path.name]
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(DataError) as caught:
        data.load("MNIST")
    assert all(word in str(caught.value) for word in (str(path), found, expected, "delete it"))


def test_missing_files_are_named(digits):
    (digits / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="lacks train-labels-idx1-ubyte"):
        data.load("MNIST")


@pytest.mark.parametrize("name", ["MNIST", "CIFAR-10"])
def test_a_folder_that_is_none_is_named(name, monkeypatch, tmp_path):
    monkeypatch.setenv("SPARQ_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"SPARQ_DATA_DIR names .*nowhere, which is no folder"):
        data.load(name)


def test_an_unknown_data_set_is_named():
    with pytest.raises(ValueError, match="unknown data set 'SVHN', expected MNIST or CIFAR-10"):
        data.load("SVHN")


def test_without_a_network_a_real_sample_stands_in_and_says_so():
    with pytest.warns(UserWarning, match=r"could not be downloaded .*5,000 digits.*SPARQ_DATA_DIR"):
        splits = data.load("MNIST")
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [4000, 500, 500]
    every = (splits.train, splits.validation, splits.test)
    assert {s.provenance for s in every} == {"MNIST, 5,000-digit sample"}
    everyone = [{p.numpy().tobytes() for p in s.pixels} for s in every]
    assert not (everyone[0] & everyone[1] or everyone[0] & everyone[2] or everyone[1] & everyone[2])
    for split in every:
        assert split.labels.unique().tolist() == list(range(10))
        assert split.pixels.max() == 255 and split.pixels.min() == 0
        assert 0.08 < float(split.floats().mean()) < 0.2  # mostly background, ink is bright


def test_a_download_is_kept_and_checked(monkeypatch, tmp_path):
    raw = tmp_path / "cache" / "sparq_utils" / "MNIST" / "raw"
    monkeypatch.setattr(data, "MNIST_FILES", write_mnist(raw))
    assert data.load("MNIST").test.provenance == "MNIST"  # from the cache: no download, no warning
    (raw / "t10k-images-idx3-ubyte").write_bytes(b"cut off")
    with pytest.raises(DataError, match="SHA-256"):
        data.load("MNIST")


def add(tar, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def write_cifar10(folder, monkeypatch):
    """The six files of CIFAR-10's binary version, of few random photographs; their rows."""
    rows = np.random.default_rng(0).integers(0, 256, (20, 3073), dtype=np.uint8)
    rows[:, 0] = np.arange(20) % 10
    unpacked, hashes = folder / data.CIFAR10_FOLDER, {}
    unpacked.mkdir(parents=True)
    parts = np.split(rows, [4, 8, 12, 16, 18])
    for name, part in zip(data.CIFAR10_FILES, parts, strict=True):
        (unpacked / name).write_bytes(part.tobytes())
        hashes[name] = hashlib.sha256(part.tobytes()).hexdigest()
    monkeypatch.setattr(data, "CIFAR10_FILES", hashes)
    return unpacked, rows


def pack(unpacked, archive):
    """The archive that unpacks to a folder; the folder goes."""
    with tarfile.open(archive, "w:gz") as tar:
        add(tar, f"{data.CIFAR10_FOLDER}/readme.html", b"not an image")
        for path in sorted(unpacked.iterdir(), reverse=True):  # the order in it is free
            add(tar, f"{data.CIFAR10_FOLDER}/{path.name}", path.read_bytes())
            path.unlink()
    unpacked.rmdir()
    return archive


def assert_holds(splits, rows):
    """That CIFAR-10 was read as these rows: 18 to train and validate, 2 to test."""
    assert {s.provenance for s in (splits.train, splits.validation, splits.test)} == {"CIFAR-10"}
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [16, 2, 2]
    assert splits.test.pixels.flatten(1).numpy().tolist() == rows[18:, 1:].tolist()
    assert splits.test.labels.tolist() == [8, 9]
    known = {row[1:].tobytes(): row[0] for row in rows[:18]}
    for split in (splits.train, splits.validation):
        assert split.pixels.dtype == torch.uint8 and split.pixels.shape[1:] == (3, 32, 32)
        found = [known.pop(pixels.numpy().tobytes()) for pixels in split.pixels]
        assert found == split.labels.tolist()
    assert not known


@pytest.mark.parametrize("name", ["CIFAR-10", "cifar10", "CIFAR10", "cifar-10", "cifar_10"])
def test_cifar_is_read_from_the_named_folder(folder, monkeypatch, name):
    _, rows = write_cifar10(folder, monkeypatch)
    assert_holds(data.load(name), rows)
    assert not data.cache_dir().exists()


def test_cifar_is_read_from_the_cache(monkeypatch):
    _, rows = write_cifar10(data.cache_dir(), monkeypatch)
    assert_holds(data.load("CIFAR-10"), rows)


def test_the_official_archive_is_unpacked_once(folder, monkeypatch):
    unpacked, rows = write_cifar10(folder, monkeypatch)
    archive = pack(unpacked, folder / data.CIFAR10_ARCHIVE)
    assert_holds(data.load("CIFAR-10"), rows)
    kept = data.cache_dir() / data.CIFAR10_FOLDER
    assert {path.name for path in kept.iterdir()} == set(data.CIFAR10_FILES)  # nothing beside them
    archive.unlink()
    assert_holds(data.load("CIFAR-10"), rows)


def test_a_download_of_cifar_is_unpacked(tmp_path, monkeypatch):
    unpacked, rows = write_cifar10(tmp_path, monkeypatch)
    archive = pack(unpacked, tmp_path / "there.tar.gz")

    def fetch(url, where):
        assert url == data.CIFAR10_URL
        where.mkdir(parents=True, exist_ok=True)
        (where / data.CIFAR10_ARCHIVE).write_bytes(archive.read_bytes())

    monkeypatch.setattr("torchvision.datasets.utils.download_url", fetch)
    assert_holds(data.load("CIFAR-10"), rows)


def test_a_damaged_photograph_is_refused_with_both_hashes(folder, monkeypatch):
    unpacked, _ = write_cifar10(folder, monkeypatch)
    path = unpacked / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-1])
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(DataError) as caught:
        data.load("CIFAR-10")
    expected = data.CIFAR10_FILES[path.name]
    assert all(word in str(caught.value) for word in (str(path), found, expected, "delete it"))


def test_a_missing_batch_is_named(folder, monkeypatch):
    unpacked, _ = write_cifar10(folder, monkeypatch)
    (unpacked / "test_batch.bin").unlink()
    with pytest.raises(DataError, match=r"lacks test_batch\.bin; complete it or delete it"):
        data.load("CIFAR-10")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_damaged_archive_is_named(folder, monkeypatch, share):
    unpacked, _ = write_cifar10(folder, monkeypatch)
    archive = pack(unpacked, folder / data.CIFAR10_ARCHIVE)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match="is damaged") as caught:
        data.load("CIFAR-10")
    assert str(archive) in str(caught.value)


def test_cifar_without_a_network_says_what_to_do():
    with pytest.raises(DataError, match=r"could not be downloaded .*no network.*SPARQ_DATA_DIR"):
        data.load("CIFAR-10")


def test_nothing_is_downloaded_unasked(monkeypatch):
    def asked(*_given, **_named):
        pytest.fail("a download was asked for")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", asked)
    monkeypatch.setattr("torchvision.datasets.MNIST", asked)
    with pytest.raises(DataError, match="nothing is to be downloaded"):
        data.load("CIFAR-10", download=False)
    with pytest.warns(UserWarning, match="nothing is to be downloaded"):
        data.load("MNIST", download=False)


def test_images_as_floats_and_a_few_of_them(digits):
    images = data.load("MNIST").test
    floats = images.floats()
    assert floats.dtype == torch.float32
    assert torch.equal((floats * 255).round().to(torch.uint8), images.pixels)
    assert torch.equal(images.floats(torch.tensor([3, 1])), floats[[3, 1]])
    few = images.take(4)
    assert len(few) == 4 and (few.name, few.split) == (images.name, images.split)
    assert len(images.take(None)) == len(images)


def test_without_a_home_the_way_out_is_named(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert data.cache_dir().parts[-2:] == (".cache", "sparq_utils")  # not the current folder

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", homeless)
    with pytest.raises(OSError, match=r"no home folder .*XDG_CACHE_HOME"):
        data.cache_dir()


REAL = os.environ.get("SPARQ_DATA_DIR")


@pytest.mark.skipif(not REAL, reason="downloads nothing for a test")
@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_every_profiles_first_images_hold_all_classes(experiment, monkeypatch):
    monkeypatch.setenv("SPARQ_DATA_DIR", REAL)
    try:
        splits = data.load(experiment.data)
    except DataError:
        pytest.skip(f"no {experiment.data} at hand")
    for profile in experiment.profiles.values():
        taken = profile.take(splits)
        for images in (taken.train, taken.validation, taken.test):
            assert images.labels.unique().tolist() == list(range(10))
