"""Learning when to leave: tabular Q-learning on a trace (Eq. 1-2).

A state is (exit, confidence bin), an action leaves or continues. Leaving pays Eq. 1, continuing
pays 0, the last exit can only be left. :mod:`sparq_utils.traces.optimum` finds the best policy
on the same states exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from operator import gt

import numpy as np

from sparq_utils.traces.optimum import Objective, PathRewards
from sparq_utils.traces.policies import BIN_EDGES, Table, confidence_bins
from sparq_utils.traces.trace import ExitTrace

CONTINUE, LEAVE = 0, 1
"""The two actions: also the last index of a Q-table."""

GREEDY = 2
"""Not exploring: whichever action has the higher value."""


@dataclass(frozen=True)
class Learning:
    """How the agent learns; `eta` and `episodes` are the paper's, the rest is our choice.

    One episode is one image; images come in shuffled passes over the trace. Exploration falls
    linearly from `epsilon_start` to `epsilon_end` over `episodes`.

    Early stopping: with a constant eta the Q-values, and the greedy policy with them, never
    settle. So every `check_every` episodes the greedy policy is scored on the trace that is
    learned from. The best Q-table is the one returned, and learning ends once `patience`
    episodes brought no better one, after `minimum_episodes` at the least.

    `record_every` keeps a copy of the Q-table every so many episodes (0: none).
    Raises `ValueError` for values out of range.
    """

    eta: float = 0.1
    episodes: int = 10_000
    minimum_episodes: int = 5_000
    patience: int = 3_000
    check_every: int = 10
    epsilon_start: float = 1.0
    epsilon_end: float = 0.1
    record_every: int = 0

    def __post_init__(self) -> None:
        """Refuse settings that cannot learn."""
        if not 0 < self.eta <= 1:
            raise ValueError(f"eta is {self.eta}; a learning rate lies in (0, 1]")
        if not 0 <= self.epsilon_end <= self.epsilon_start <= 1:
            raise ValueError("epsilon must fall from at most 1 to at least 0")
        if not 1 <= self.check_every <= self.episodes:
            raise ValueError("check_every must be at least 1 and at most the episodes")


@dataclass(frozen=True)
class Snapshot:
    """The agent after an episode: Q-table [exits, bins, 2], mean reward of its greedy policy."""

    episode: int
    q: np.ndarray
    mean_reward: float


@dataclass(frozen=True)
class Learned:
    """The best Q-table seen, and how it came about.

    `q` float64 [exits, bins, 2] (continue, leave; continuing at the last exit is NaN); `leave`
    bool [exits, bins], its greedy policy: continue on a tie, so also in states never visited;
    `visits` int64 [exits, bins, 2], updates up to the end; `best_episode` when `q` was taken,
    of `episodes` run; `mean_reward` of the policy on the trace learned from. `tables` is the
    number of distinct greedy policies that were scored there: the one returned is the best of
    them, a choice that learning alone does not make.
    """

    q: np.ndarray
    leave: np.ndarray
    visits: np.ndarray
    bin_edges: tuple[float, ...]
    mean_reward: float
    best_episode: int
    episodes: int
    history: tuple[Snapshot, ...]
    tables: int

    @property
    def policy(self) -> Table:
        """The greedy policy."""
        return Table(self.leave, self.bin_edges)


class Progress:
    """Early stopping and history, shared by the fast learner and the one that steps.

    Q-values come as two flat lists, one per action, state (exit, bin) at exit * bins + bin.
    """

    def __init__(self, trace: ExitTrace, objective: Objective, learning: Learning, bin_edges):
        self.learning, self.bin_edges, self.exits = learning, tuple(bin_edges), trace.exits
        self.rewards = PathRewards(trace, objective, bin_edges)
        self.scores: dict[tuple[bool, ...], float] = {}
        self.best: Snapshot | None = None
        self.history: list[Snapshot] = []

    def stop(self, episode: int, q_continue: list[float], q_leave: list[float]) -> bool:
        """Look at the Q-values if it is time to, keep the best, and say whether to stop."""
        learning = self.learning
        record = bool(learning.record_every) and episode % learning.record_every == 0
        if not record and episode % learning.check_every:
            return False
        policy = tuple(map(gt, q_leave, q_continue))  # repeats often: scored once
        score = self.scores.get(policy)
        if score is None:
            score = self.rewards.mean(np.array(policy).reshape(self.exits, -1))
            self.scores[policy] = score
        better = self.best is None or score > self.best.mean_reward
        if record or better:
            now = Snapshot(episode, self._table(q_continue, q_leave), score)
            self.history += [now] if record else []
            self.best = now if better else self.best
        waited = episode - self.best.episode
        return episode >= learning.minimum_episodes and waited >= learning.patience

    def finish(self, episodes: int, visits: np.ndarray) -> Learned:
        """The result, once learning has ended."""
        best = self.best
        bins = len(self.bin_edges) + 1  # whoever reaches the last exit leaves, whatever its row
        tables = len({policy[:-bins] for policy in self.scores})
        return Learned(
            best.q, greedy(best.q), visits, self.bin_edges, best.mean_reward, best.episode,
            episodes, tuple(self.history), tables,
        )  # fmt: skip

    def _table(self, q_continue: list[float], q_leave: list[float]) -> np.ndarray:
        """The lists as a table [exits, bins, 2]; continuing at the last exit is NaN."""
        q = np.array([q_continue, q_leave]).T.reshape(self.exits, -1, 2)
        q[-1, :, CONTINUE] = np.nan
        return q


def greedy(q: np.ndarray) -> np.ndarray:
    """The greedy policy of a Q-table: bool [exits, bins]; continues on a tie."""
    leave = q[..., LEAVE] > q[..., CONTINUE]
    leave[-1] = True
    return leave


def draw_episodes(
    trace: ExitTrace, learning: Learning, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All chance that learning uses: images [episodes], draws [episodes, exits - 1], epsilons.

    A draw below epsilon explores: below half of it leaves, else continues.
    """
    passes = -(-learning.episodes // trace.samples)
    images = np.concatenate([rng.permutation(trace.samples) for _ in range(passes)])
    draws = rng.random((learning.episodes, trace.exits - 1))
    epsilon = np.linspace(learning.epsilon_start, learning.epsilon_end, learning.episodes)
    return images[: learning.episodes], draws, epsilon


def learn(
    trace: ExitTrace,
    rng: np.random.Generator,
    objective: Objective | None = None,
    learning: Learning | None = None,
    bin_edges: Sequence[float] = BIN_EDGES,
) -> Learned:
    """Tabular Q-learning (Eq. 1-2) on a trace of *validation* data.

    The next state of an image is the next exit with that exit's own confidence. Raises
    `ValueError` for settings out of range.
    """
    objective, learning = objective or Objective(), learning or Learning()
    images, draws, epsilon = draw_episodes(trace, learning, rng)
    bins, size, last = confidence_bins(trace, bin_edges), len(bin_edges) + 1, trace.exits - 1
    states = bins + size * np.arange(trace.exits)[:, None]  # [exits, samples]
    progress = Progress(trace, objective, learning, bin_edges)
    eta, gamma = learning.eta, objective.gamma
    explored = np.where(draws < epsilon[:, None] / 2, LEAVE, CONTINUE)
    actions = np.full((learning.episodes, trace.exits), LEAVE)  # at the last exit not read
    actions[:, :last] = np.where(draws < epsilon[:, None], explored, GREEDY)
    # Plain lists: indexing a NumPy array number by number would take most of the time. One per
    # exit, not one per episode: so many new lists would set off the garbage collector.
    visited, rewards, actions = (
        zip(*values.tolist(), strict=True)
        for values in (states[:, images], objective.rewards(trace)[:, images], actions.T)
    )
    q_continue = [0.0] * (size * trace.exits)
    q_leave = q_continue[:]  # at the last exit nothing continues: 0 there is never read
    exits = []
    stride = gcd(learning.check_every, learning.record_every)  # in between there is no look
    episodes = enumerate(zip(visited, rewards, actions, strict=True), 1)
    for episode, (state, reward, action) in episodes:
        index = 0
        here = state[0]
        while index < last:
            choice = action[index]
            if choice == LEAVE or (choice == GREEDY and q_leave[here] > q_continue[here]):
                break
            index += 1
            ahead = state[index]
            value = q_leave[ahead]
            if index < last and q_continue[ahead] > value:
                value = q_continue[ahead]
            q_continue[here] += eta * (gamma * value - q_continue[here])
            here = ahead
        q_leave[here] += eta * (reward[index] - q_leave[here])
        exits.append(index)
        if not episode % stride and progress.stop(episode, q_continue, q_leave):
            break
    left = np.array(exits)
    return progress.finish(left.size, _visits(bins[:, images[: left.size]], left, size))


def _visits(bins: np.ndarray, left: np.ndarray, size: int) -> np.ndarray:
    """How often each state was updated for each action: int64 [exits, bins, 2].

    `bins` are the bins met, [exits, episodes], `left` the exit taken [episodes].
    """
    visits = np.zeros((len(bins), size, 2), dtype=np.int64)
    for index, row in enumerate(bins):
        visits[index, :, LEAVE] = np.bincount(row[left == index], minlength=size)
        visits[index, :, CONTINUE] = np.bincount(row[left > index], minlength=size)
    return visits


def implied_thresholds(
    leave: np.ndarray, visited: np.ndarray, bin_edges: Sequence[float] = BIN_EDGES
) -> tuple[float | None, ...]:
    """The confidence threshold that a table implies at every exit but the last.

    It is the lower edge of the lowest visited bin from which all visited bins upward leave;
    None where even the highest visited bin continues, or none was visited. A table need not be
    monotone: bins that leave below one that continues are not part of a threshold, so a policy
    of thresholds can differ from the table (see :func:`is_monotone`). `leave` and `visited`
    are bool [exits, bins].
    """
    edges = (0.0, *bin_edges)
    found = []
    for row, seen in zip(leave[:-1], visited[:-1], strict=True):
        threshold = None
        for index in np.flatnonzero(seen)[::-1]:
            if not row[index]:
                break
            threshold = float(edges[index])
        found.append(threshold)
    return tuple(found)


def is_monotone(leave: np.ndarray, visited: np.ndarray) -> tuple[bool, ...]:
    """Whether, at every exit but the last, no visited bin leaves below one that continues."""
    rows = (row[seen].astype(int) for row, seen in zip(leave[:-1], visited[:-1], strict=True))
    return tuple(bool((np.diff(row) >= 0).all()) for row in rows)
