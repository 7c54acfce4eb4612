"""Pictures of one idea each: a neuron's potential, rounding, an image on its way, a Q-table."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from sparq_utils.plots.canvas import COLOURS, EXITS, INK, SIZE, drawn_once, legend_below
from sparq_utils.traces.qlearning import CONTINUE, LEAVE, greedy
from sparq_utils.traces.trace import ExitTrace


@drawn_once
def membrane(cases: Mapping[str, tuple[np.ndarray, np.ndarray]], threshold: float = 1.0) -> Figure:
    """One neuron over time, a panel per case: its potential and its spikes, [T] each."""
    size = (SIZE[0], 1.0 + 1.7 * len(cases))
    whole, panels = plt.subplots(len(cases), sharex=True, squeeze=False, figsize=size)
    for axes, (name, (potential, spikes)) in zip(panels[:, 0], cases.items(), strict=True):
        steps = np.arange(1, len(potential) + 1)
        axes.step(steps, potential, where="mid", label="potential")
        axes.axhline(threshold, color=INK, linestyle="--", label="threshold")
        at = steps[np.asarray(spikes) > 0]
        axes.plot(at, np.full(len(at), 1.45 * threshold), "|", markersize=14, label="spike")
        axes.set(ylabel="potential", ylim=(0, 1.6 * threshold), title=name)
    panels[-1, 0].set_xlabel("timestep")
    legend_below(whole, panels[0, 0], columns=3)
    return whole


@drawn_once
def rounding(values: np.ndarray, rounded: Mapping[str, np.ndarray]) -> Figure:
    """How values are spread, and what rounding them changes, one by one.

    `rounded` maps the name of a grid to the values on it, coarsest first; the points of the first
    grid are drawn as dashed lines.
    """
    values = np.ravel(values)
    whole, (above, below) = plt.subplots(2, sharex=True, figsize=(SIZE[0], 5))
    above.hist(values, 80)
    for point in np.unique(np.ravel(next(iter(rounded.values()))).round(9)):
        above.axvline(point, color=INK, linestyle="--", linewidth=0.8)
    above.set_ylabel("values")
    for (name, grid), marker in zip(rounded.items(), "os^D", strict=False):
        below.plot(values, np.ravel(grid) - values, marker, markersize=2.5, label=name)
    below.set(xlabel="value", ylabel="change")
    below.grid(True)
    below.legend(ncols=len(rounded), loc="lower center", bbox_to_anchor=(0.5, 1), markerscale=3)
    return whole


@drawn_once
def numbers(values: np.ndarray) -> Figure:
    """A small matrix [rows, columns] of whole numbers, each in its square, darker if larger."""
    values = np.asarray(values)
    whole, axes = plt.subplots(figsize=(3.2, 3.2))
    axes.imshow(values, cmap="Blues", vmin=0, vmax=2 * values.max())  # dark ink stays legible
    for (row, column), value in np.ndenumerate(values):
        axes.text(column, row, f"{value:.0f}", ha="center", va="center")
    axes.set_axis_off()
    return whole


@drawn_once
def on_the_way(
    pictures: Sequence[np.ndarray],
    trace: ExitTrace,
    samples: Sequence[int],
    left: Sequence[int],
    threshold: float,
) -> Figure:
    """Pictures [H, W] beside how sure each exit is of them; exits never reached are outlined.

    `samples` are their numbers in the trace, `left` the exits, from 0, at which they leave.
    """
    size = (SIZE[0], 2.3 * len(samples))
    whole, panels = plt.subplots(len(samples), 2, squeeze=False, figsize=size)
    for (picture, chart), image, sample, exit in zip(panels, pictures, samples, left, strict=True):
        picture.imshow(image)
        picture.axis("off")
        answers = enumerate(trace.prediction[:, sample], 1)
        names = [f"exit {e}: {answer}" for e, answer in answers]
        bars = chart.barh(names, 100 * trace.confidence[:, sample], edgecolor=INK,
                          color=EXITS[: trace.exits])  # fmt: skip
        for bar in bars[exit + 1 :]:
            bar.set(fill=False)
        chart.axvline(100 * threshold, color=INK, linestyle="--")
        chart.set(xlim=(0, 105), title=f"leaves at exit {exit + 1}")
        chart.invert_yaxis()
    panels[-1, 1].set_xlabel("confidence (%)")
    return whole


@drawn_once
def decision_process(exits: int = 3) -> Figure:
    """Leaving early as a decision process: at each exit leave, or continue to the next."""
    arrow = {"arrowstyle": "-|>", "mutation_scale": 18, "color": INK}
    whole, axes = plt.subplots(figsize=(SIZE[0], 2.6))
    for e in range(exits):
        x = 2 * e
        axes.text(x, 1, f"exit {e + 1}\n+ bin", ha="center", va="center")
        axes.plot(x, 1, "o", markersize=62, markerfacecolor="none", color=INK)
        axes.annotate("", (x, -0.4), (x, 0.35), arrowprops=arrow)
        axes.text(x, -0.75, "leave: Eq. 1", ha="center", color=COLOURS[1])
        if e < exits - 1:
            axes.annotate("", (x + 1.4, 1), (x + 0.6, 1), arrowprops=arrow)
            axes.text(x + 1, 1.75, "continue: 0", ha="center", color=COLOURS[0])
    axes.set(xlim=(-0.9, 2 * exits - 1.1), ylim=(-1, 2.1))
    axes.axis("off")
    return whole


@drawn_once
def q_table(q: np.ndarray, visits: np.ndarray, edges: Sequence[str], rare: int = 20) -> Figure:
    """What leaving is worth more than continuing, by confidence bin; a panel per exit but the last.

    `q` and `visits` are [exits, bins, 2], `edges` the text of each bin's lower edge. Bins with
    fewer than `rare` visits carry a cross.
    """
    leaves, worth = greedy(q)[:-1], (q[..., LEAVE] - q[..., CONTINUE])[:-1]
    whole, panels = plt.subplots(len(worth), sharex=True, squeeze=False,
                                 figsize=(SIZE[0], 1 + 2 * len(worth)))  # fmt: skip
    for e, axes in enumerate(panels[:, 0]):
        for which, label, hatch in ((leaves[e], "leaves", ""), (~leaves[e], "continues", "///")):
            axes.bar(which.nonzero()[0], worth[e, which], hatch=hatch, label=label)
        seldom = (visits[e].sum(axis=-1) < rare).nonzero()[0]
        axes.plot(seldom, 0 * seldom, "x", color=INK, label=f"under {rare} visits")
        axes.set_ylabel(f"exit {e + 1}: gain")
        axes.grid(axis="y")
    panels[-1, 0].set_xticks(range(len(edges)), edges, rotation=90)
    panels[-1, 0].set_xlabel("confidence bin, from")
    legend_below(whole, panels[0, 0], columns=3)
    return whole
