"""What leaving is worth (Eq. 1), and the policy that is worth most, exactly.

The value of an image is gamma^(exit index) times Eq. 1 at the exit where it leaves: the
discounted reward that Eq. 2 maximises.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparq_utils.traces.energy import energy
from sparq_utils.traces.policies import BIN_EDGES, Table, at_exit, confidence_bins
from sparq_utils.traces.trace import ExitTrace

SAVES = ("joules", "operations")
"""What leaving early may be said to save."""

MAX_BINS = 16
"""The most confidence bins for which all 2^bins choices at exit 1 are tried."""


@dataclass(frozen=True)
class Objective:
    """What leaving is worth: Eq. 1's alpha, Eq. 2's discount, and what it is that leaving saves.

    The paper does not say of what Eq. 1 counts the savings. `saves` names it: "joules" (modelled
    energy with the default constants and memory model, which is what our tables report) or
    "operations" (synaptic ones). `exit_costs`, mean cumulative costs per exit in any unit (only
    ratios matter), replace both. gamma = 1 counts every exit's reward in full. Raises `ValueError`
    for a discount outside (0, 1], a negative alpha, or savings of something else.
    """

    alpha: float = 0.3
    gamma: float = 0.9
    saves: str = "joules"
    exit_costs: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse values for which Eq. 1-2 make no sense."""
        if not 0 < self.gamma <= 1:
            raise ValueError(f"gamma is {self.gamma}; a discount lies in (0, 1]")
        if not 0 <= self.alpha < np.inf:
            raise ValueError(f"alpha is {self.alpha}; it must be finite and at least 0")
        if self.saves not in SAVES:
            raise ValueError(f"unknown savings of '{self.saves}'; choose {' or '.join(SAVES)}")

    def savings(self, trace: ExitTrace) -> np.ndarray:
        """Fraction of the last exit's cost that leaving at each exit saves: [exits].

        Raises `ValueError` for costs that fall, are not one per exit, or are all zero.
        """
        costs = self.exit_costs
        if costs is None:
            each = energy(trace).total if self.saves == "joules" else trace.synaptic_ops
            costs = each.mean(axis=1)
        costs = np.asarray(costs, dtype=np.float64)
        if costs.shape != (trace.exits,) or not (np.diff(costs, prepend=0.0) >= 0).all():
            raise ValueError(f"exit costs {costs.tolist()} must rise from 0, one for each exit")
        if costs[-1] == 0:
            raise ValueError("the last exit costs nothing, so savings have no scale")
        return 1 - costs / costs[-1]

    def rewards(self, trace: ExitTrace) -> np.ndarray:
        """Eq. 1 for leaving at each exit: float64 [exits, samples]."""
        right = 1 + self.alpha * self.savings(trace)
        return np.where(trace.correct, right[:, None], -1.0)

    def discounted(self, trace: ExitTrace) -> np.ndarray:
        """Rewards as seen from the first exit, discounted per exit: [exits, samples]."""
        return self.gamma ** np.arange(trace.exits)[:, None] * self.rewards(trace)

    def mean_reward(self, trace: ExitTrace, leaving: np.ndarray) -> float:
        """Mean discounted reward of a policy: what the optimum maximises."""
        return float(at_exit(self.discounted(trace), leaving).mean())


@dataclass(frozen=True)
class Optimum:
    """The best table over (exit, bin), bool [exits, bins], and its mean discounted reward."""

    leave: np.ndarray
    mean_reward: float
    bin_edges: tuple[float, ...] = BIN_EDGES

    @property
    def policy(self) -> Table:
        """The table as a policy."""
        return Table(self.leave, self.bin_edges)


