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

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sparq_utils.data import Images
from sparq_utils.networks.counting import SpikeCounter
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.recording import as_trace, measured_on, per_exit, run_counted
from sparq_utils.traces.energy import EnergyConstants, MemoryModel, energy
from sparq_utils.traces.trace import ExitTrace

CRITERIA = {"confidence": "", "gap": "-gap"}
"""What may decide, and what it adds to a variant's name."""

ORDERS = {None: "-by-step", "step": "-by-step-and-exit", "stage": "-by-exit-and-step"}
"""Which exits there are and in which order, and what that adds to a variant's name."""


def temporal_variant(variant: str, criterion: str = "confidence", order: str | None = None) -> str:
    """The name under which :func:`record_temporal` records a variant that leaves in time.

    Raises `ValueError` for an unknown criterion or order.
    """
    if criterion not in CRITERIA:
        raise ValueError(f"unknown criterion '{criterion}', expected one of {', '.join(CRITERIA)}")
    if order not in ORDERS:
        raise ValueError(f"unknown order '{order}', expected None, step or stage")
    return variant + ORDERS[order] + CRITERIA[criterion]


@torch.no_grad()
def record_temporal(
    network: EarlyExitNetwork,
    images: Images,
    variant: str,
    criterion: str = "confidence",
    order: str | None = None,
    seed: int = 0,
    batch_size: int = 250,
    skip_zeros: bool = False,
    progress: bool = False,
) -> ExitTrace:
    """The trace of a spiking network whose exits are timesteps, each with its cumulative cost.

    Exit t answers with the mean output of steps 1 to t. With `order` None the plain network is
    recorded (no side heads), with T exits. With "step" or "stage" the exits are all pairs of an
    exit of the network and a timestep, exits x T of them, in that order (see above).

    The variant recorded says what it is (:func:`temporal_variant`): "qsnn" becomes "qsnn-by-step",
    "qsnn-by-step-and-exit" or "qsnn-by-exit-and-step", with "-gap" behind it if `criterion` is
    "gap". In the first step fall what happens once: a direct-coded first layer's MACs, and
    `weights`, `neurons` and `dense_macs`. The memory model "layer-by-layer" fetches weights once
    and cannot be had with exits in time; price these traces step by step.

    Raises `ValueError` for an unknown criterion or order, a network without timesteps, and as
    :func:`~sparq_utils.networks.recording.record` does.
    """
    name = temporal_variant(variant, criterion, order)
    if network.timesteps < 2:
        raise ValueError(f"{network.name} runs one timestep: there is none to leave out; convert() "
                         "it with timesteps=2 or more")  # fmt: skip
    network = network.static() if order is None else network
    counter = SpikeCounter(network, skip_zeros)
    sure, best, acs, spikes = [], [], [], []
    label = f"recording {name}" if progress else None
    for logits, batch_acs, batch_spikes in run_counted(counter, images, seed, batch_size, label):
        confidence, prediction = _answers(logits, criterion)  # [exits, T, B]
        sure.append(confidence)
        best.append(prediction)
        acs.append(per_exit(batch_acs))  # [exits, T, B]
        spikes.append(per_exit(batch_spikes))
    counts = {name: per_exit(steps)[..., None] for name, steps in counter.static_steps().items()}
    counts |= {"acs": torch.cat(acs, 2), "spikes": torch.cat(spikes, 2)}
    return as_trace(
        _in_order(torch.cat(sure, 2), order),
        _in_order(torch.cat(best, 2), order),
        {name: _in_order(count, order).cumsum(0) for name, count in counts.items()},
        images,
        measured_on(network, images, name, seed),
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


def exit_names(network: EarlyExitNetwork, order: str | None = None) -> list[tuple[int, int]]:
    """The (exit, timestep) of each exit of a temporal trace, both counted from 1."""
    exits = 1 if order is None else network.exits
    pairs = torch.cartesian_prod(torch.arange(exits), torch.arange(network.timesteps)) + 1
    pairs = pairs.unflatten(0, (exits, -1))  # [exits, T, 2]
    return [tuple(pair) for pair in _in_order(pairs, order).tolist()]


def trade_off(
    trace: ExitTrace, cost: np.ndarray, thresholds: np.ndarray | None = None
) -> pd.DataFrame:
    """Accuracy and mean cost when one threshold rules all exits, a row a threshold.

    `cost` [exits, samples], cumulative. `thresholds` rise within [0, 1]; None takes 0, 1 and the
    distinct confidences of the trace (1,000 quantiles of them if there are more). Columns:
    threshold, accuracy (a fraction), cost (a mean per image) and exit (mean index, from 0).
    """
    reached = np.maximum.accumulate(trace.confidence[:-1].astype(np.float64), axis=0)
    if thresholds is None:
        found = np.unique(reached)
        if found.size > 1_000:
            found = found[np.linspace(0, found.size - 1, 1_000).round().astype(int)]
        thresholds = np.unique(np.concatenate([[0.0], found, [1.0]]))
    thresholds = np.asarray(thresholds, dtype=np.float64)
    if not ((thresholds >= 0) & (thresholds <= 1)).all() or (np.diff(thresholds) <= 0).any():
        raise ValueError("thresholds must rise strictly within [0, 1]")
    # A sample passes an exit at thresholds above the largest confidence it has shown so far.
    passed = np.searchsorted(thresholds, reached, side="right")  # [exits - 1, samples]
    passed = np.concatenate([np.zeros_like(trace.labels, dtype=np.int64)[None], passed])
    cost = np.broadcast_to(cost, trace.confidence.shape)
    index = np.broadcast_to(np.arange(trace.exits)[:, None], cost.shape)
    columns = {"threshold": thresholds}
    for name, values in (("accuracy", trace.correct), ("cost", cost), ("exit", index)):
        gained = np.diff(values.astype(np.float64), axis=0, prepend=0)  # by going on to each exit
        total = np.bincount(passed.ravel(), gained.ravel(), minlength=thresholds.size + 1)
        columns[name] = total[: thresholds.size].cumsum() / trace.samples
    return pd.DataFrame(columns)


def equal_accuracy(
    traces: Mapping[str, ExitTrace],
    accuracies: Sequence[float],
    validation: Mapping[str, ExitTrace] | None = None,
    constants: EnergyConstants | str = "paper",
    memory: MemoryModel | str = "step-by-step",
) -> pd.DataFrame:
    """What each way of leaving early needs for the same accuracy: one row a trace and accuracy.

    Every trace is ruled by a single threshold, so that none has more to tune than another. For
    each of `accuracies` (fractions) it takes the threshold that is cheapest in modelled energy
    among those that reach it, on `validation` (the same keys) if given, else on the trace itself.

    Columns: trace, wanted, threshold, accuracy (a fraction), energy_j (mean joules an image,
    modelled), synaptic_ops, exit (mean index, from 0), best (whether no other trace needs less
    energy for what was wanted). Where an accuracy is out of reach, all are NaN and best False.
    Raises `ValueError` if a validation trace is missing or of another form.
    """
    rows = []
    for name, trace in traces.items():
        chosen_on = trace if validation is None else validation.get(name)
        if chosen_on is None or chosen_on.exits != trace.exits:
            raise ValueError(f"'{name}' has no validation trace with {trace.exits} exits")
        curve = trade_off(chosen_on, energy(chosen_on, constants, memory).total)
        joules = energy(trace, constants, memory).total
        rows += [_cheapest(name, wanted, curve, trace, joules) for wanted in accuracies]
    table = pd.DataFrame(rows)
    table["best"] = table["energy_j"] == table.groupby("wanted")["energy_j"].transform("min")
    return table


def _cheapest(
    name: str, wanted: float, curve: pd.DataFrame, trace: ExitTrace, joules: np.ndarray
) -> dict:
    """A row of :func:`equal_accuracy`."""
    row = {"trace": name, "wanted": wanted}
    # Accuracies are multiples of 1/samples: a hair absorbs the rounding of `wanted`.
    enough = curve[curve["accuracy"] >= wanted - 1e-9]
    if enough.empty:
        missing = ("threshold", "accuracy", "energy_j", "synaptic_ops", "exit")
        return row | dict.fromkeys(missing, float("nan"))
    threshold = float(enough.loc[enough["cost"].idxmin(), "threshold"])
    here = np.array([threshold])
    by_energy = trade_off(trace, joules, here).iloc[0]
    operations = trade_off(trace, trace.synaptic_ops, here).iloc[0]
    return row | {
        "threshold": threshold,
        "accuracy": float(by_energy["accuracy"]),
        "energy_j": float(by_energy["cost"]),
        "synaptic_ops": float(operations["cost"]),
        "exit": float(by_energy["exit"]),
    }
