"""All thresholds at once: what every combination achieves, and choosing among them."""

from dataclasses import dataclass

import numpy as np

from sparq_utils.traces.policies import Thresholds, checked_thresholds
from sparq_utils.traces.prices import check_whole
from sparq_utils.traces.trace import ExitTrace

MAX_CELLS = 20_000_000
"""The most threshold combinations that a sweep evaluates."""

UNASKED_CELLS = 2_000_000
"""As many it evaluates if nobody says how finely: every 0.01 up to four exits, then coarser."""


@dataclass(frozen=True)
class Sweep:
    """Every combination of the thresholds `grid`, for a trace with E exits.

    `cost` and `accuracy` are [grid] * (E - 1), `exit_shares` [E, grid, ...]; axis i is the
    threshold of exit i. Accuracy and shares are fractions, cost is a mean per image in the
    unit of what was swept.
    """

    grid: np.ndarray
    cost: np.ndarray
    accuracy: np.ndarray
    exit_shares: np.ndarray


def threshold_grid(steps: int = 101) -> np.ndarray:
    """Evenly spaced thresholds from 0 to 1, each the double nearest i / (steps - 1).

    Raises `ValueError` for fewer than 2 steps.
    """
    check_whole("steps", steps, least=2)
    return np.arange(steps) / (steps - 1)


def sweep_thresholds(
    trace: ExitTrace,
    cost: np.ndarray | None = None,
    steps: int | None = None,
    grid: np.ndarray | None = None,
) -> Sweep:
    """Accuracy, exit shares and mean cost of every combination of thresholds.

    `cost` [exits, samples] is cumulative, synaptic operations if None, joules for energy. The
    thresholds are `grid` (rising, in [0, 1]) or `steps` even ones; without either 101, or with
    more than four exits as many as :data:`UNASKED_CELLS` allow. Integer costs are summed
    exactly; float ones to rounding.

    Each sample is counted once in a histogram over the number of thresholds that its
    confidences reach; cumulative sums over that histogram then answer all combinations.
    Raises `ValueError` for a single exit, a grid that does not rise, too many combinations, or
    costs that are negative or not finite.
    """
    if trace.exits < 2:
        raise ValueError("a trace with a single exit has no thresholds to sweep")
    if grid is None and steps is None:
        steps = min(101, max(2, int(UNASKED_CELLS ** (1 / (trace.exits - 1))) - 1))
    grid = threshold_grid(steps) if grid is None else checked_thresholds(grid)
    if grid.size == 0 or (np.diff(grid) <= 0).any():
        raise ValueError("the grid of thresholds must rise strictly")
    if (grid.size + 1) ** (trace.exits - 1) > MAX_CELLS:
        raise ValueError(
            f"{grid.size} thresholds at {trace.exits - 1} exits are more than {MAX_CELLS:,} "
            "combinations; pass fewer steps or a coarser grid"
        )
    cost = trace.synaptic_ops if cost is None else np.broadcast_to(cost, trace.confidence.shape)
    if not ((cost >= 0) & (cost < np.inf)).all():
        raise ValueError("costs are finite and at least 0; some are not")
    reached = np.searchsorted(grid, trace.confidence[:-1].astype(np.float64), side="right")
    ones = np.ones(trace.samples)
    shape = (grid.size,) * (trace.exits - 1)
    right, spent, shares = np.zeros(shape), np.zeros(shape), np.zeros((trace.exits, *shape))
    for index in range(trace.exits):
        cells = _cells(reached[: index + 1], grid.size + 1)
        leaves = [
            _who_leaves(cells, values, index, trace.exits, grid.size)
            for values in (ones, trace.correct[index], cost[index])
        ]
        shares[index] = leaves[0]
        right += leaves[1]
        spent += leaves[2]
    return Sweep(grid, spent / trace.samples, right / trace.samples, shares / trace.samples)