class PathRewards:
    """Scores tables quickly: images with the same bins at every exit always leave together."""

    def __init__(self, trace: ExitTrace, objective: Objective, bin_edges: Sequence[float]):
        bins = confidence_bins(trace, bin_edges)
        # Whoever reaches the last exit leaves, so its bin makes no difference.
        cells = np.zeros(trace.samples, dtype=np.int64)
        for row in bins[:-1]:
            cells = cells * (len(bin_edges) + 1) + row
        paths, example, path = np.unique(cells, return_index=True, return_inverse=True)
        self.bins = bins[:-1, example]  # [exits - 1, paths]
        reward = objective.discounted(trace) / trace.samples
        self.reward = np.stack([np.bincount(path, row) for row in reward])  # [exits, paths]
        self.column = np.arange(paths.size)

    def mean(self, leave: np.ndarray) -> float:
        """Mean discounted reward of a table, bool [exits, bins]."""
        leaves = np.ones(self.reward.shape, dtype=bool)  # [exits, paths]
        for index, row in enumerate(self.bins):
            leaves[index] = leave[index, row]
        return float(self.reward[leaves.argmax(axis=0), self.column].sum())


def exact_optimum(
    trace: ExitTrace, objective: Objective | None = None, bin_edges: Sequence[float] = BIN_EDGES
) -> Optimum:
    """The table over (exit, bin) with the highest mean discounted reward on a trace.

    Who reaches exit 2 depends on what exit 1 did, so all 2^bins choices at exit 1 are tried;
    after each, every bin of exit 2 decides by itself. States that nobody reaches continue.
    Raises `ValueError` for more than 3 exits or more than :data:`MAX_BINS` bins.
    """
    objective, size = objective or Objective(), len(bin_edges) + 1
    if trace.exits > 3:
        raise ValueError(
            f"the exact optimum is for at most 3 exits, this trace has {trace.exits}; "
            "use learn(), and reward_bound() for what no table exceeds"
        )
    if size > MAX_BINS:
        raise ValueError(f"{size} bins; at most {MAX_BINS} can be tried exhaustively")
    bins, value = confidence_bins(trace, bin_edges), objective.discounted(trace) / trace.samples
    leave = np.zeros((trace.exits, size), dtype=bool)
    leave[-1] = True
    if trace.exits == 2:
        sums = np.stack([np.bincount(bins[0], row, size) for row in value])  # [exits, bins]
        leave[0] = sums[0] > sums[1]
    elif trace.exits == 3:
        leave[0], leave[1] = _best_of_three(bins, value, size)
    reward = PathRewards(trace, objective, bin_edges).mean(leave)
    return Optimum(leave, reward, tuple(bin_edges))


def reward_bound(
    trace: ExitTrace, objective: Objective | None = None, bin_edges: Sequence[float] = BIN_EDGES
) -> float:
    """A mean discounted reward that no table over (exit, bin) exceeds, for any number of exits.

    It is that of the best policy which remembers the bins of all exits so far, by backward
    induction over these histories. A table knows the last bin alone, so it reaches at most as
    much; with two exits the two are the same.
    """
    bins, size = confidence_bins(trace, bin_edges), len(bin_edges) + 1
    value = (objective or Objective()).discounted(trace) / trace.samples  # [exits, samples]
    histories = [np.zeros(trace.samples, dtype=np.int64)]
    for row in bins[:-1]:
        histories.append(np.unique(histories[-1] * size + row, return_inverse=True)[1])
    ahead = value[-1]  # what going on is worth, summed where a history's first sample stands
    for history, leaves in zip(histories[:0:-1], value[-2::-1], strict=True):
        best = np.maximum(np.bincount(history, leaves), np.bincount(history, ahead))
        first = np.unique(history, return_index=True)[1]
        ahead = np.zeros(trace.samples)
        ahead[first] = best
    return float(ahead.sum())


def _best_of_three(bins: np.ndarray, value: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Best rows for exits 1 and 2, given bins and rewards [3, samples]: bool [bins] each."""
    first = np.bincount(bins[0], value[0], size)
    pair = bins[0] * size + bins[1]
    second, third = (
        np.bincount(pair, row, size * size).reshape(size, size) for row in value[1:]
    )  # [bins at exit 1, bins at exit 2]
    choices = (np.arange(2**size)[:, None] >> np.arange(size)) & 1  # [2^bins, bins], 1 leaves
    at_second, at_third = (1 - choices) @ second, (1 - choices) @ third
    best = (choices @ first + np.maximum(at_second, at_third).sum(axis=1)).argmax()
    return choices[best] == 1, at_second[best] > at_third[best]
