"""Leaving early in time: the baselines that the paper names and does not run.

A spiking network can answer after any timestep. Here the exits of an :class:`ExitTrace` are
timesteps, or pairs of an exit of the network and a timestep, so that policies, energy and results
read these traces as they read any other. A sample leaves when its confidence suffices:

- the largest softmax probability of the mean output so far (SEENN-I, Li et al., 2023), or
- the gap between the two largest (the Top-K cutoff, Wu et al., Frontiers in Neuroscience, 2025).
  They take the gap of the accumulated outputs, in the network's own units; of probabilities, as
  here, it lies in [0, 1], and one threshold means the same in every network.

**In which order things run decides what leaving saves.** An exit in time needs all layers of the
network to advance together, one timestep after the other: whoever leaves at t has run every layer
t times and fetched its weights t times (unless they all fit on the chip). With the network's
exits as well there are two orders that hardware could follow:

- "step": all stages at step 1, each head asked on the way, then step 2, ... The pair (exit, t)
  costs t - 1 full steps, plus step t as far as that exit. The last layers, which hold nearly all
  weights, run from the first step on.
- "stage": the first stage at steps 1 to T, its head asked at each; who stays goes on with its
  spikes, T bits a neuron, which wait in memory, to the second stage at steps 1 to T. Deep weights
  are fetched only for samples that need them, but for them the early stages have run all T steps.

A head has neurons of its own, so it runs at every step that its stage runs; the step order
therefore pays the side heads T times for a sample that stays, as does the stage order.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.utils.data import Dataset

from sparq_utils.data import Images
from sparq_utils.networks.counting import SpikeCounter
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.processes import Processes
from sparq_utils.networks.recording import as_trace, measured_on, per_exit, run_counted
from sparq_utils.samples import Batch, as_images
from sparq_utils.traces.in_time import temporal_variant
from sparq_utils.traces.trace import ExitTrace


@torch.no_grad()
def record_temporal(
    network: EarlyExitNetwork,
    images: Images | Dataset | Iterable[Batch],
    variant: str,
    criterion: str = "confidence",
    order: str | None = None,
    seed: int = 0,
    batch_size: int = 250,
    skip_zeros: bool = False,
    progress: bool = False,
    processes: Processes | None = None,
) -> ExitTrace:
    """The trace of a spiking network whose exits are timesteps, each with its cumulative cost.

    Exit t answers with the mean output of steps 1 to t. With `order` None the plain network is
    recorded (no side heads), with T exits. With "step" or "stage" the exits are all pairs of an
    exit of the network and a timestep, exits x T of them, in that order (see above).

    The variant recorded says what it is (:func:`temporal_variant`): "qsnn" becomes "qsnn-by-step",
    "qsnn-by-step-and-exit" or "qsnn-by-exit-and-step", with "-gap" behind it if `criterion` is
    "gap". In the first step fall what happens once: a direct-coded first layer's MACs, and
    `weights`, `neurons` and `dense_macs`. The memory model "layer-by-layer" fetches weights once
    and cannot be had with exits in time; price these traces step by step. `images` and
    `processes` as for :func:`~sparq_utils.networks.recording.record`.

    Raises `ValueError` for an unknown criterion or order, a network without timesteps, and as
    :func:`~sparq_utils.networks.recording.record` does.
    """
    name = temporal_variant(variant, criterion, order)
    if network.timesteps < 2:
        raise ValueError(f"{network.name} runs one timestep: there is none to leave out; convert() "
                         "it with timesteps=2 or more")  # fmt: skip
    network = network.without_exits() if order is None else network
    images = as_images(images)
    counter = SpikeCounter(network, skip_zeros)

    def answered(logits: Tensor, counts: dict[str, Tensor]) -> dict[str, Tensor]:
        sure, best = _answers(logits, criterion)  # [exits, T, B], and so are the counts
        by_exit = {each: per_exit(count) for each, count in counts.items()}
        return {"confidence": sure, "prediction": best} | by_exit

    label = f"recording {name}" if progress else None
    batches_as = (seed, batch_size, label, processes)
    found, labels = run_counted(counter, images, answered, 2, *batches_as)
    static = {count: per_exit(steps)[..., None] for count, steps in counter.static_steps().items()}
    ordered = {each: _in_order(values, order) for each, values in (static | found).items()}
    return as_trace(
        ordered.pop("confidence"),
        ordered.pop("prediction"),
        {each: count.cumsum(0) for each, count in ordered.items()},
        labels,
        measured_on(network, images, len(labels), name, seed),
    )


def _answers(logits: Tensor, criterion: str) -> tuple[Tensor, Tensor]:
    """Confidence and prediction of the mean output so far, each [exits, T, B], on the CPU.

    `logits` [exits, T, B, classes].
    """
    steps = torch.arange(1, logits.shape[1] + 1, device=logits.device)
    mean = logits.cumsum(1) / steps[:, None, None]  # [exits, T, B, classes]
    probability, order = mean.softmax(-1).topk(2)  # [exits, T, B, 2]
    confidence = probability[..., 0]
    if criterion == "gap":
        confidence = confidence - probability[..., 1]
    return confidence.cpu(), order[..., 0].cpu()


def _in_order(values: Tensor, order: str | None) -> Tensor:
    """[exits, T, ...] to [exits * T, ...] in the order in which the pairs are evaluated."""
    return (values.transpose(0, 1) if order == "step" else values).flatten(0, 1)
