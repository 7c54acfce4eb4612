"""Recording: run a network over images once, keep confidences, predictions and exact counts."""

from collections.abc import Callable, Iterable
from importlib.metadata import version as installed_version

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from sparq_utils import __version__
from sparq_utils.data import Images, check_labels
from sparq_utils.networks.counting import SpikeCounter
from sparq_utils.networks.early_exit import EarlyExitNetwork, layers_of
from sparq_utils.networks.encoding import Rate, coding_of
from sparq_utils.networks.levels import LevelActivation
from sparq_utils.networks.processes import Processes, gathered, share
from sparq_utils.networks.quantization import is_int8
from sparq_utils.networks.quantized_synapse import QuantizedSynapse
from sparq_utils.networks.shapes import device_of
from sparq_utils.samples import Batch, Source, as_images, batch_count, batches
from sparq_utils.traces.trace import CLASS_DTYPES, ExitTrace, MeasuredOn

MOST_STEPS = np.iinfo(np.int16).max // 255
"""Timesteps over which the sum of an INT8 head's whole-numbered logits surely fits 16 bits."""


@torch.no_grad()
def record(
    network: EarlyExitNetwork,
    images: Images | Dataset | Iterable[Batch],
    variant: str,
    seed: int = 0,
    batch_size: int = 250,
    skip_zeros: bool = False,
    progress: bool = False,
    processes: Processes | None = None,
) -> ExitTrace:
    """The trace of a network on images: every sample at every exit, with what it cost.

    Images are a split, any Dataset of (image, label) pairs, or an iterable of batches such as a
    DataLoader (:mod:`sparq_utils.samples`); they are read once and not kept.

    Heads on the way count once they are evaluated: the cost of exit 2 includes head 1. Record
    `network.without_exits()` for the plain network, without side heads. With `skip_zeros`, weights
    that are exactly zero cost nothing. Rate coding draws from `seed`, in batches of `batch_size`.
    Networks with several exits keep their logits. Given the `processes` of a launcher (Accelerate's
    `PartialState`), all of which must call, each works on its share of the batches, and each gets
    the whole trace. Raises `ValueError` for no images, images of
    another shape, labels that are no class numbers, and for layers that cannot be counted.
    """
    images = as_images(images)
    counter = SpikeCounter(network, skip_zeros)

    def summed(logits: Tensor, counts: dict[str, Tensor]) -> dict[str, Tensor]:
        totals = {name: count.sum(1) for name, count in counts.items()}  # [parts, B]
        return {"logits": logits.mean(1).cpu()} | totals  # [exits, B, classes]

    label = f"recording {variant}" if progress else None
    batches_as = (seed, batch_size, label, processes)
    counted, labels = run_counted(counter, images, summed, 1, *batches_as)
    logits = counted.pop("logits")  # [exits, N, classes]
    confidence, prediction = logits.softmax(-1).max(-1)  # [exits, N]
    static = counter.static_steps().items()
    counts = {name: steps.sum(1, keepdim=True) for name, steps in static}  # [parts, 1]
    counts |= counted
    return as_trace(
        confidence,
        prediction,
        {name: per_exit(count).cumsum(0) for name, count in counts.items()},
        labels,
        measured_on(network, images, len(labels), variant, seed),
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
    counter: SpikeCounter,
    images: Source,
    keep: Callable[[Tensor, dict[str, Tensor]], dict[str, Tensor]],
    axis: int,
    seed: int,
    batch_size: int,
    label: str | None = None,
    processes: Processes | None = None,
) -> tuple[dict[str, Tensor], Tensor]:
    """Run the counter's network over all images, a batch at a time; `label` a progress bar.

    `keep` is given each batch's logits [exits, T, B, classes] and what spikes cost, by name int64
    [parts, T, B]. Gives what it made of them, by name, joined along the `axis` of the images, and
    all labels int64 [N]. The network is left in evaluation mode. Raises as :func:`record` does.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}, expected at least 1")
    network, device = counter.network.eval(), device_of(counter.network)
    mine, draws = share(processes), isinstance(network.encoder, Rate)
    if draws:
        network.encoder.generator.manual_seed(seed)
    # whoever draws must draw for the batches of the other processes, too
    arriving = batches(images, batch_size, (lambda number: True) if draws else mine)
    total = batch_count(images, batch_size)
    found = []
    with counter:
        for number, batch, labels in tqdm(arriving, label, total, disable=label is None):
            network.check_input(batch)
            if mine(number):
                logits = network.forward_steps(batch.to(device)).float()
                check_labels(images.name, labels, logits.shape[-1])
                found.append((number, labels, keep(logits, counter.take_steps(len(batch)))))
            else:
                network.encoder.forward(batch)
    found = sorted(gathered(found, processes), key=lambda one: one[0])
    if not found:
        raise ValueError("no images to record: give at least one")
    _, labels, kept = zip(*found, strict=True)
    joined = {name: torch.cat([one[name] for one in kept], axis) for name in kept[0]}
    return joined, torch.cat(labels)


def per_exit(parts: Tensor) -> Tensor:
    """Counts by part [parts, ...], summed over each exit's stage and head: [exits, ...]."""
    return parts.unflatten(0, (-1, 2)).sum(1)


def as_trace(
    confidence: Tensor,
    prediction: Tensor,
    counts: dict[str, Tensor],
    labels: Tensor,
    measured: MeasuredOn,
    **logits: np.ndarray,
) -> ExitTrace:
    """Tensors [exits, samples] (counts cumulative, samples or 1) as a trace.

    `logits` are the trace's own fields of that name. Raises `ValueError` for labels that are
    negative or beyond 65,535: a trace cannot hold them.
    """
    lowest, highest = int(labels.min()), int(labels.max())
    highest = max(highest, int(prediction.max()))
    if lowest < 0 or highest > np.iinfo(CLASS_DTYPES[-1]).max:
        raise ValueError(f"labels and answers from {lowest} to {highest}: classes are numbered "
                         f"from 0, to {np.iinfo(CLASS_DTYPES[-1]).max:,} at most")  # fmt: skip
    dtype = next(one for one in CLASS_DTYPES if highest <= np.iinfo(one).max)
    return ExitTrace(
        confidence=confidence.clamp(0, 1).numpy().astype(np.float32),
        prediction=prediction.numpy().astype(dtype),
        labels=labels.numpy().astype(dtype),
        counts={name: count.numpy().astype(np.int64) for name, count in counts.items()},
        measured_on=measured,
        **logits,
    )


def measured_on(
    network: EarlyExitNetwork, images: Source, count: int, variant: str, seed: int
) -> MeasuredOn:
    """What a trace of this network on so many images of this source was measured on."""
    device = device_of(network)
    cpu = device.type == "cpu"
    hardware = (
        torch.backends.cpu.get_cpu_capability() if cpu else torch.cuda.get_device_name(device)
    )
    bits = [m.bits for m in network.modules() if isinstance(m, QuantizedSynapse)]
    levels = [m.levels for m in network.modules() if isinstance(m, LevelActivation)]
    return MeasuredOn(
        network=network.name,
        variant=variant,
        timesteps=network.timesteps,
        encoding=coding_of(network.encoder),
        weight_bits=max(bits, default=32),
        seed=seed,
        data=images.provenance,
        split=images.split,
        provenance=f"{count} images, torch {installed_version('torch')}",
        version=__version__,
        hardware=f"{device.type.upper()}, {hardware}",
        levels=max(levels, default=None),
    )
