"""Datasets, folders, loaders and streams, read as splits in memory are."""

import weakref

import numpy as np
import pytest
import torch
from PIL import Image
from small import patterns, tiny
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from sparq_utils.networks.recipe import Recipe
from sparq_utils.networks.recording import record
from sparq_utils.networks.scoring import accuracy
from sparq_utils.networks.training import train
from sparq_utils.samples import Samples, Stream, as_images, batch_count, batches

RECIPE = Recipe(2, batch_size=16, learning_rate=0.02)


class Photographs:
    """As torchvision has them: images of [H, W, C] bytes."""

    def __len__(self):
        return 2

    def __getitem__(self, number):
        return np.full((4, 5, 3), 51 * (number + 1), np.uint8), (2, 0)[number]


class Shards(IterableDataset):
    """Samples of which nobody knows how many there are, one after the other."""

    def __init__(self, images):
        self.images, self.read = images, 0

    def __iter__(self):
        for pixels, label in zip(self.images.pixels, self.images.labels, strict=True):
            self.read += 1
            yield pixels, int(label)


def loader(images, **how):
    return DataLoader(TensorDataset(images.floats(), images.labels), **how)


def same(first, second):
    assert np.array_equal(first.prediction, second.prediction)
    assert np.allclose(first.confidence, second.confidence, atol=1e-6)
    assert np.array_equal(first.labels, second.labels)
    for name, count in first.counts.items():
        assert np.array_equal(count, second.counts[name]), name


def test_samples_are_read_as_images_are():
    images = as_images(Photographs(), "validation")
    assert isinstance(images, Samples) and len(images) == 2
    assert (images.split, images.provenance) == ("validation", "Photographs, 2 samples")
    floats, labels = images.batch(slice(None))
    assert floats.shape == (2, 3, 4, 5) and floats.dtype == torch.float32
    assert floats[1].unique().tolist() == pytest.approx([0.4]) and labels.tolist() == [2, 0]
    assert as_images(images) is images
    assert as_images(Subset(Photographs(), [1])).provenance == "Photographs, 1 samples"


def test_counts_of_events_are_no_bytes():
    events = torch.tensor([0, 3], dtype=torch.uint8).view(1, 2, 1, 1, 1)  # [N, T, C, H, W]
    for source in (TensorDataset(events, torch.tensor([1])), DataLoader([(events[0], 1)])):
        (_, batch, labels), *_ = batches(as_images(source), 5)
        assert batch.flatten().tolist() == [0, 3] and labels.tolist() == [1]


def test_a_folder_of_pictures_is_a_dataset(tmp_path):
    for name, value in (("cats", 51), ("dogs", 102)):
        (tmp_path / name).mkdir()
        Image.new("RGB", (20, 10), (value, 0, 0)).save(tmp_path / name / "one.png")
    folder = ImageFolder(tmp_path, v2.Compose([v2.Grayscale(), v2.Resize((8, 8))]))
    trace = record(tiny(), folder, "ann")
    assert trace.labels.tolist() == [0, 1]
    assert trace.measured_on.data == "ImageFolder, 2 samples"
    grey, _ = as_images(folder).batch(slice(None))
    assert grey.shape == (2, 1, 8, 8)
    assert grey[:, 0, 0, 0].tolist() == pytest.approx([15 / 255, 30 / 255])  # 0.299 of red
    unequal = ImageFolder(tmp_path, v2.Grayscale())
    Image.new("RGB", (4, 4)).save(tmp_path / "cats" / "two.png")
    with pytest.raises(ValueError, match=r"image 1 is .*; bring all to one size"):
        record(tiny(), ImageFolder(tmp_path, unequal.transform), "ann")


@pytest.mark.parametrize("kind", ["loader", "stream", "generator"])
def test_batches_as_they_come_give_the_trace_of_the_images_they_hold(kind):
    network, images = tiny(), patterns(50, 1, "test")
    expected = record(network, images, "ann", batch_size=8)
    source = {
        "loader": loader(images, batch_size=8),
        "stream": Shards(images),
        "generator": ((images.floats(slice(i, i + 8)), images.labels[i : i + 8])
                      for i in range(0, 50, 8)),
    }[kind]  # fmt: skip
    trace = record(network, source, "ann", batch_size=8)
    same(trace, expected)
    assert trace.measured_on.provenance == expected.measured_on.provenance  # 50 images, torch ...
    if kind != "generator":
        assert accuracy(network, source) == accuracy(network, images)


def test_a_stream_is_never_held():
    """While a batch is worked on, those before it are gone."""
    alive = []

    def giving():
        for number in range(6):
            images = torch.rand(4, 1, 8, 8)
            alive.append(weakref.ref(images))
            assert sum(ref() is not None for ref in alive) <= 2, number
            yield images, torch.zeros(4, dtype=torch.int64)
            del images

    record(tiny(), giving(), "ann")
    assert len(alive) == 6


