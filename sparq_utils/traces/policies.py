"""When to leave: fixed thresholds, tables over (exit, confidence bin), the oracle, the optimum.

A policy turns a trace into `leaving`, int64 [samples]: the exit at which each sample leaves.
Everywhere a sample leaves at the first exit that lets it go, and the last exit takes the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparq_utils.traces.trace import COUNTS, ExitTrace

BIN_EDGES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
"""Where one confidence bin ends and the next begins: 13 bins, fine near 1, where softmax
confidences pile up. Bin k holds confidences in [edge k-1, edge k)."""

MAX_CELLS = 20_000_000
"""The most threshold combinations that a sweep evaluates."""


@dataclass(frozen=True)
class Outcome:
    """What a policy achieves: fractions, and mean cumulative counts per image.

    `mean_counts` has the keys of :data:`sparq_utils.traces.trace.COUNTS` and "synaptic_ops".
    """

    accuracy: float
    exit_shares: tuple[float, ...]
    mean_counts: dict[str, float]


@dataclass(frozen=True)
class Sweep:
    """Every combination of the thresholds `grid`, for a trace with E exits.

    `accuracy` and `cost` are [grid] * (E - 1), `exit_shares` [E, grid, ...]; axis i is the
    threshold of exit i. Accuracy and shares are fractions, cost is a mean per image in the
    unit of what was swept.
    """

    grid: np.ndarray
    accuracy: np.ndarray
    exit_shares: np.ndarray
    cost: np.ndarray


def threshold_grid(steps: int = 101) -> np.ndarray:
    """Evenly spaced thresholds from 0 to 1, each the double nearest i / (steps - 1).

    Raises `ValueError` for fewer than 2 steps.
    """
    if steps < 2:
        raise ValueError(f"{steps} steps; a grid of thresholds from 0 to 1 has at least 2")
    return np.arange(steps) / (steps - 1)


def leave_at_thresholds(trace: ExitTrace, thresholds: Sequence[float]) -> np.ndarray:
    """Leave at the first exit whose confidence reaches its threshold: int64 [samples].

    One threshold for every exit but the last. Confidence is compared in float64. Raises
    `ValueError` for a wrong number of thresholds or one outside [0, 1].
    """
    limits = _checked_thresholds(thresholds)
    if limits.shape != (trace.exits - 1,):
        raise ValueError(
            f"{limits.size} thresholds for {trace.exits} exits; "
            f"give {trace.exits - 1}, the last exit takes whoever is left"
        )
    return _first(trace.confidence[:-1].astype(np.float64) >= limits[:, None])


def leave_by_table(
    trace: ExitTrace, leave: np.ndarray, bin_edges: Sequence[float] = BIN_EDGES
) -> np.ndarray:
    """Leave where a table says so: int64 [samples].

    `leave` is bool [exits, bins]; its last row is not read, since everybody leaves there.
    Raises `ValueError` for a table of another shape or edges that do not rise within (0, 1).
    """
    bins = confidence_bins(trace, bin_edges)
    if leave.dtype != bool or leave.shape != (trace.exits, len(bin_edges) + 1):
        raise ValueError(
            f"the table is {leave.dtype} {leave.shape}; "
            f"expected bool {(trace.exits, len(bin_edges) + 1)}"
        )
    return _first(np.take_along_axis(leave[:-1], bins[:-1], axis=1))


def oracle(trace: ExitTrace) -> np.ndarray:
    """Leave at the first exit that is right, at the last if none is: int64 [samples].

    It knows the labels: the best accuracy any policy can have, not a policy to deploy.
    """
    return _first(trace.correct[:-1])


def confidence_bins(trace: ExitTrace, bin_edges: Sequence[float] = BIN_EDGES) -> np.ndarray:
    """The confidence bin of every sample at every exit: int64 [exits, samples].

    Raises `ValueError` if the edges do not rise strictly within (0, 1).
    """
    edges = np.asarray(bin_edges, dtype=np.float64)
    bounded = np.concatenate([[0.0], edges, [1.0]])
    if edges.ndim != 1 or not (np.diff(bounded) > 0).all():
        raise ValueError(f"bin edges {tuple(bin_edges)} do not rise strictly between 0 and 1")
    return np.searchsorted(edges, trace.confidence.astype(np.float64), side="right")


def at_exit(values: np.ndarray, leaving: np.ndarray) -> np.ndarray:
    """What `values` [exits, samples] are at each sample's exit: [samples]."""
    return values[leaving, np.arange(leaving.size)]


