"""What images and labels are read from: splits in memory, any Dataset, or batches as they come.

An image is a tensor [C, H, W], uint8 or floats in [0, 1], or what NumPy makes [H, W] or [H, W, C]
bytes of, such as a PIL image. With one dimension more, [T, C, H, W], it is a recording of events,
counts that nothing is divided by.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from sparq_utils.data import Images, kind_of

Batch = tuple[Tensor, Tensor]
"""Images float32 [B, C, H, W] (or events [B, T, C, H, W]) and their class numbers int64 [B]."""


class Samples:
    """A map-style Dataset of (image, label) pairs, read as it is needed; nothing is kept.

    It is named after its class; a `Subset` after the one that it is a part of.
    """

    def __init__(self, dataset: Dataset | Sequence, split: str = "test") -> None:
        self.dataset, self.split = dataset, split
        self.name = type(getattr(dataset, "dataset", dataset)).__name__
        self.provenance = f"{self.name}, {len(dataset)} samples"

    def __len__(self) -> int:
        return len(self.dataset)

    def batch(self, index: Tensor | slice) -> Batch:
        """Images and labels of some samples, each read once."""
        numbers = range(len(self))[index] if isinstance(index, slice) else index.tolist()
        return _stacked(self.name, [self.dataset[number] for number in numbers], numbers)


class Stream:
    """Batches of (images, labels) as they come, read anew for every pass; nothing is kept.

    `source` is a DataLoader or any iterable of batches, whose size is its own; or an
    `IterableDataset` of samples, which are put together to batches of the size asked for.
    """

    def __init__(self, source: Iterable, split: str = "test") -> None:
        self.source, self.split = source, split
        whose = getattr(source, "dataset", None)
        self.name = self.provenance = type(source if whose is None else whose).__name__

    @property
    def once(self) -> bool:
        """Whether it is used up by one pass, as a generator is."""
        return isinstance(self.source, Iterator)

    def steps(self) -> int | None:
        """How many batches it gives, if it knows."""
        if isinstance(self.source, IterableDataset):
            return None
        try:
            return len(self.source)
        except TypeError:
            return None

    def batches(self, size: int) -> Iterator[Batch]:
        """Every batch, in the source's order. Raises `ValueError` for what is no batch."""
        if isinstance(self.source, IterableDataset):
            samples, first = iter(self.source), 0
            while few := list(islice(samples, size)):
                yield _stacked(self.name, few, range(first, first + len(few)))
                first += len(few)
        else:
            for number, given in enumerate(self.source):
                yield self._checked(f"{self.name}: batch {number}", given)

    def _checked(self, told: str, given: object) -> Batch:
        """A batch as float32 and int64."""
        images, labels, *_ = _pair(told, given)
        if not isinstance(images, Tensor) or images.dim() not in (4, 5):
            raise ValueError(f"{told} is {kind_of(images)}, expected images [B, C, H, W] or events "
                             "[B, T, C, H, W]")  # fmt: skip
        are_events = images.dim() == 5
        if are_events and len(images) != len(labels) == images.shape[1]:
            raise ValueError(
                f"{told} has events {list(images.shape)} for {len(labels)} labels: time comes "
                "second; with Tonic, PadTensors(batch_first=True)"
            )
        return _floats(told, images, are_events), _labels(self.name, labels, len(images))


Source = Images | Samples | Stream


def as_images(source: object, split: str = "test") -> Source:
    """What has images and labels, to be read in batches by :func:`batches`.

    `source` is a split of :class:`Images`, a map-style Dataset (or sequence) of (image, label)
    pairs, an IterableDataset of them, or an iterable of batches, such as a DataLoader. Raises
    `ValueError` for anything else.
    """
    if isinstance(source, (Images, Samples, Stream)):
        return source
    if isinstance(source, IterableDataset):
        return Stream(source, split)
    if hasattr(source, "__getitem__") and hasattr(source, "__len__"):
        return Samples(source, split)
    if isinstance(source, Iterable):
        return Stream(source, split)
    raise ValueError(f"a {type(source).__name__} holds no images; expected Images, a Dataset of "
                     "(image, label) pairs or an iterable of batches of them")  # fmt: skip


