import hashlib
import io
import tarfile
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

from sparq_utils import data
from sparq_utils.data import DataError


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


def jpeg(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def add(tar, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


@pytest.fixture
def photographs(monkeypatch):
    """Say how many of the archive's images are for training."""
    monkeypatch.setattr(data, "CIFAR10_TRAIN", 18)


def write_jpeg_archive(folder, monkeypatch):
    path = folder / data.CIFAR10_JPEG[0]
    with tarfile.open(path, "w:xz") as tar:
        add(tar, "./test/ship/0000.jpg", jpeg((0, 0, 250)))  # the order in the archive is free
        for number in range(18):
            label = data.CLASSES["CIFAR-10"][number % 10]
            add(tar, f"./train/{label}/{number:04}.jpg", jpeg((10 * number, 100, 0)))
        add(tar, "./README", b"not an image")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(data, "CIFAR10_JPEG", (path.name, digest))
    return path


def write_binary_archive(folder, monkeypatch):
    rows = np.random.default_rng(0).integers(0, 256, (20, 3073), dtype=np.uint8)
    rows[:, 0] = np.arange(20) % 10
    path = folder / data.CIFAR10_BINARY[0].rsplit("/", 1)[-1]
    names = [f"data_batch_{n}.bin" for n in range(1, 6)] + ["test_batch.bin"]
    sizes = [4, 4, 4, 4, 2, 2]
    with tarfile.open(path, "w:gz") as tar:
        for name, part in zip(names, np.split(rows, np.cumsum(sizes)[:-1]), strict=True):
            add(tar, f"cifar-10-batches-bin/{name}", part.tobytes())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(data, "CIFAR10_BINARY", (data.CIFAR10_BINARY[0], digest))
    return path, rows


def test_the_jpeg_copy_is_read_and_says_what_it_is(folder, monkeypatch, photographs):
    write_jpeg_archive(folder, monkeypatch)
    splits = data.load("CIFAR-10")
    assert splits.test.provenance == splits.train.provenance == "CIFAR-10, JPEG-75 copy"
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [16, 2, 1]
    assert splits.test.labels.tolist() == [8]  # ship
    means = splits.test.pixels.double().mean((0, 2, 3))
    torch.testing.assert_close(means, torch.tensor([0.0, 0.0, 250.0]).double(), atol=3, rtol=0)
    pixels = torch.cat([splits.train.pixels, splits.validation.pixels])
    labels = torch.cat([splits.train.labels, splits.validation.labels])
    number = (pixels[:, 0].double().mean((1, 2)) / 10).round().long()  # red says which image
    assert sorted(number.tolist()) == list(range(18))
    assert torch.equal(number % 10, labels)


def test_the_original_archive_is_read(folder, monkeypatch, photographs):
    _, rows = write_binary_archive(folder, monkeypatch)
    splits = data.load("CIFAR-10")
    assert splits.test.provenance == "CIFAR-10"
    assert splits.test.pixels.shape == (2, 3, 32, 32)
    assert splits.test.pixels.flatten(1).numpy().tolist() == rows[18:, 1:].tolist()
    assert splits.test.labels.tolist() == [8, 9]


def test_decoded_archives_are_kept_and_made_anew_when_damaged(folder, monkeypatch, photographs):
    path, rows = write_binary_archive(folder, monkeypatch)
    data.load("CIFAR-10")
    (kept,) = data.cache_dir().iterdir()  # and no partial file beside it
    content = kept.read_bytes()
    path.write_bytes(b"no longer needed")
    assert len(data.load("CIFAR-10").test) == 2
    kept.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="SHA-256"):  # it has to read the archive again
        data.load("CIFAR-10")
    write_again, _ = write_binary_archive(folder, monkeypatch)
    kept.unlink()
    (data.cache_dir() / f"cifar10-{data.CIFAR10_BINARY[1][:16]}.npz").write_bytes(content[:100])
    assert write_again == path
    assert data.load("CIFAR-10").test.pixels[0].flatten().tolist() == rows[18, 1:].tolist()


@pytest.mark.parametrize("write", [write_jpeg_archive, write_binary_archive])
def test_a_damaged_archive_is_named_with_both_hashes(folder, monkeypatch, write):
    path = write(folder, monkeypatch)
    path = path if isinstance(path, type(folder)) else path[0]
    path.write_bytes(path.read_bytes()[:-10])
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(DataError, match=found) as caught:
        data.load("CIFAR-10")
    assert str(path) in str(caught.value)


def test_cifar_without_a_network_says_what_to_do():
    with pytest.raises(DataError, match=r"could not be downloaded .*no network.*SPARQ_DATA_DIR"):
        data.load("CIFAR-10")


def test_images_as_floats_and_a_few_of_them(digits):
    images = data.load("MNIST").test
    floats = images.floats()
    assert floats.dtype == torch.float32
    assert torch.equal((floats * 255).round().to(torch.uint8), images.pixels)
    assert torch.equal(images.floats(torch.tensor([3, 1])), floats[[3, 1]])
    few = images.take(4)
    assert len(few) == 4 and (few.name, few.split) == (images.name, images.split)
    assert len(images.take(None)) == len(images)
