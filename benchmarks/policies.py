"""The threshold sweep beside a loop, Q-learning beside an agent that steps an environment."""

from collections.abc import Iterator

import numpy as np

from benchmarks.timing import Case, Contest
from sparq_utils.traces.energy import energy
from sparq_utils.traces.qlearning import Learned, Learning, learn
from sparq_utils.traces.sweeps import Sweep, sweep_thresholds, threshold_grid
from sparq_utils.traces.trace import ExitTrace, MeasuredOn

SWEEP_LIMIT, LEARN_LIMIT = 0.05, 0.3
"""Seconds that the sweep and the learning may take."""


def cases() -> Iterator[Case]:
    """Against the peer, and against the clock."""
    sweep, ql = "all 101 x 101 threshold pairs, 10,000 samples", "Q-learning, 10,000 episodes"
    yield Case(sweep, "NumPy loop over pairs", 100, sweeping)
    yield Case(f"{sweep}: time", "a limit of 50 ms", 1, lambda: limited(sweeping(), SWEEP_LIMIT))
    yield Case(ql, "same agent, gymnasium", 10, learning)
    yield Case(f"{ql}: time", "a limit of 300 ms", 1, lambda: limited(learning(), LEARN_LIMIT))


def random_trace(samples: int = 10_000, exits: int = 3, seed: int = 0) -> ExitTrace:
    """A trace whose deeper exits are surer and more often right."""
    rng = np.random.default_rng(seed)
    hard = rng.beta(2, 3, samples)
    skill = np.linspace(0.4, 0.9, exits)[:, None]
    chance = 1 / (1 + np.exp(-7 * (skill - hard)))  # [exits, samples]
    labels = rng.integers(0, 10, samples).astype(np.uint8)
    wrong = (labels + rng.integers(1, 10, (exits, samples))) % 10
    prediction = np.where(rng.random((exits, samples)) < chance, labels, wrong).astype(np.uint8)
    confidence = np.clip(chance + rng.normal(0, 0.05, chance.shape), 0.1, 1).astype(np.float32)
    step = np.arange(1, exits + 1, dtype=np.int64)[:, None]
    acs = np.cumsum(rng.integers(50_000, 150_000, (exits, samples)), axis=0)
    counts = {
        "macs": 117_600 * np.ones_like(step), "acs": acs, "spikes": acs // 40,
        "dense_macs": 140_000 * step, "lif_updates": 20_000 * step, "neurons": 5_000 * step,
        "weights": 20_000 * step, "weight_passes": 80_000 * step,
    }  # fmt: skip
    return ExitTrace(
        confidence, prediction, labels, counts,
        MeasuredOn(network="lenet5", variant="qdsnn", timesteps=4, encoding="direct",
                   weight_bits=8, seed=seed, data="noise", split="test", provenance="random",
                   version="0"),
    )  # fmt: skip


def sweeping() -> Contest:
    """Accuracy, mean energy and exit shares of every pair of thresholds."""
    trace = random_trace()
    joules = energy(trace).total  # [exits, samples]

    def loop() -> Sweep:
        grid = threshold_grid(101)
        samples = np.arange(trace.samples)
        confidence, right = trace.confidence.astype(np.float64), trace.correct
        accuracy, cost = np.zeros((101, 101)), np.zeros((101, 101))
        shares = np.zeros((3, 101, 101))
        for i, first in enumerate(grid):
            for j, second in enumerate(grid):
                leaving = np.where(
                    confidence[0] >= first, 0, np.where(confidence[1] >= second, 1, 2)
                )
                accuracy[i, j] = right[leaving, samples].mean()
                cost[i, j] = joules[leaving, samples].mean()
                shares[:, i, j] = np.bincount(leaving, minlength=3) / trace.samples
        return Sweep(grid, cost, accuracy, shares)

    def check(ours: Sweep, theirs: Sweep) -> None:
        np.testing.assert_allclose(ours.accuracy, theirs.accuracy, rtol=1e-12)
        np.testing.assert_allclose(ours.cost, theirs.cost, rtol=1e-9)
        np.testing.assert_allclose(ours.exit_shares, theirs.exit_shares, rtol=1e-12)

    return Contest(lambda: sweep_thresholds(trace, joules), loop, check)


def learning() -> Contest:
    """Both agents from the same chance, all episodes without stopping early."""
    from sparq_utils.traces.environment import learn_by_stepping

    trace, all_of_them = random_trace(), Learning(minimum_episodes=10_000, patience=10_000)

    def agent(way) -> Learned:
        return way(trace, np.random.default_rng(0), learning=all_of_them)

    def check(ours: Learned, theirs: Learned) -> None:
        assert ours.episodes == theirs.episodes == 10_000
        np.testing.assert_array_equal(ours.q, theirs.q)
        np.testing.assert_array_equal(ours.visits, theirs.visits)

    return Contest(lambda: agent(learn), lambda: agent(learn_by_stepping), check)


def limited(contest: Contest, seconds: float) -> Contest:
    """Ours against the clock."""
    return Contest(contest.ours, seconds, lambda *_: None)
