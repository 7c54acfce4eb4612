"""Recording: run a network over images once, keep confidences, predictions and exact counts."""

from collections.abc import Iterator, Sequence
from importlib.metadata import version as installed_version

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from sparq_utils import __version__
from sparq_utils.data import Images, Samples, as_images, check_labels
from sparq_utils.networks.counting import SpikeCounter
from sparq_utils.networks.early_exit import EarlyExitNetwork, layers_of
from sparq_utils.networks.encoding import Rate, coding_of
from sparq_utils.networks.levels import LevelActivation
from sparq_utils.networks.quantization import is_int8
from sparq_utils.networks.quantized_synapse import QuantizedSynapse
from sparq_utils.networks.shapes import device_of
from sparq_utils.traces.trace import CLASS_DTYPES, ExitTrace, MeasuredOn

MOST_STEPS = np.iinfo(np.int16).max // 255
"""Timesteps over which the sum of an INT8 head's whole-numbered logits surely fits 16 bits."""


@torch.no_grad()
def record(
    network: EarlyExitNetwork,
    images: Images | Samples | Dataset,
    variant: str,
    seed: int = 0,
    batch_size: int = 250,
    skip_zeros: bool = False,
    progress: bool = False,
) -> ExitTrace:
    """The trace of a network on images: every sample at every exit, with what it cost.

    Heads on the way count once they are evaluated: the cost of exit 2 includes head 1. Record
    `network.without_exits()` for the plain network, without side heads. With `skip_zeros`, weights
    that are exactly zero cost nothing. Rate coding draws from `seed`, in batches of `batch_size`.
    Networks with several exits keep their logits. Raises `ValueError` for no images, images of
    another shape, labels that are no class numbers, and for layers that cannot be counted.
    """
    images = as_images(images)
    counter = SpikeCounter(network, skip_zeros)
    logits, counted = [], []
    label = f"recording {variant}" if progress else None
    for steps, batch in run_counted(counter, images, seed, batch_size, label):
        logits.append(steps.mean(1).cpu())  # [exits, B, classes]
        counted.append({name: count.sum(1) for name, count in batch.items()})  # [parts, B]
    logits = torch.cat(logits, 1)  # [exits, N, classes]
    confidence, prediction = logits.softmax(-1).max(-1)  # [exits, N]
    static = counter.static_steps().items()
    counts = {name: steps.sum(1, keepdim=True) for name, steps in static}  # [parts, 1]
    counts |= joined(counted, 1)
    return as_trace(
        confidence,
        prediction,
        {name: per_exit(count).cumsum(0) for name, count in counts.items()},
        images,
        measured_on(network, images, variant, seed),
        **(_kept(network, logits) if network.exits > 1 else {}),
    )


def _kept(network: EarlyExitNetwork, logits: Tensor) -> dict[str, np.ndarray]:
    """Logits [exits, N, classes] as a trace keeps them: whole numbers where heads are INT8."""
    heads = [list(layers_of(head))[-1] for head in network.heads]
    if not all(map(is_int8, heads)) or network.timesteps > MOST_STEPS:
        return {"logits": logits.numpy()}
    # each step's logit is (q - zero_point) * scale, the answer their mean over the steps
    scale = np.array([head.synapse.scale for head in heads], np.float64) / network.timesteps
    sums = logits.double().numpy() / scale[:, None, None]  # [exits, N, classes]
    return {"logits": np.rint(sums).astype(np.int16), "logit_scale": scale}


def run_counted(
    counter: SpikeCounter, images: Images, seed: int, batch_size: int, label: str | None = None
) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """Run the counter's network over all images, a batch at a time; `label` a progress bar.

    Yields logits [exits, T, B, classes], and what spikes cost, by name int64 [parts, T, B]. The
    network is left in evaluation mode. Raises as :func:`record` does.
    """
    if not len(images):
        raise ValueError("no images to record: give at least one")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}, expected at least 1")
    network = counter.network.eval()
    network.check_input(images.floats(slice(1)))  # pixels are bytes: all alike, all finite
    if isinstance(network.encoder, Rate):
        network.encoder.generator.manual_seed(seed)
    device = device_of(network)
    starts = range(0, len(images), batch_size)
    with counter:
        for start in tqdm(starts, desc=label, disable=label is None):
            batch = images.floats(slice(start, start + batch_size)).to(device)
            logits = network.forward_steps(batch).float()
            check_labels(images, logits.shape[-1])
            yield logits, counter.take_steps(len(batch))


def joined(counted: Sequence[dict[str, Tensor]], axis: int) -> dict[str, Tensor]:
    """Counts of one batch after the other, by name, along the axis of the images."""
    return {name: torch.cat([one[name] for one in counted], axis) for name in counted[0]}


def per_exit(parts: Tensor) -> Tensor:
    """Counts by part [parts, ...], summed over each exit's stage and head: [exits, ...]."""
    return parts.unflatten(0, (-1, 2)).sum(1)


def as_trace(
    confidence: Tensor,
    prediction: Tensor,
    counts: dict[str, Tensor],
    images: Images,
    measured: MeasuredOn,
    **logits: np.ndarray,
) -> ExitTrace:
    """Tensors [exits, samples] (counts cumulative, samples or 1) as a trace.

    `logits` are the trace's own fields of that name. Raises `ValueError` for labels that are
    negative or beyond 65,535: a trace cannot hold them.
    """
    lowest, highest = int(images.labels.min()), int(images.labels.max())
    highest = max(highest, int(prediction.max()))
    if lowest < 0 or highest > np.iinfo(CLASS_DTYPES[-1]).max:
        raise ValueError(f"labels and answers from {lowest} to {highest}: classes are numbered "
                         f"from 0, to {np.iinfo(CLASS_DTYPES[-1]).max:,} at most")  # fmt: skip
    dtype = next(one for one in CLASS_DTYPES if highest <= np.iinfo(one).max)
    return ExitTrace(
        confidence=confidence.clamp(0, 1).numpy().astype(np.float32),
        prediction=prediction.numpy().astype(dtype),
        labels=images.labels.numpy().astype(dtype),
        counts={name: count.numpy().astype(np.int64) for name, count in counts.items()},
        measured_on=measured,
        **logits,
    )


def measured_on(network: EarlyExitNetwork, images: Images, variant: str, seed: int) -> MeasuredOn:
    """What a trace of this network on these images was measured on."""
    device = device_of(network)
    cpu = device.type == "cpu"
    hardware = (
        torch.backends.cpu.get_cpu_capability() if cpu else torch.cuda.get_device_name(device)
    )
    is_int8 = any(isinstance(m, QuantizedSynapse) for m in network.modules())
    levels = [m.levels for m in network.modules() if isinstance(m, LevelActivation)]
    return MeasuredOn(
        network=network.name,
        variant=variant,
        timesteps=network.timesteps,
        encoding=coding_of(network.encoder),
        weight_bits=8 if is_int8 else 32,
        seed=seed,
        data=images.provenance,
        split=images.split,
        provenance=f"{len(images)} images, torch {installed_version('torch')}",
        version=__version__,
        hardware=f"{device.type.upper()}, {hardware}",
        levels=max(levels, default=None),
    )