def outcome(trace: ExitTrace, leaving: np.ndarray) -> Outcome:
    """What it gives when sample i leaves at exit `leaving[i]`.

    Raises `ValueError` unless `leaving` names an exit for every sample.
    """
    if leaving.shape != (trace.samples,) or leaving.min() < 0 or leaving.max() >= trace.exits:
        raise ValueError(
            f"'leaving' must name one of {trace.exits} exits for each of {trace.samples} samples"
        )
    counts = {name: trace.count(name) for name in COUNTS} | {"synaptic_ops": trace.synaptic_ops}
    return Outcome(
        accuracy=float(at_exit(trace.correct, leaving).mean()),
        exit_shares=tuple((np.bincount(leaving, minlength=trace.exits) / trace.samples).tolist()),
        mean_counts={name: float(at_exit(n, leaving).mean()) for name, n in counts.items()},
    )


def sweep_thresholds(
    trace: ExitTrace,
    cost: np.ndarray | None = None,
    steps: int = 101,
    grid: np.ndarray | None = None,
) -> Sweep:
    """Accuracy, exit shares and mean cost of every combination of thresholds.

    `cost` [exits, samples] is cumulative, synaptic operations if None, joules for energy. The
    thresholds are `grid` (rising, in [0, 1]) or `steps` even ones. Integer costs are summed
    exactly; float ones to rounding.

    Each sample is counted once in a histogram over the number of thresholds that its
    confidences reach; cumulative sums over that histogram then answer all combinations.
    Raises `ValueError` for a single exit, a grid that does not rise, or too many combinations.
    """
    grid = threshold_grid(steps) if grid is None else _checked_thresholds(grid)
    if trace.exits < 2:
        raise ValueError("a trace with a single exit has no thresholds to sweep")
    if grid.size == 0 or (np.diff(grid) <= 0).any():
        raise ValueError("the grid of thresholds must rise strictly")
    if (grid.size + 1) ** (trace.exits - 1) > MAX_CELLS:
        raise ValueError(
            f"{grid.size} thresholds at {trace.exits - 1} exits are more than {MAX_CELLS:,} "
            "combinations; pass fewer steps or a coarser grid"
        )
    cost = trace.synaptic_ops if cost is None else np.broadcast_to(cost, trace.confidence.shape)
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
    return Sweep(grid, right / trace.samples, shares / trace.samples, spent / trace.samples)


def pareto_front(accuracy: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Flat indices of the points that no other beats in both, from cheap to dear.

    A point stays if every point at most as dear is less accurate; of equal points the first
    stays. `accuracy` and `cost` are arrays of one shape.
    """
    accuracy, cost = np.ravel(accuracy), np.ravel(cost)
    order = np.lexsort((-accuracy, cost))  # cheapest first, among equals the most accurate
    best_before = np.maximum.accumulate(np.concatenate([[-np.inf], accuracy[order][:-1]]))
    return order[accuracy[order] > best_before]


def choose_thresholds(
    trace: ExitTrace,
    max_loss: float | None = None,
    cost: np.ndarray | None = None,
    steps: int = 101,
) -> tuple[float, ...]:
    """Choose thresholds on a trace of *validation* data.

    Without `max_loss`: the highest accuracy, the cheapest such. With it: the cheapest whose
    accuracy is at most `max_loss` (a fraction) below the last exit's, or the most accurate if
    that is out of reach (a confidence of exactly 1 leaves at any threshold). `cost` as in
    :func:`sweep_thresholds`. A trace with a single exit needs none: ().
    """
    if trace.exits == 1:
        return ()
    sweep = sweep_thresholds(trace, cost, steps)
    wanted = sweep.accuracy.max()
    if max_loss is not None:
        wanted = min(wanted, trace.correct[-1].mean() - max_loss)
    # Accuracies are multiples of 1/samples: half of one absorbs the rounding of max_loss.
    enough = sweep.accuracy >= wanted - 0.5 / trace.samples
    cheapest = np.where(enough, sweep.cost, np.inf).argmin()
    return tuple(float(sweep.grid[i]) for i in np.unravel_index(cheapest, sweep.cost.shape))


def _checked_thresholds(thresholds: Sequence[float] | np.ndarray) -> np.ndarray:
    """Thresholds as float64 [n]; refuses values outside [0, 1] and NaN."""
    limits = np.asarray(thresholds, dtype=np.float64)
    if limits.ndim != 1 or not ((limits >= 0) & (limits <= 1)).all():
        raise ValueError(f"thresholds {thresholds} must be a list of numbers in [0, 1]")
    return limits


def _first(leaves: np.ndarray) -> np.ndarray:
    """First exit that lets a sample go, given bool [exits - 1, samples]: int64 [samples]."""
    everybody = np.ones((1, leaves.shape[1]), dtype=bool)
    return np.concatenate([leaves, everybody]).argmax(axis=0)


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