def pareto_front(cost: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """Flat indices of the points that no other beats in both, from cheap to dear.

    A point stays if every point at most as dear is less accurate; of equal points the first
    stays. `cost` and `accuracy` are arrays of one shape. Raises `ValueError` for others, and for
    NaN, which no point beats.
    """
    if np.shape(cost) != np.shape(accuracy) or np.isnan(cost).any() or np.isnan(accuracy).any():
        raise ValueError("costs and accuracies are numbers, one of each per point")
    accuracy, cost = np.ravel(accuracy), np.ravel(cost)
    order = np.lexsort((-accuracy, cost))  # cheapest first, among equals the most accurate
    best_before = np.maximum.accumulate(np.concatenate([[-np.inf], accuracy[order][:-1]]))
    return order[accuracy[order] > best_before]


def choose_thresholds(
    trace: ExitTrace,
    max_loss: float | None = None,
    cost: np.ndarray | None = None,
    steps: int | None = None,
    against: float | None = None,
) -> Thresholds:
    """Choose thresholds on a trace of *validation* data.

    Without `max_loss`: the highest accuracy, the cheapest such. With it: the cheapest whose
    accuracy is at most `max_loss` (a fraction) below `against` (the last exit's accuracy if
    None), or the most accurate if that is out of reach (a confidence of exactly 1 leaves at any
    threshold). `cost` and `steps` as in :func:`sweep_thresholds`. A trace with a single exit
    needs none. Raises `ValueError` for a loss or an accuracy that is no number.
    """
    for what, value in (("max_loss", max_loss), ("against", against)):
        if value is not None and not -np.inf < value < np.inf:
            raise ValueError(f"{what} is {value}, expected a fraction")
    if trace.exits == 1:
        return Thresholds(())
    sweep = sweep_thresholds(trace, cost, steps)
    wanted = sweep.accuracy.max()
    if max_loss is not None:
        full = trace.correct[-1].mean() if against is None else against
        wanted = min(wanted, full - max_loss)
    # Accuracies are multiples of 1/samples: half of one absorbs the rounding of max_loss.
    enough = sweep.accuracy >= wanted - 0.5 / trace.samples
    cheapest = np.where(enough, sweep.cost, np.inf).argmin()
    return _at(sweep, cheapest)


def thresholds_within(
    trace: ExitTrace, max_cost: float, cost: np.ndarray | None = None, steps: int | None = None
) -> Thresholds:
    """The most accurate thresholds on *validation* data that cost no more than `max_cost`.

    Of equally accurate ones the cheapest; the cheapest of all if `max_cost`, a mean per image,
    is out of reach. `cost` and `steps` as in :func:`sweep_thresholds`. Raises `ValueError` for a
    budget that is no number of at least 0.
    """
    if not max_cost >= 0:
        raise ValueError(f"max_cost is {max_cost}, expected at least 0")
    if trace.exits == 1:
        return Thresholds(())
    sweep = sweep_thresholds(trace, cost, steps)
    most = max(max_cost * (1 + 1e-12), sweep.cost.min())  # a hair: sums of floats are rounded
    accuracy = np.where(sweep.cost <= most, sweep.accuracy, -1)
    best = accuracy >= accuracy.max() - 0.5 / trace.samples
    return _at(sweep, np.where(best, sweep.cost, np.inf).argmin())


def _at(sweep: Sweep, index: int) -> Thresholds:
    """The thresholds at a flat index of a sweep."""
    return Thresholds(sweep.grid[list(np.unravel_index(index, sweep.cost.shape))])


def _cells(reached: np.ndarray, size: int) -> np.ndarray:
    """Histogram cell of each sample, given thresholds reached per exit [exits, samples]."""
    cells = np.zeros(reached.shape[1], dtype=np.int64)
    for row in reached:
        cells = cells * size + row
    return cells


def _who_leaves(
    cells: np.ndarray, values: np.ndarray, index: int, exits: int, grid: int
) -> np.ndarray:
    """Sum of `values` over the samples that leave at exit `index`, for every combination.

    `cells` come from the exits up to `index`, the last exit excluded. A sample that reaches r
    thresholds leaves where the threshold's position is below r and stays where it is not.
    """
    axes = min(index + 1, exits - 1)
    sums = np.bincount(cells, values, minlength=(grid + 1) ** axes).reshape((grid + 1,) * axes)
    for axis in range(axes):
        below = sums.cumsum(axis).take(range(grid), axis)  # reached at most i: stays
        leaves_here = axis == index
        sums = sums.sum(axis, keepdims=True) - below if leaves_here else below
    return sums.reshape(sums.shape + (1,) * (exits - 1 - axes))
