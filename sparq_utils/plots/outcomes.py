"""Figures of traces and policies: the trade-off, who leaves where, how sure and how right."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sparq_utils.plots.canvas import (
    COLOURS,
    INK,
    SIZE,
    drawn_once,
    energy_axis,
    exit_look,
    label_axes,
    legend_below,
    log_heights,
    nth_look,
)
from sparq_utils.plots.charts import stacked
from sparq_utils.results.notes import Silence
from sparq_utils.traces.sweeps import pareto_front
from sparq_utils.traces.trace import ExitTrace


@drawn_once
def trade_off(
    energy_j: np.ndarray,
    accuracy: np.ndarray,
    points: Mapping[str, tuple[float, float]] | None = None,
    *,
    label: str = "threshold pairs",
    log: bool = False,
) -> Figure:
    """Accuracy against energy: a cloud of settings, its Pareto front, and named points.

    `energy_j` in joules and `accuracy` in [0, 1], both of any equal shape; `points` maps a name
    to (energy in joules, accuracy). `log` draws the energy on a logarithmic axis.
    """
    energy_j, accuracy = np.ravel(energy_j), np.ravel(accuracy)
    whole, axes = plt.subplots()
    axes.plot(energy_j, 100 * accuracy, ".", color=INK, markersize=4, alpha=0.4, label=label)
    front = pareto_front(energy_j, accuracy)
    axes.step(energy_j[front], 100 * accuracy[front], where="post", label="Pareto front")
    for i, (name, (energy, right)) in enumerate((points or {}).items()):
        axes.plot(energy, 100 * right, linestyle="", **nth_look(i + 1), label=name, zorder=3)
    energy_axis(axes, log=log)
    axes.set_ylabel("accuracy (%)")
    legend_below(whole, axes)
    return whole


@drawn_once
def trade_offs(panels: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]]) -> Figure:
    """Accuracy against energy in a panel per network: named lines, each panel its own axes.

    `panels` maps a title to lines, (energy in joules, accuracy in [0, 1]) each.
    """
    size = (SIZE[0], 3.0 * len(panels))
    whole, drawn = plt.subplots(len(panels), squeeze=False, figsize=size)
    for axes, (title, curves) in zip(drawn[:, 0], panels.items(), strict=True):
        for i, (name, (energy_j, accuracy)) in enumerate(curves.items()):
            every = max(1, len(energy_j) // 6)
            axes.plot(energy_j, 100 * np.asarray(accuracy), **nth_look(i), label=name,
                      markevery=every)  # fmt: skip
        energy_axis(axes, log=True)
        axes.set(title=title, ylabel="accuracy (%)")
        axes.grid(True)
    legend_below(whole, drawn[0, 0])
    return whole


@drawn_once
def frontiers(panels: Mapping[str, Silence]) -> Figure:
    """Accuracy of the last exit against its spike rate in a panel per network, penalties beside.

    A square is where fine-tuning started, a star the penalty that was chosen.
    """
    size = (SIZE[0], 3.0 * len(panels))
    whole, drawn = plt.subplots(len(panels), squeeze=False, figsize=size)
    for axes, (title, found) in zip(drawn[:, 0], panels.items(), strict=True):
        spikes, right = 100 * found.spike_rate[:, -1], 100 * found.accuracy[:, -1]
        axes.plot(spikes, right, "o-", color=COLOURS[0], label="fine-tuned")
        for penalty, *at in zip(found.penalties, spikes, right, strict=True):
            axes.annotate(f"{penalty:g}", at, (-7, 5), textcoords="offset points", ha="right")
        chosen = found.penalties.index(found.chosen)
        axes.plot(spikes[chosen], right[chosen], "*", color=COLOURS[1], markersize=17,
                  label="chosen", zorder=3)  # fmt: skip
        accuracy, rate = (100 * each[-1] for each in found.start)
        axes.plot(rate, accuracy, "s", color=COLOURS[2], label="start")
        axes.margins(0.12)
        label_axes(axes, "", "accuracy (%)")
        axes.set_title(title)
    drawn[-1, 0].set_xlabel("spikes per neuron and timestep (%)")
    legend_below(whole, drawn[0, 0])
    return whole


def exit_shares(shares: np.ndarray, classes: Sequence[str] | None = None) -> Figure:
    """Where each class leaves (the paper's Fig. 2): a stacked bar per class.

    `shares` [classes, exits], each row summing to 1.
    """
    shares = np.asarray(shares, dtype=float)
    if not np.allclose(shares.sum(axis=1), 1):
        raise ValueError("each class's shares must sum to 1")
    names = [str(i) for i in range(len(shares))] if classes is None else list(classes)
    rows = {
        name: {f"exit {e + 1}": 100 * share for e, share in enumerate(row)}
        for name, row in zip(names, shares, strict=True)
    }
    return stacked(rows, "share of the class's images (%)")


@drawn_once
def reliability(trace: ExitTrace, bins: int = 10) -> Figure:
    """How far confidence can be believed: accuracy within each confidence bin, a line per exit.

    Bins with fewer than 10 samples are left out. On the dashed line confidence is accuracy
    (Guo et al., 2017).
    """
    whole, axes = plt.subplots(figsize=(SIZE[0], 4.6))
    axes.plot([0, 100], [0, 100], "--", color=INK, linewidth=1.2, label="calibrated")
    edges = np.linspace(0, 1, bins + 1)
    for e in range(trace.exits):
        which = np.clip(np.digitize(trace.confidence[e], edges) - 1, 0, bins - 1)
        count = np.bincount(which, minlength=bins)
        enough = count >= 10
        mean = [np.bincount(which, values, bins)[enough] / count[enough]
                for values in (trace.confidence[e], trace.correct[e])]  # fmt: skip
        axes.plot(100 * mean[0], 100 * mean[1], **exit_look(e), label=f"exit {e + 1}")
    label_axes(axes, "mean confidence in the bin (%)", "accuracy in the bin (%)")
    axes.set_aspect("equal")
    axes.legend()
    return whole


@drawn_once
def confidence_histograms(trace: ExitTrace, thresholds: Sequence[float] = ()) -> Figure:
    """How confident each exit is when it is right and when it is wrong.

    One panel per exit, the last included; a threshold is drawn in the panel of its exit.
    """
    size = (SIZE[0], 0.9 + 1.6 * trace.exits)
    whole, panels = plt.subplots(trace.exits, sharex=True, squeeze=False, figsize=size)
    bins = np.linspace(0, 100, 41)
    for e, axes in enumerate(panels[:, 0]):
        confidence, correct = 100 * trace.confidence[e], trace.correct[e]
        axes.hist(confidence[correct], bins, color=COLOURS[0], alpha=0.6, label="right")
        axes.hist(confidence[~correct], bins, histtype="step", linewidth=2, color=COLOURS[1],
                  label="wrong")  # fmt: skip
        if e < len(thresholds):
            axes.axvline(100 * thresholds[e], color=INK, linestyle="--", label="threshold")
        axes.set_yscale("symlog", linthresh=10)
        label_axes(axes, "", f"exit {e + 1}: images")
    panels[-1, 0].set_xlabel("confidence (%)")
    legend_below(whole, panels[0, 0], columns=3)
    return whole


@drawn_once
def learning_curves(
    curves: Mapping[str, np.ndarray],
    *,
    ylabel: str = "accuracy (%)",
    xlabel: str = "epoch",
    log: bool = False,
) -> Figure:
    """Named curves over epochs or episodes, numbered from 1; `log` makes their axis logarithmic.

    A curve is [steps], or [seeds, steps]: then its mean is drawn, within the span of the seeds.
    """
    whole, axes = plt.subplots()
    for i, (name, values) in enumerate(curves.items()):
        values = np.atleast_2d(np.asarray(values, dtype=float))  # [seeds, steps]
        steps = np.arange(1, values.shape[1] + 1)
        axes.plot(steps, values.mean(axis=0), **nth_look(i), label=name,
                  markevery=max(1, len(steps) // 8))  # fmt: skip
        if len(values) > 1:
            low, high = values.min(axis=0), values.max(axis=0)
            axes.fill_between(steps, low, high, color=nth_look(i)["color"], alpha=0.2, linewidth=0)
    label_axes(axes, xlabel, ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    if log:
        log_heights(axes)
    legend_below(whole, axes)
    return whole
