"""The book's canvas: dark ink on a transparent ground, legible on a phone, light and dark.

The book's style sheet inverts the lightness of figures in dark mode and keeps their hues: every
colour here has a contrast of 4.5:1 or more in both. Where colour carries meaning, a marker, a
hatch or a label carries it too.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

INK = "#505050"
COLOURS = ("#0072b2", "#b84a00", "#007a58", "#a8457f", "#8a6100", "#5e35b1")
"""Blue, vermilion, green, pink, ochre, violet."""

EXITS = ("#00695c", "#8a4b00", "#5e35b1", "#0b5394", "#9c1f4a")
"""The colour of exit 1, 2, ..., the same as in the explorers."""

MARKERS = "osD^vPX*"
HATCHES = ("", "///", "...", "xx", "\\\\\\", "++")
_LOOKS = {
    "ann": (INK, "o"),
    "dynamic-ann": (INK, "X"),
    "qann": (COLOURS[4], "o"),
    "qdann": (COLOURS[4], "X"),
    "snn": (COLOURS[0], "s"),
    "qsnn": (COLOURS[2], "s"),
    "qdsnn-sparse": (COLOURS[3], "d"),
    "qdsnn": (COLOURS[1], "D"),
}
SIZE = (5.6, 3.9)  # inches: on a 390 px screen the column's 350 px keep 13 pt text above 11 px

_RC = {
    "figure.figsize": SIZE,
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
    "image.cmap": "gray_r",  # ink on paper, and after inversion light on dark
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


def look(variant: str) -> dict[str, str]:
    """The colour and marker of a network variant, `qdsnn-...` as `qdsnn`: keywords of `plot`."""
    known = [name for name in _LOOKS if f"{variant}-".startswith(f"{name}-")]
    if not known:
        raise ValueError(f"{variant!r} is no variant: its name starts with none of {[*_LOOKS]}")
    colour, marker = _LOOKS[known[0]]
    return {"color": colour, "marker": marker}


def style() -> AbstractContextManager:
    """The book's Matplotlib settings, as a context: `with style(): ...`."""
    return mpl.rc_context(_RC)


@contextmanager
def figure(rows: int = 1, columns: int = 1, **settings: object) -> Iterator[tuple[Figure, object]]:
    """A canvas in the book's style: `with figure(2, sharex=True) as (whole, panels): ...`.

    Gives what `plt.subplots(rows, columns, **settings)` returns; a notebook shows the figure when
    the block ends. `settings` may name `figsize` in inches and whatever else `subplots` takes.
    """
    with style():
        whole, axes = plt.subplots(rows, columns, **settings)
        yield whole, axes
        whole.canvas.draw()  # ticks are made now, while the style holds
        plt.close(whole)
    show_in_notebook(whole)


def show_in_notebook(whole: Figure) -> None:
    """Show a closed figure in a notebook; elsewhere do nothing."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return
    if get_ipython() is not None:
        display(whole)


def drawn_once(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the book's style; close the figure, so that a notebook shows it once."""

    @wraps(draw)
    def drawn(*args, **kwargs) -> Figure:
        with style():
            whole = draw(*args, **kwargs)
            whole.canvas.draw()
            plt.close(whole)
        return whole

    return drawn


def energy_axis(axes: Axes, *, log: bool = False) -> None:
    """Make the horizontal axis, drawn upon already, one of modelled joules per image.

    A logarithmic one has ticks between the decades where it spans few of them.
    """
    prefixed(axes, "J", log=log)
    axes.set_xlabel("modelled energy per image")


def prefixed(axes: Axes, unit: str, *, log: bool = False) -> None:
    """Let the numbers of the horizontal axis, drawn upon already, take prefixes: 2 µJ."""
    if log:
        log_ticks(axes)
    axes.xaxis.set_major_formatter(EngFormatter(unit, sep="\N{NO-BREAK SPACE}"))


def log_ticks(axes: Axes) -> None:
    """Make the horizontal axis logarithmic; few decades get ticks between them."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    few = MaxNLocator(5) if high < 8 * low else LogLocator(subs=(1, 2, 5))
    axes.xaxis.set_major_locator(few if high < 100 * low else LogLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


def log_heights(axes: Axes) -> None:
    """Make the vertical axis logarithmic, with plain numbers at 1, 2, 5, 10, ..."""
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")


def nth_look(i: int) -> dict[str, str]:
    """Colour and marker of the curve numbered `i` from 0."""
    return {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}


def exit_look(e: int) -> dict[str, str]:
    """Colour and marker of the exit numbered `e` from 0."""
    return {"color": EXITS[e % len(EXITS)], "marker": MARKERS[e % len(MARKERS)]}


def label_axes(axes: Axes, x: str, y: str) -> None:
    """Name both axes and draw the grid."""
    axes.set(xlabel=x, ylabel=y)
    axes.grid(True)


def legend_below(whole: Figure, axes: Axes, columns: int = 2) -> None:
    """A legend outside the data, where it covers nothing on a narrow screen."""
    whole.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns)