def batches(
    source: Source, size: int, wanted: Callable[[int], bool] = lambda number: True
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Every image once, in order: a batch's number, images and labels, of those `wanted`."""
    if isinstance(source, Stream):
        for number, batch in enumerate(source.batches(size)):
            if wanted(number):
                yield number, *batch
        return
    for number, start in enumerate(range(0, len(source), size)):
        if wanted(number):
            yield number, *source.batch(slice(start, start + size))


def batch_count(source: Source, size: int) -> int | None:
    """How many batches :func:`batches` gives, if that is known."""
    return source.steps() if isinstance(source, Stream) else -(-len(source) // size)


def _pair(told: str, given: object) -> Sequence:
    """A sample, or a batch: images and labels. `told` names it in messages."""
    if isinstance(given, (tuple, list)) and len(given) >= 2:
        return given
    raise ValueError(f"{told} is a {type(given).__name__}, expected a pair (image, label)")


def _stacked(name: str, samples: list, numbers: Sequence[int]) -> Batch:
    """Samples of these numbers as one batch."""
    pairs = [_pair(f"{name}: sample {n}", s) for n, s in zip(numbers, samples, strict=True)]
    images = [_image(f"{name}: image {n}", p[0]) for n, p in zip(numbers, pairs, strict=True)]
    for number, image in zip(numbers, images, strict=True):
        if image.shape != images[0].shape:
            raise ValueError(
                f"{name}: image {number} is {list(image.shape)}, image {numbers[0]} "
                f"{list(images[0].shape)}; bring all to one size, with a transform for instance"
            )
    return torch.stack(images), _labels(name, [pair[1] for pair in pairs], len(pairs))


def _image(told: str, image: object) -> Tensor:
    """One image as float32 in [0, 1], [C, H, W], or one recording of events [T, C, H, W]."""
    if not isinstance(image, Tensor):
        array = np.array(image)  # [H, W], [H, W, C] or [T, C, H, W]
        if array.dtype.kind in "uif":
            image = torch.from_numpy(array[..., None] if array.ndim == 2 else array)
            image = image.permute(2, 0, 1) if image.dim() == 3 else image
    if not isinstance(image, Tensor) or image.dim() not in (3, 4):
        raise ValueError(f"{told} is {kind_of(image)}, expected [C, H, W] of bytes or of floats in "
                         "[0, 1], or events [T, C, H, W]")  # fmt: skip
    return _floats(told, image, image.dim() == 4)


def _floats(told: str, images: Tensor, are_events: bool) -> Tensor:
    """Bytes as floats in [0, 1]; floats and counts of events as they are."""
    if are_events:
        return images.float()
    if images.dtype == torch.uint8:
        return images.float().div(255)
    if not images.is_floating_point():
        raise ValueError(f"{told} is {kind_of(images)}, expected bytes (uint8) or floats in [0, 1]")
    if images.numel() and not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"{told} has pixels from {images.min():g} to {images.max():g}, expected floats in "
            "[0, 1]: divide bytes by 255, leave Normalize out"
        )
    return images.float()


def _labels(name: str, found: object, count: int) -> Tensor:
    """Class numbers int64 [count]."""
    try:
        labels = torch.as_tensor(found)
    except (TypeError, ValueError, RuntimeError) as error:  # of text, None, unlike lengths
        told = f"{name} has labels such as {found[0]!r}, expected class numbers"
        raise ValueError(told) from error
    if labels.shape != (count,) or labels.is_floating_point() or (labels < 0).any():
        raise ValueError(f"{name} has labels {kind_of(labels)}, expected class numbers [{count}]")
    return labels.long()
