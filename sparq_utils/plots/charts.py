"""Charts of any numbers: lines, images, rasters, dots on one axis, stacked bars.

Each returns a closed Matplotlib figure, so that a notebook shows it once, as its cell's value.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from sparq_utils.plots.canvas import (
    COLOURS,
    EXITS,
    HATCHES,
    INK,
    SIZE,
    drawn_once,
    label_axes,
    legend_below,
    log_heights,
    look,
    nth_look,
    prefixed,
)


@drawn_once
def lines(
    curves: Mapping,
    *,
    xlabel: str,
    ylabel: str = "",
    log: str = "",
    variants: Mapping[str, str] | None = None,
    ticks: Sequence | None = None,
    guide: str = "",
) -> Figure:
    """Named lines, and levels dashed in ink, in one panel or in several above one another.

    `curves` maps a name to (x, y), or to one number: a level. If its values are such mappings
    themselves, each is a panel and its key the title; a name keeps its colour and marker in all.
    Lines of few points get markers. `log` names the logarithmic axes: "x", "y" or "xy".
    `variants` gives a name the colour and marker of a network variant (:func:`look`). `ticks` name
    the places 0, 1, ... of the horizontal axis. The line named `guide` leads the eye alone: dashed,
    in ink.
    """
    panels = curves if isinstance(next(iter(curves.values())), Mapping) else {"": curves}
    size = (SIZE[0], SIZE[1] if len(panels) == 1 else 0.9 + 2.3 * len(panels))
    figure, drawn = plt.subplots(len(panels), sharex=True, squeeze=False, figsize=size)
    drawing = [n for panel in panels.values() for n, v in panel.items() if not np.isscalar(v)]
    order = list(dict.fromkeys(name for name in drawing if name != guide))
    for axes, (title, panel) in zip(drawn[:, 0], panels.items(), strict=True):
        for name, values in panel.items():
            if np.isscalar(values):
                axes.axhline(values, color=INK, linestyle="--", label=name)
                continue
            if name == guide:
                axes.plot(*values, "--", color=INK, label=name)
                continue
            few, nth = len(values[0]) <= 20, nth_look(order.index(name))
            own = look(variants[name]) if variants else nth
            axes.plot(*values, **own | ({} if few else {"marker": ""}), label=name)
            if "x" in log and few:
                axes.set_xscale("log")
                axes.set_xticks(values[0], [f"{x:g}" for x in values[0]])
        if "y" in log:
            log_heights(axes)
        axes.minorticks_off()
        label_axes(axes, "", ylabel)
        axes.set_title(title)
        if "x" not in log:
            axes.locator_params(axis="x", nbins=6)
    if ticks is not None:
        axes.set_xticks(range(len(ticks)), [str(text) for text in ticks])
    drawn[-1, 0].set_xlabel(xlabel)
    legend_below(figure, drawn[0, 0])
    return figure


@drawn_once
def clouds(panels: Mapping[str, Mapping[str, tuple]], *, ylabel: str) -> Figure:
    """Points in several panels above one another, the first kind of each a cloud in grey.

    `panels` maps the label of a horizontal axis to named points, (x, y) each: arrays of any one
    shape, or single numbers. The names are the same in all panels.
    """
    whole, drawn = plt.subplots(len(panels), squeeze=False, figsize=(SIZE[0], 3.5 * len(panels)))
    for axes, (xlabel, kinds) in zip(drawn[:, 0], panels.items(), strict=True):
        for i, (name, (x, y)) in enumerate(kinds.items()):
            own = {"color": INK, "marker": ".", "markersize": 4, "alpha": 0.3}
            own = own if not i else nth_look(i - 1) | {"marker": "xsD^vP"[(i - 1) % 6]}
            axes.plot(np.ravel(x), np.ravel(y), linestyle="", **own, label=name)
        label_axes(axes, xlabel, ylabel)
    legend_below(whole, drawn[0, 0])
    return whole


@drawn_once
def images(rows: Mapping[str, Sequence[np.ndarray]], titles: Sequence = ()) -> Figure:
    """Rows of grey images [H, W], blank at zero, each row under its name and scaled by itself.

    `titles` has one text per column, or one sequence of texts per row.
    """
    columns = max(map(len, rows.values()))
    size = (SIZE[0], 0.3 + SIZE[0] * len(rows) * (1.25 if len(titles) else 1) / columns)
    figure, panels = plt.subplots(len(rows), columns, squeeze=False, figsize=size)
    for r, (name, row) in enumerate(rows.items()):
        top = max(float(np.asarray(image).max()) for image in row) or 1.0
        for c, image in enumerate(row):
            panels[r, c].imshow(image, vmin=0, vmax=top)
        panels[r, 0].set_ylabel(name)
    for axes in panels.flat:
        axes.set(xticks=[], yticks=[])
    texts = [titles] if titles and isinstance(titles[0], str) else titles
    for axes, title in zip(panels.flat, [t for row in texts for t in row], strict=False):
        axes.set_title(title)
    return figure


@drawn_once
def raster(spikes: Mapping[str, np.ndarray]) -> Figure:
    """Who spikes when: a panel per layer, one row per neuron, a tick at each of its timesteps.

    `spikes` maps a layer's name to what its neurons sent, [T, neurons].
    """
    size = (SIZE[0], 0.7 + 1.5 * len(spikes))
    figure, panels = plt.subplots(len(spikes), sharex=True, squeeze=False, figsize=size)
    for axes, (name, sent) in zip(panels[:, 0], spikes.items(), strict=True):
        when, who = np.nonzero(sent)
        height = min(5.0, 75 / np.shape(sent)[1])  # of a row, in points: ticks do not touch
        axes.plot(when + 1, who, "|", color=COLOURS[1], markersize=height, markeredgewidth=1.4)
        axes.set(title=name, ylabel="neuron", ylim=(-1, np.shape(sent)[1]))
    panels[-1, 0].set_xlabel("timestep")
    panels[-1, 0].set_xlim(0.5, len(sent) + 0.5)
    panels[-1, 0].xaxis.get_major_locator().set_params(integer=True)
    return figure


@drawn_once
def dots(
    values: Mapping[str, Mapping[str, float]],
    *,
    xlabel: str,
    unit: str = "",
    log: bool = True,
    legend_columns: int = 2,
) -> Figure:
    """A dot plot: a line for each row, a marker for each kind of number in it.

    `values` maps a row to its numbers by kind, `{"SNN": {"spikes": 2e6, ...}}`; a number that is
    missing, or zero on a logarithmic axis, is left out. `unit` ("J", "B", "") takes prefixes.
    """
    kinds = list(dict.fromkeys(kind for row in values.values() for kind in row))
    whole, axes = plt.subplots(figsize=(SIZE[0], 1.5 + 0.42 * len(values)))
    for i, kind in enumerate(kinds):
        given = [(row[kind], y) for y, row in enumerate(values.values()) if row.get(kind)]
        axes.plot(*zip(*given, strict=True), linestyle="", **nth_look(i), label=kind)
    axes.set_yticks(range(len(values)), list(values))
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.grid(True)
    prefixed(axes, unit, log=log)
    axes.set_xlabel(xlabel)
    legend_below(whole, axes, columns=legend_columns)
    return whole


@drawn_once
def stacked(rows: Mapping[str, Mapping[str, float]], xlabel: str, *, unit: str = "") -> Figure:
    """Horizontal stacked bars: `rows` maps a bar's name to its parts, in one order for all.

    Parts named "exit 1", "exit 2", ... have the colours that the explorers give them. `unit` ("J",
    "B") takes prefixes.
    """
    figure, axes = plt.subplots(figsize=(SIZE[0], 1.5 + 0.42 * len(rows)))
    parts = list(dict.fromkeys(part for row in rows.values() for part in row))
    colours = EXITS if all(part.startswith("exit ") for part in parts) else COLOURS
    left = np.zeros(len(rows))
    for i, part in enumerate(parts):
        widths = np.array([row.get(part, 0.0) for row in rows.values()])
        axes.barh(list(rows), widths, 0.75, left, color=colours[i % len(colours)],
                  hatch=HATCHES[i % len(HATCHES)], edgecolor="white", label=part)  # fmt: skip
        left = left + widths
    axes.invert_yaxis()
    label_axes(axes, xlabel, "")
    if unit or np.max(left) >= 1e4:
        prefixed(axes, unit)
    legend_below(figure, axes, columns=3)
    return figure