def test_a_loader_trains_as_its_images_do():
    def trained(source):
        network = tiny().train()
        curve = train(network, source, patterns(40, 1), RECIPE, progress=False)
        return [entry["loss"] for entry in curve], network.state_dict()

    images = patterns(64)
    losses, weights = trained(loader(images, batch_size=16, shuffle=True))
    again, same_weights = trained(loader(images, batch_size=16, shuffle=True))
    assert losses == again  # the order is drawn by the seed
    assert all(torch.equal(weights[key], same_weights[key]) for key in weights)
    in_memory, _ = trained(images)
    assert losses[-1] == pytest.approx(in_memory[-1], rel=0.3)


def test_the_rate_follows_a_loaders_batches_and_else_the_epochs():
    rates = {"loader": [], "stream": []}
    images = patterns(64)
    for name, source in (("loader", loader(images, batch_size=16)), ("stream", Shards(images))):
        found = rates[name]
        train(tiny().train(), source, images, RECIPE, progress=False,
              on_epoch=lambda entry, found=found: found.append(entry["rate"]))  # fmt: skip
    assert rates["loader"] == pytest.approx([RECIPE.rate(3, 4), RECIPE.rate(7, 4)])
    assert rates["stream"] == pytest.approx([RECIPE.rate(0, 1), RECIPE.rate(1, 1)])


def test_a_stream_goes_on_from_its_checkpoint(tmp_path):
    images = patterns(64)

    def stopping(entry):
        raise KeyboardInterrupt

    def run(on_epoch=None):
        network = tiny(dropout=0.2).train()
        how = {"checkpoint": tmp_path / "run.pt", "progress": False, "on_epoch": on_epoch}
        train(network, loader(images, batch_size=16, shuffle=True), images, RECIPE, **how)
        return network.state_dict()

    with pytest.raises(KeyboardInterrupt):
        run(stopping)
    resumed = run()
    (tmp_path / "run.pt").unlink()
    whole = run()
    assert all(torch.equal(resumed[key], whole[key]) for key in whole)


def test_an_epoch_is_told_of_once_it_is_saved(tmp_path):
    path, told = tmp_path / "run.pt", []

    def note(entry):
        assert torch.load(path, weights_only=True)["history"][-1] == entry
        told.append(entry)

    images = patterns(64)
    curve = train(tiny(), images, images, RECIPE, checkpoint=path, progress=False, on_epoch=note)
    assert told == curve and len(told) == 2


def test_what_is_known_of_a_streams_length():
    images = patterns(20)
    assert batch_count(as_images(loader(images, batch_size=8)), 5) == 3
    assert batch_count(as_images(images), 8) == 3
    assert batch_count(as_images(Shards(images)), 8) is None
    assert batch_count(as_images(iter([])), 8) is None


def stream(*batches):
    return Stream(list(batches))


PIXELS, LABELS = torch.rand(2, 1, 8, 8), torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([(torch.zeros(4), 0)], r"list: image 0 is float32 \[4\], expected \[C, H"),
        ([(torch.zeros(1, 8, 8), 0.5)], "expected class numbers"),
        ([(torch.zeros(1, 8, 8), -1)], "expected class numbers"),
        ([{"image": 1, "label": 2}], "list: sample 0 is a dict, expected a pair"),
        ([(torch.zeros(1, 8, 8).int(), 0)], r"image 0 is int32 \[1, 8, 8\], expected bytes"),
        (stream((PIXELS, LABELS.float())), "expected class numbers"),
        (stream((PIXELS, LABELS[:1])), r"labels int64 \[1\], expected class numbers \[2\]"),
        (stream((PIXELS[0], LABELS)), r"batch 0 is float32 \[1, 8, 8\], expected images \[B,"),
        (stream(PIXELS), "expected a pair"),
        (stream((PIXELS - 0.5, LABELS)), "batch 0 has pixels from .*leave Normalize out"),
        (stream((PIXELS, LABELS), (PIXELS, LABELS + 10)), "labels up to 11"),
        (stream((torch.zeros(4, 2, 1, 8, 8), LABELS)), r"time comes second.*batch_first=True"),
        (iter([]), "no images"),
    ],
)
def test_what_holds_no_images_is_refused(source, message):
    with pytest.raises(ValueError, match=message):
        accuracy(tiny(), source)


def test_what_is_read_once_does_not_train_for_epochs():
    with pytest.raises(ValueError, match="a list_iterator is read once, and 2 epochs need it"):
        train(tiny(), iter([(PIXELS, LABELS)]), patterns(8), RECIPE, progress=False)


def test_an_empty_loader_is_refused():
    with pytest.raises(ValueError, match="TensorDataset gave no batch of at least 2 images"):
        train(tiny(), loader(patterns(8), batch_size=16, drop_last=True), patterns(8), RECIPE,
              progress=False)  # fmt: skip
