"""Recording: run a network over images once, keep confidences, predictions and exact counts."""

from importlib.metadata import version as installed_version

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from sparq_utils import __version__
from sparq_utils.counting import SpikeCounter, Static, static_counts
from sparq_utils.data import Images
from sparq_utils.encoding import ENCODERS
from sparq_utils.networks import EarlyExitNetwork
from sparq_utils.quantization import QuantizedSynapse
from sparq_utils.trace import ExitTrace, MeasuredOn


@torch.no_grad()
def record(
    network: EarlyExitNetwork,
    images: Images,
    variant: str,
    seed: int = 0,
    batch_size: int = 250,
    skip_zeros: bool = False,
    progress: bool = False,
) -> ExitTrace:
    """The trace of a network on images: every sample at every exit, with what it cost.

    Heads on the way count once they are evaluated: the cost of exit 2 includes head 1. Record
    `network.static()` for the plain network, without side heads.
    Raises `ValueError` for images of another shape or with values that are not finite.
    """
    network.eval()
    known = static_counts(network, skip_zeros)
    logits, acs, spikes = [], [], []
    with SpikeCounter(network, skip_zeros) as counter:
        for start in tqdm(
            range(0, len(images), batch_size),
            desc=f"recording {network.name} {variant}",
            disable=not progress,
        ):
            batch = images.floats(slice(start, start + batch_size))
            network.check_input(batch)
            logits.append(network(batch).float())  # [exits, B, classes]
            batch_acs, batch_spikes = counter.take(len(batch))  # [parts, B]
            acs.append(batch_acs)
            spikes.append(batch_spikes)
    confidence, prediction = torch.cat(logits, 1).softmax(-1).max(-1)  # [exits, N]
    counts = {
        name: np.cumsum([[_both(known, index, name)] for index in range(network.exits)], axis=0)
        for name in vars(Static())
    }
    counts["acs"] = _per_exit(torch.cat(acs, 1))
    counts["spikes"] = _per_exit(torch.cat(spikes, 1))
    return ExitTrace(
        confidence=confidence.clamp(0, 1).numpy().astype(np.float32),
        prediction=prediction.numpy().astype(np.uint8),
        labels=images.labels.numpy().astype(np.uint8),
        counts={name: np.asarray(count, np.int64) for name, count in counts.items()},
        measured_on=MeasuredOn(
            network=network.name,
            variant=variant,
            timesteps=network.timesteps,
            encoding=_encoding(network),
            weight_bits=8
            if any(isinstance(m, QuantizedSynapse) for m in network.modules())
            else 32,
            seed=seed,
            data=images.provenance,
            split=images.split,
            provenance=f"{len(images)} images, torch {installed_version('torch')}",
            version=__version__,
            hardware=f"CPU, {torch.backends.cpu.get_cpu_capability()}",
        ),
    )


def _encoding(network: EarlyExitNetwork) -> str:
    """The name of the network's input coding, "analog" for an ANN."""
    return next((n for n, e in ENCODERS.items() if type(network.encoder) is e), "analog")


def _both(known: dict[tuple[str, int], Static], index: int, name: str) -> int:
    """A static count of stage and head `index` together."""
    return getattr(known["stage", index] + known["head", index], name)


def _per_exit(parts: Tensor) -> np.ndarray:
    """Counts [stage 0, head 0, stage 1, ...] x samples to cumulative [exits, samples]."""
    return parts.unflatten(0, (-1, 2)).sum(1).cumsum(0).numpy()
