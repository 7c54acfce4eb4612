"""How often a network is right."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.utils.data import Dataset

from sparq_utils.data import Images, check_labels
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.processes import Processes, gathered, share
from sparq_utils.networks.shapes import device_of
from sparq_utils.samples import Batch, as_images, batches


@torch.no_grad()
def accuracy(
    network: EarlyExitNetwork,
    images: Images | Dataset | Iterable[Batch],
    batch_size: int = 250,
    precision: str = "float32",
    processes: Processes | None = None,
) -> list[float]:
    """Fraction of images that each exit gets right, one per exit.

    Images as for :func:`~sparq_utils.networks.training.train`, `processes` as for
    :func:`~sparq_utils.networks.recording.record`. Raises `ValueError` for no images, and for
    labels that are no class of the network.
    """
    if batch_size < 1:
        raise ValueError(f"batches of {batch_size} images: need at least 1")
    was_training, device = network.training, device_of(network)
    network.eval()
    images = as_images(images)
    found = []  # images, and right answers [exits], of each batch
    for _, batch, labels in batches(images, batch_size, share(processes)):
        batch = batch.to(device, memory_format=layout_of(batch))
        with torch.autocast(device.type, torch.bfloat16, precision == "bfloat16"):
            logits = network(batch)  # [exits, B, classes]
        check_labels(images.name, labels, logits.shape[-1])
        found.append((len(batch), (logits.argmax(-1).cpu() == labels).sum(-1)))
    network.train(was_training)
    found = gathered(found, processes)
    if not found:
        raise ValueError("no images to score: give at least one")
    count = sum(size for size, _ in found)
    return (sum(right for _, right in found) / count).tolist()


def layout_of(images: Tensor) -> torch.memory_format:
    """Channels last for images [B, C, H, W], which CPUs prefer; else as they are."""
    return torch.channels_last if images.dim() == 4 else torch.contiguous_format
