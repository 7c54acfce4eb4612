"""The book's figures: grey ink on a transparent ground, legible on a phone, light and dark.

Every figure function returns a closed Matplotlib figure, so that a notebook shows it once, as the
value of its cell. Colours are Okabe and Ito's, told apart by readers with any colour vision; where
colour carries meaning, a marker, a hatch or a label carries it too.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import wraps

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from sparq_utils.traces.policies import pareto_front
from sparq_utils.traces.trace import ExitTrace

INK = "#7f7f7f"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Blue, vermilion, green, pink, orange, sky blue."""

MARKERS = "osD^vPX*"
HATCHES = ("", "///", "...", "xx", "\\\\\\", "++")
_SIZE = (5.6, 3.9)  # inches: on a 390 px screen the column's 350 px keep 13 pt text above 11 px

_RC = {
    "figure.figsize": _SIZE,
    "figure.dpi": 150,
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.prop_cycle": mpl.cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.25,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "hatch.linewidth": 0.8,
    "font.size": 13,
    "axes.titlesize": 13,
    "legend.fontsize": 12,
    "legend.frameon": False,
    "lines.linewidth": 2.2,
    "lines.markersize": 8,
}


def style() -> AbstractContextManager:
    """The book's Matplotlib settings, as a context: `with style(): ...`."""
    return mpl.rc_context(_RC)


def _figure(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the book's style; close the figure, so that a notebook shows it once."""

    @wraps(draw)
    def drawn(*args, **kwargs) -> Figure:
        with style():
            figure = draw(*args, **kwargs)
            figure.canvas.draw()  # ticks are made now, while the style holds
            plt.close(figure)
        return figure

    return drawn


@_figure
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
    figure, axes = plt.subplots()
    axes.plot(energy_j, 100 * accuracy, ".", color=INK, markersize=4, alpha=0.4, label=label)
    front = pareto_front(accuracy, energy_j)
    axes.step(energy_j[front], 100 * accuracy[front], where="post", label="Pareto front")
    for i, (name, (energy, right)) in enumerate((points or {}).items()):
        colour, marker = COLOURS[(i + 1) % len(COLOURS)], MARKERS[i % len(MARKERS)]
        axes.plot(energy, 100 * right, marker, color=colour, label=name, zorder=3)
    energy_axis(axes, log=log)
    axes.set_ylabel("accuracy (%)")
    _legend_below(figure, axes)
    return figure


@_figure
def exit_shares(shares: np.ndarray, classes: Sequence[str] | None = None) -> Figure:
    """Where each class leaves (the paper's Fig. 2): stacked bars, one a class.

    `shares` [classes, exits], each row summing to 1.
    """
    shares = np.asarray(shares, dtype=float)
    if not np.allclose(shares.sum(axis=1), 1):
        raise ValueError("each class's shares must sum to 1")
    names = [str(i) for i in range(len(shares))] if classes is None else list(classes)
    figure, axes = plt.subplots(figsize=(_SIZE[0], 1.4 + 0.34 * len(names)))
    parts = {f"exit {e + 1}": 100 * shares[:, e] for e in range(shares.shape[1])}
    _stack(axes, names, parts)
    axes.set_xlim(0, 100)
    _label(axes, "share of the class's images (%)", "class")
    _legend_below(figure, axes, columns=3)
    return figure


@_figure
def operations(counts: Mapping[str, Mapping[str, float]]) -> Figure:
    """Operations per image by variant on a logarithmic axis (the paper's Fig. 1).

    `counts` maps a variant to its kinds of operations, e.g. `{"snn": {"synaptic": 2e6, ...}}`;
    a kind that a variant does not have is left out or zero.
    """
    kinds = list(dict.fromkeys(kind for parts in counts.values() for kind in parts))
    height = 0.8 / len(kinds)
    rows = np.arange(len(counts))
    figure, axes = plt.subplots(figsize=(_SIZE[0], 1.5 + 0.26 * len(kinds) * len(counts)))
    for k, kind in enumerate(kinds):
        values = [parts.get(kind, 0) or np.nan for parts in counts.values()]
        axes.barh(rows + (k - (len(kinds) - 1) / 2) * height, values, height,
                  color=COLOURS[k], hatch=HATCHES[k], edgecolor="white", label=kind)  # fmt: skip
    axes.set_xscale("log")
    smallest = min(value for parts in counts.values() for value in parts.values() if value > 0)
    axes.set_xlim(left=10.0 ** (np.ceil(np.log10(smallest)) - 1))  # every bar has a length
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(rows, list(counts))
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    _label(axes, "operations per image", "")
    _legend_below(figure, axes)
    return figure


@_figure
def energy_breakdown(parts_j: Mapping[str, Mapping[str, float]], *, log: bool = False) -> Figure:
    """Where the joules of one image go: a stacked bar a variant.

    `parts_j` maps a variant to its parts in joules, `{"snn": {"synaptic": ..., "lif": ...}}`.
    With `log` the parts stand beside one another, for stacks mean nothing on such an axis.
    """
    if log:
        figure = operations.__wrapped__(parts_j)
        axes = figure.axes[0]
    else:
        kinds = list(dict.fromkeys(kind for parts in parts_j.values() for kind in parts))
        figure, axes = plt.subplots(figsize=(_SIZE[0], 1.5 + 0.45 * len(parts_j)))
        values = {k: np.array([parts.get(k, 0.0) for parts in parts_j.values()]) for k in kinds}
        _stack(axes, list(parts_j), values)
        _legend_below(figure, axes, columns=3)
    energy_axis(axes, log=log)
    return figure


@_figure
def reliability(trace: ExitTrace, bins: int = 10) -> Figure:
    """How far confidence can be believed: accuracy within each confidence bin, one line an exit.

    Bins with fewer than 10 samples are left out. On the dashed line confidence is accuracy
    (Guo et al., 2017).
    """
    figure, axes = plt.subplots(figsize=(_SIZE[0], 4.6))
    axes.plot([0, 100], [0, 100], "--", color=INK, linewidth=1.2, label="calibrated")
    edges = np.linspace(0, 1, bins + 1)
    for e in range(trace.exits):
        which = np.clip(np.digitize(trace.confidence[e], edges) - 1, 0, bins - 1)
        count = np.bincount(which, minlength=bins)
        enough = count >= 10
        mean = [np.bincount(which, values, bins)[enough] / count[enough]
                for values in (trace.confidence[e], trace.correct[e])]  # fmt: skip
        axes.plot(100 * mean[0], 100 * mean[1], marker=MARKERS[e % 8], label=f"exit {e + 1}")
    _label(axes, "mean confidence in the bin (%)", "accuracy in the bin (%)")
    axes.set_aspect("equal")
    axes.legend()
    return figure


@_figure
def confidence_histograms(trace: ExitTrace, thresholds: Sequence[float] = ()) -> Figure:
    """How confident each exit is when it is right and when it is wrong.

    One panel an exit, the last included; a threshold is drawn in the panel of its exit.
    """
    size = (_SIZE[0], 0.9 + 1.6 * trace.exits)
    figure, panels = plt.subplots(trace.exits, sharex=True, squeeze=False, figsize=size)
    bins = np.linspace(0, 100, 41)
    for e, axes in enumerate(panels[:, 0]):
        confidence, correct = 100 * trace.confidence[e], trace.correct[e]
        axes.hist(confidence[correct], bins, color=COLOURS[0], alpha=0.6, label="right")
        axes.hist(confidence[~correct], bins, histtype="step", linewidth=2, color=COLOURS[1],
                  label="wrong")  # fmt: skip
        if e < len(thresholds):
            axes.axvline(100 * thresholds[e], color=INK, linestyle="--", label="threshold")
        axes.set_yscale("symlog", linthresh=10)
        _label(axes, "", f"exit {e + 1}: images")
    panels[-1, 0].set_xlabel("confidence (%)")
    _legend_below(figure, panels[0, 0], columns=3)
    return figure


@_figure
def learning_curves(
    curves: Mapping[str, np.ndarray], *, ylabel: str = "accuracy (%)", xlabel: str = "epoch"
) -> Figure:
    """Named curves over epochs or episodes, numbered from 1.

    A curve is [steps], or [seeds, steps]: then its mean is drawn, within the span of the seeds.
    """
    figure, axes = plt.subplots()
    for i, (name, values) in enumerate(curves.items()):
        values = np.atleast_2d(np.asarray(values, dtype=float))  # [seeds, steps]
        steps = np.arange(1, values.shape[1] + 1)
        colour, every = COLOURS[i % len(COLOURS)], max(1, len(steps) // 8)
        axes.plot(steps, values.mean(axis=0), color=colour, label=name,
                  marker=MARKERS[i % len(MARKERS)], markevery=every)  # fmt: skip
        if len(values) > 1:
            low, high = values.min(axis=0), values.max(axis=0)
            axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
    _label(axes, xlabel, ylabel)
    _legend_below(figure, axes)
    return figure


@_figure
def lines(curves: Mapping, *, xlabel: str, ylabel: str = "", log: str = "") -> Figure:
    """Named lines, and levels dashed in ink, in one panel or in several above one another.

    `curves` maps a name to (x, y), or to one number: a level. If its values are such mappings
    themselves, each is a panel and its key the title; a name keeps its colour and marker in all.
    Lines of few points get markers. `log` names the logarithmic axes: "x", "y" or "xy".
    """
    panels = curves if isinstance(next(iter(curves.values())), Mapping) else {"": curves}
    size = (_SIZE[0], _SIZE[1] if len(panels) == 1 else 0.9 + 2.3 * len(panels))
    figure, drawn = plt.subplots(len(panels), sharex=True, squeeze=False, figsize=size)
    drawing = [n for panel in panels.values() for n, v in panel.items() if not np.isscalar(v)]
    order = list(dict.fromkeys(drawing))
    for axes, (title, panel) in zip(drawn[:, 0], panels.items(), strict=True):
        for name, values in panel.items():
            if np.isscalar(values):
                axes.axhline(values, color=INK, linestyle="--", label=name)
                continue
            i, few = order.index(name), len(values[0]) <= 20
            axes.plot(*values, color=COLOURS[i % len(COLOURS)], label=name,
                      marker=MARKERS[i % len(MARKERS)] if few else "")  # fmt: skip
            if "x" in log and few:
                axes.set_xscale("log")
                axes.set_xticks(values[0], [f"{x:g}" for x in values[0]])
        if "y" in log:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        _label(axes, "", ylabel)
        axes.set_title(title)
    drawn[-1, 0].set_xlabel(xlabel)
    _legend_below(figure, drawn[0, 0])
    return figure


@_figure
def images(rows: Mapping[str, Sequence[np.ndarray]], titles: Sequence = ()) -> Figure:
    """Rows of grey images [H, W], black at zero, each row under its name and scaled by itself.

    `titles` has one text per column, or one sequence of texts per row.
    """
    columns = max(map(len, rows.values()))
    size = (_SIZE[0], 0.3 + _SIZE[0] * len(rows) * (1.25 if len(titles) else 1) / columns)
    figure, panels = plt.subplots(len(rows), columns, squeeze=False, figsize=size)
    for r, (name, row) in enumerate(rows.items()):
        top = max(float(np.max(image)) for image in row) or 1.0
        for c, image in enumerate(row):
            panels[r, c].imshow(image, cmap="gray", vmin=0, vmax=top)
        panels[r, 0].set_ylabel(name)
    for axes in panels.flat:
        axes.set(xticks=[], yticks=[])
    texts = [titles] if titles and isinstance(titles[0], str) else titles
    for axes, title in zip(panels.flat, [t for row in texts for t in row], strict=False):
        axes.set_title(title)
    return figure


@_figure
def raster(spikes: Mapping[str, np.ndarray]) -> Figure:
    """Who spikes when: a panel per layer, one row per neuron, a tick at each of its timesteps.

    `spikes` maps a layer's name to what its neurons sent, [T, neurons].
    """
    size = (_SIZE[0], 0.7 + 1.5 * len(spikes))
    figure, panels = plt.subplots(len(spikes), sharex=True, squeeze=False, figsize=size)
    for axes, (name, sent) in zip(panels[:, 0], spikes.items(), strict=True):
        when, who = np.nonzero(sent)
        axes.plot(when + 1, who, "|", color=COLOURS[1], markersize=4, markeredgewidth=1.4)
        axes.set(title=name, ylabel="neuron", ylim=(-1, np.shape(sent)[1]))
    panels[-1, 0].set_xlabel("timestep")
    panels[-1, 0].set_xlim(0.5, len(sent) + 0.5)
    panels[-1, 0].xaxis.get_major_locator().set_params(integer=True)
    return figure


@_figure
def stacked(rows: Mapping[str, Mapping[str, float]], xlabel: str) -> Figure:
    """Horizontal stacked bars: `rows` maps a bar's name to its parts, in one order for all."""
    figure, axes = plt.subplots(figsize=(_SIZE[0], 1.5 + 0.42 * len(rows)))
    parts = dict.fromkeys(part for row in rows.values() for part in row)
    _stack(axes, list(rows), {p: np.array([r.get(p, 0) for r in rows.values()]) for p in parts})
    _label(axes, xlabel, "")
    _legend_below(figure, axes, columns=3)
    return figure


def energy_axis(axes: Axes, *, log: bool = False) -> None:
    """Make the horizontal axis, drawn upon already, one of modelled joules an image.

    A logarithmic one has ticks between the decades where it spans few of them.
    """
    if log:
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(EngFormatter("J"))
    axes.set_xlabel("modelled energy per image")


def _stack(axes: Axes, names: Sequence[str], parts: Mapping[str, np.ndarray]) -> None:
    """Horizontal stacked bars, the first name on top."""
    left = np.zeros(len(names))
    for i, (part, values) in enumerate(parts.items()):
        axes.barh(names, values, 0.75, left, color=COLOURS[i % len(COLOURS)],
                  hatch=HATCHES[i % len(HATCHES)], edgecolor="white", label=part)  # fmt: skip
        left = left + values
    axes.invert_yaxis()


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set(xlabel=x, ylabel=y)
    axes.grid(True)


def _legend_below(figure: Figure, axes: Axes, columns: int = 2) -> None:
    """A legend outside the data, where it covers nothing on a narrow screen."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns)
