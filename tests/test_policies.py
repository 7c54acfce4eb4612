import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_trace import make_trace

from sparq_utils.traces.agents import spread_of_agents
from sparq_utils.traces.energy import energy
from sparq_utils.traces.optimum import MAX_BINS, Objective, exact_optimum, reward_bound
from sparq_utils.traces.policies import (
    BIN_EDGES,
    LastExit,
    Oracle,
    Table,
    Thresholds,
    confidence_bins,
    outcome,
)
from sparq_utils.traces.qlearning import (
    CONTINUE,
    LEAVE,
    Learning,
    implied_thresholds,
    is_monotone,
    learn,
)
from sparq_utils.traces.sweeps import (
    choose_thresholds,
    pareto_front,
    sweep_thresholds,
    threshold_grid,
    thresholds_within,
)
from sparq_utils.traces.trace import ExitTrace


def part(trace, chosen):
    """The samples of a trace that a slice selects."""
    counts = {
        name: count if count.shape[1] == 1 else count[:, chosen]
        for name, count in trace.counts.items()
    }
    return ExitTrace(
        trace.confidence[:, chosen],
        trace.prediction[:, chosen],
        trace.labels[chosen],
        counts,
        trace.measured_on,
    )


def confident_trace(samples, seed):
    """Like a good network on MNIST: 90 to 98 % right, most confidences near 1."""
    rng = np.random.default_rng(seed)
    base = make_trace(samples=samples, seed=seed)
    skill = np.array([3.0, 4.5, 5.0])[:, None]
    margin = 1.6 * (skill - rng.exponential(size=samples)) + rng.normal(0, 0.7, (3, samples))
    right = rng.random((3, samples)) < 1 / (1 + np.exp(-margin))
    prediction = np.where(right, base.labels, (base.labels + 1) % 10).astype(np.uint8)
    noisy = 1.2 * margin + rng.normal(0, 0.6, margin.shape)
    confidence = (1 / (1 + np.exp(-noisy))).clip(0.1, 1).astype(np.float32)
    return ExitTrace(confidence, prediction, base.labels, base.counts, base.measured_on)


def with_confidence(rows):
    """A trace with these confidences."""
    confidence = np.array(rows, dtype=np.float32)
    base = make_trace(*confidence.shape)
    return ExitTrace(confidence, base.prediction, base.labels, base.counts, base.measured_on)


def leave_slowly(trace, thresholds):
    """The rule, one sample and one exit at a time."""
    exits = []
    for sample in range(trace.samples):
        for index in range(trace.exits):
            last = index == trace.exits - 1
            if last or float(trace.confidence[index, sample]) >= thresholds[index]:
                exits.append(index)
                break
    return np.array(exits)


def test_leaves_at_equality_and_compares_as_doubles():
    tenth = np.float32(0.1)  # 0.10000000149 as a double: above 0.1, below 0.10000001
    trace = with_confidence([[0.5, np.nextafter(np.float32(0.5), np.float32(0)), tenth]] * 2)
    assert Thresholds([0.5]).leaving(trace).tolist() == [0, 1, 1]
    assert Thresholds([0.1]).leaving(trace).tolist() == [0, 0, 0]
    assert Thresholds([0.10000001]).leaving(trace).tolist() == [0, 0, 1]


@pytest.mark.parametrize("exits", [1, 2, 3, 4])
def test_thresholds_follow_the_rule(exits):
    trace = make_trace(exits)
    thresholds = np.random.default_rng(exits).random(exits - 1)
    expected = leave_slowly(trace, thresholds)
    np.testing.assert_array_equal(Thresholds(thresholds).leaving(trace), expected)


@pytest.mark.parametrize("wrong", [(0.5,), (0.5, 0.5, 0.5), (0.5, 1.1), (-0.1, 0.5), (0.5, np.nan)])
def test_wrong_thresholds(wrong):
    with pytest.raises(ValueError, match="threshold"):
        Thresholds(wrong).leaving(make_trace())


def test_outcome_by_hand():
    trace = make_trace(samples=4)
    leaving = np.array([0, 2, 2, 1])
    result = outcome(trace, leaving)
    assert result.exit_shares == (0.25, 0.25, 0.5)
    hits = [trace.correct[exit, i] for i, exit in enumerate(leaving)]
    assert result.accuracy == sum(hits) / 4
    assert result.mean_counts["neurons"] == (5_000 + 15_000 + 15_000 + 10_000) / 4
    acs = trace.counts["acs"]
    assert result.mean_counts["synaptic_ops"] == 117_600 + (
        (acs[0, 0] + acs[2, 1] + acs[2, 2] + acs[1, 3]) / 4
    )
    for wrong in (leaving[:3], leaving + 1, leaving - 1):
        with pytest.raises(ValueError, match="leaving"):
            outcome(trace, wrong)


@settings(max_examples=20, deadline=None)
@given(
    exits=st.integers(2, 4),
    samples=st.integers(1, 60),
    seed=st.integers(0, 99),
    grid=st.lists(st.integers(0, 20), min_size=1, max_size=5, unique=True),
)
def test_sweep_equals_the_loop(exits, samples, seed, grid):
    trace = make_trace(exits, samples, seed)
    # confidences on the grid itself: ties are the rule, not the exception
    tied = (np.round(trace.confidence * 20) / 20).astype(np.float32)
    trace = ExitTrace(tied, trace.prediction, trace.labels, trace.counts, trace.measured_on)
    grid = np.sort(np.array(grid)) / 20
    joules = np.cumsum(np.random.default_rng(seed).random((exits, samples)), axis=0)
    sweep, priced = sweep_thresholds(trace, grid=grid), sweep_thresholds(trace, joules, grid=grid)
    for position in itertools.product(range(grid.size), repeat=exits - 1):
        leaving = Thresholds(grid[list(position)]).leaving(trace)
        result = outcome(trace, leaving)
        assert sweep.accuracy[position] == result.accuracy
        assert sweep.cost[position] == result.mean_counts["synaptic_ops"]
        assert tuple(sweep.exit_shares[(slice(None), *position)]) == result.exit_shares
        mean = joules[leaving, np.arange(samples)].mean()
        assert priced.cost[position] == pytest.approx(mean, rel=1e-12)


def test_sweep_refuses():
    with pytest.raises(ValueError, match="single exit"):
        sweep_thresholds(make_trace(1))
    with pytest.raises(ValueError, match="coarser"):
        sweep_thresholds(make_trace(5, samples=5), steps=101)
    for wrong in ([0.5, 0.5], [0.6, 0.5], []):
        with pytest.raises(ValueError, match="rise"):
            sweep_thresholds(make_trace(), grid=wrong)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        sweep_thresholds(make_trace(), grid=[0.5, 1.5])
    with pytest.raises(ValueError, match="steps"):
        sweep_thresholds(make_trace(), steps=1)


@pytest.mark.parametrize(("exits", "steps"), [(2, 101), (4, 101), (5, 36), (7, 10)])
def test_with_many_exits_the_grid_is_coarser_unless_one_is_given(exits, steps):
    assert len(sweep_thresholds(make_trace(exits, samples=5)).grid) == steps


def test_grid_is_the_one_a_browser_makes():
    assert threshold_grid()[[0, 7, 29, 100]].tolist() == [0 / 100, 7 / 100, 29 / 100, 100 / 100]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=25))
def test_pareto_front(points):
    accuracy, cost = np.array(points).T
    front = pareto_front(cost, accuracy)
    kept = {points[i] for i in front}
    unbeaten = {
        (a, c)
        for a, c in points
        if not any((b >= a and d <= c) and (b, d) != (a, c) for b, d in points)
    }
    assert kept == unbeaten
    assert len(front) == len(kept)
    assert (np.diff(cost[front]) > 0).all()


def test_chosen_thresholds():
    trace = make_trace(samples=2_000)
    sweep = sweep_thresholds(trace)
    best = outcome(trace, choose_thresholds(trace).leaving(trace))
    assert best.accuracy == sweep.accuracy.max()
    assert best.mean_counts["synaptic_ops"] == sweep.cost[sweep.accuracy == best.accuracy].min()
    for loss in (0.0, 0.01, 0.1, 1.0):
        chosen = outcome(trace, choose_thresholds(trace, loss).leaving(trace))
        # a confidence of exactly 1 leaves at any threshold: the last exit may be out of reach
        wanted = min(sweep.accuracy.max(), trace.correct[-1].mean() - loss) - 1e-9
        assert chosen.accuracy >= wanted
        assert chosen.mean_counts["synaptic_ops"] == sweep.cost[sweep.accuracy >= wanted].min()
    assert choose_thresholds(make_trace(1)) == Thresholds(())


def test_thresholds_that_may_lose_from_another_accuracy():
    trace = make_trace(samples=2_000)
    sweep = sweep_thresholds(trace)
    chosen = outcome(trace, choose_thresholds(trace, 0.01, against=0.6).leaving(trace))
    assert chosen.accuracy >= 0.59 - 1e-9
    assert chosen.mean_counts["synaptic_ops"] == sweep.cost[sweep.accuracy >= 0.59 - 1e-9].min()


def test_thresholds_within_a_budget():
    trace = make_trace(samples=2_000)
    sweep = sweep_thresholds(trace)
    for budget in np.quantile(sweep.cost, (0.1, 0.5, 0.9)):
        found = outcome(trace, thresholds_within(trace, budget).leaving(trace))
        affordable = sweep.cost <= budget
        assert found.accuracy == sweep.accuracy[affordable].max()
        equal = affordable & (sweep.accuracy == found.accuracy)
        assert found.mean_counts["synaptic_ops"] == sweep.cost[equal].min()
    cheapest = outcome(trace, thresholds_within(trace, 1.0).leaving(trace))
    assert cheapest.mean_counts["synaptic_ops"] == sweep.cost.min()
    assert thresholds_within(make_trace(1), 1.0) == Thresholds(())


def test_never_leaving_early():
    trace = make_trace(4, 7)
    assert LastExit().leaving(trace).tolist() == [3] * 7


def test_policies_in_words_and_as_numbers():
    thresholds = Thresholds([0.6, 0.7])
    assert (str(thresholds), list(thresholds), len(thresholds)) == (
        "thresholds 0.6/0.7",
        [0.6, 0.7],
        2,
    )
    assert thresholds == Thresholds(np.array([0.6, 0.7]))
    assert str(Table(np.ones((3, 13), bool))) == "table over 3 exits and 13 confidence bins"


def test_oracle():
    trace = make_trace()
    leaving = Oracle().leaving(trace)
    for sample, exit in enumerate(leaving):
        assert not trace.correct[:exit, sample].any()
        assert exit == 2 or trace.correct[exit, sample]
    assert outcome(trace, leaving).accuracy == trace.correct.any(axis=0).mean()


def test_bins():
    trace = with_confidence([[0.0, 0.25, 0.5, 0.75, 1.0], [0.5] * 5])
    assert confidence_bins(trace, (0.25, 0.5)).tolist() == [[0, 1, 2, 2, 2], [2] * 5]
    for wrong in ((0.5, 0.5), (0.0, 0.5), (0.5, 1.0), (0.7, 0.2), (np.nan,)):
        with pytest.raises(ValueError, match="rise strictly"):
            confidence_bins(trace, wrong)


def test_table_of_thresholds_is_thresholds():
    trace = make_trace()
    leave = np.array([[False, True, True], [False, False, True], [True, True, True]])
    expected = Thresholds((0.4, 0.7)).leaving(trace)
    np.testing.assert_array_equal(Table(leave, (0.4, 0.7)).leaving(trace), expected)
    leave[-1] = False  # not read: everybody leaves at the last exit
    np.testing.assert_array_equal(Table(leave, (0.4, 0.7)).leaving(trace), expected)
    for wrong in (leave[:2], leave.astype(int), leave[:, :2]):
        with pytest.raises(ValueError, match="table"):
            Table(wrong, (0.4, 0.7)).leaving(trace)


def test_reward_by_hand():
    base = make_trace(samples=2)
    prediction = np.array([[3, 4], [3, 4], [4, 3]], dtype=np.uint8)
    labels = np.array([3, 3], dtype=np.uint8)
    trace = ExitTrace(base.confidence, prediction, labels, base.counts, base.measured_on)
    objective = Objective(alpha=0.3, gamma=0.9, exit_costs=(1, 2, 4))
    assert objective.savings(trace).tolist() == [0.75, 0.5, 0.0]
    expected = [[1.225, -1.0], [1.15, -1.0], [-1.0, 1.0]]
    np.testing.assert_allclose(objective.rewards(trace), expected)
    # image 0 leaves right at exit 2, image 1 right at exit 3
    assert objective.mean_reward(trace, np.array([1, 2])) == pytest.approx((0.9 * 1.15 + 0.81) / 2)


@pytest.mark.parametrize(
    "wrong", [{"gamma": 0}, {"gamma": 1.1}, {"alpha": -1}, {"saves": "seconds"}]
)
def test_impossible_objective(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong)).replace("saves", "savings")):
        Objective(**wrong)


def test_savings_are_joules_or_operations():
    trace = make_trace(samples=50)
    joules = energy(trace).total.mean(axis=1)
    operations = trace.synaptic_ops.mean(axis=1)
    np.testing.assert_allclose(Objective().savings(trace), 1 - joules / joules[-1])
    saved = Objective(saves="operations").savings(trace)
    np.testing.assert_allclose(saved, 1 - operations / operations[-1])
    assert (saved != Objective().savings(trace))[:-1].all()


@pytest.mark.parametrize("costs", [(1, 2), (2, 1, 3), (0, 0, 0), (-1, 1, 2), (1, np.nan, 2)])
def test_impossible_costs(costs):
    with pytest.raises(ValueError, match="cost"):
        Objective(exit_costs=costs).rewards(make_trace())


@settings(max_examples=25, deadline=None)
@given(
    exits=st.integers(1, 3),
    samples=st.integers(1, 40),
    seed=st.integers(0, 99),
    edges=st.sampled_from([(0.5,), (0.4, 0.7), (0.3, 0.5, 0.8)]),
    gamma=st.sampled_from([0.5, 0.9, 1.0]),
)
def test_optimum_equals_trying_every_table(exits, samples, seed, edges, gamma):
    trace, objective = make_trace(exits, samples, seed), Objective(alpha=0.5, gamma=gamma)
    size = len(edges) + 1
    best = -np.inf
    for choice in itertools.product([False, True], repeat=size * (exits - 1)):
        table = np.array([*choice, *[True] * size]).reshape(exits, size)
        best = max(best, objective.mean_reward(trace, Table(table, edges).leaving(trace)))
    found = exact_optimum(trace, objective, edges)
    assert found.mean_reward == pytest.approx(best, abs=1e-12)
    own = objective.mean_reward(trace, found.policy.leaving(trace))
    assert own == pytest.approx(best, abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(
    exits=st.integers(1, 4),
    samples=st.integers(1, 40),
    seed=st.integers(0, 99),
    edges=st.sampled_from([(), (0.5,), (0.4, 0.7)]),
)
def test_no_table_exceeds_the_bound(exits, samples, seed, edges):
    trace, objective = make_trace(exits, samples, seed), Objective(gamma=0.8)
    bound, size = reward_bound(trace, objective, edges), len(edges) + 1
    rng = np.random.default_rng(seed)
    for leave in rng.random((20, exits, size)) < 0.5:
        leaving = Table(leave, edges).leaving(trace)
        assert objective.mean_reward(trace, leaving) <= bound + 1e-12
    if exits < 3 or not edges:  # nothing to remember
        found = bound if exits > 3 else exact_optimum(trace, objective, edges).mean_reward
        assert bound == pytest.approx(found, abs=1e-12)


def test_the_bound_remembers_what_a_table_forgets():
    """Of two images alike at exit 2, a history tells which of them came surer from exit 1."""
    trace = with_confidence([[0.2, 0.4], [0.9, 0.9], [0.9, 0.9]])
    prediction = np.array([[1, 1], [0, 1], [1, 0]], dtype=np.uint8)
    labels = np.zeros(2, dtype=np.uint8)
    trace = ExitTrace(trace.confidence, prediction, labels, trace.counts, trace.measured_on)
    objective, edges = Objective(alpha=0, gamma=1.0), (0.3,)
    assert reward_bound(trace, objective, edges) == pytest.approx(1.0)  # both right
    assert exact_optimum(trace, objective, edges).mean_reward == pytest.approx(0.0)  # one of them
    assert reward_bound(make_trace(5), bin_edges=edges) > 0


def test_optimum_refuses():
    with pytest.raises(ValueError, match=r"learn\(\)"):
        exact_optimum(make_trace(4))
    with pytest.raises(ValueError, match="bins"):
        exact_optimum(make_trace(), bin_edges=np.linspace(0, 1, MAX_BINS + 2)[1:-1])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("make", [confident_trace, make_trace])
def test_learning_comes_close_to_the_optimum(make, seed):
    both = make(samples=20_000, seed=seed)
    validation, held_out = part(both, slice(0, 10_000)), part(both, slice(10_000, None))
    objective = Objective()
    learned = learn(validation, np.random.default_rng(seed), objective)
    best = exact_optimum(validation, objective)
    reached, possible = (
        objective.mean_reward(held_out, found.policy.leaving(held_out)) for found in (learned, best)
    )
    assert reached >= 0.995 * possible
    assert learned.mean_reward <= best.mean_reward + 1e-12
    assert 5_000 <= learned.episodes <= 10_000
    # and it does learn: neither always leaving nor always continuing is as good
    for exit in (0, 2):
        assert reached > objective.mean_reward(held_out, np.full(held_out.samples, exit))


def one_state(correct):
    """A trace of one image, two exits, one bin, right or wrong at each exit."""
    base = make_trace(2, 1)
    labels = np.array([0], dtype=np.uint8)
    prediction = np.where(np.array(correct)[:, None], 0, 1).astype(np.uint8)
    return ExitTrace(base.confidence, prediction, labels, base.counts, base.measured_on)


def test_updates_by_hand():
    trace = one_state([False, True])  # leaving costs 1, going on earns 1, discounted
    learning = Learning(episodes=3, minimum_episodes=3, check_every=1, record_every=1,
                        epsilon_start=0.0, epsilon_end=0.0)  # fmt: skip
    learned = learn(trace, np.random.default_rng(0), learning=learning, bin_edges=())
    q = [snapshot.q for snapshot in learned.history]
    # greedy continues on the tie at first; the last exit moves towards 1: 0.1, 0.19, 0.271
    assert [table[1, 0, LEAVE] for table in q] == pytest.approx([0.1, 0.19, 0.271])
    # exit 1 is updated before the last exit: gamma * (0, 0.1, 0.19) in steps of 0.1
    expected = [0.0, 0.1 * 0.9 * 0.1, 0.9 * 0.009 + 0.1 * 0.9 * 0.19]
    assert [table[0, 0, CONTINUE] for table in q] == pytest.approx(expected)
    assert all(table[0, 0, LEAVE] == 0 for table in q)
    assert np.isnan(learned.q[1, 0, CONTINUE])
    assert learned.visits.tolist() == [[[3, 0]], [[0, 3]]]


def test_the_returned_table_is_the_best_of_those_met():
    learned = learn(make_trace(), np.random.default_rng(0), learning=Learning(record_every=10))
    met = {snapshot.mean_reward for snapshot in learned.history}
    assert learned.mean_reward == max(met)
    tables = {(s.q[:-1, :, LEAVE] > s.q[:-1, :, CONTINUE]).tobytes() for s in learned.history}
    assert learned.tables == len(tables) > 1


def test_agents_differ_by_chance_alone():
    validation, test = make_trace(seed=1, samples=400), make_trace(seed=2, samples=300)
    learning = Learning(episodes=600, minimum_episodes=100, patience=200)
    frame = spread_of_agents(validation, test, 4, learning=learning)
    assert len(frame) == 4 and frame["reward"].nunique() > 1
    agent = learn(validation, np.random.default_rng(2), learning=learning)
    leaving = agent.policy.leaving(test)
    row = frame.loc[2]
    assert row["accuracy"] == outcome(test, leaving).accuracy
    assert row["energy_j"] == pytest.approx(energy(test).total[leaving, np.arange(300)].mean())
    assert (row["reward"], row["tables"]) == (agent.mean_reward, agent.tables)
    assert row["test_reward"] == Objective().mean_reward(test, leaving)
    spends = energy(validation).total
    budget = spends[agent.policy.leaving(validation), np.arange(400)].mean()
    rival = thresholds_within(validation, budget, spends).leaving(test)
    assert row["matched_accuracy"] == outcome(test, rival).accuracy
    assert row["matched_energy_j"] == pytest.approx(
        energy(test).total[rival, np.arange(300)].mean()
    )
    with pytest.raises(ValueError, match="at least 1"):
        spread_of_agents(validation, test, 0)


def test_next_state_has_its_own_confidence():
    trace = with_confidence([[0.2] * 50, [0.9] * 50])
    learned = learn(trace, np.random.default_rng(0), bin_edges=(0.5,))
    assert (learned.visits[0, 0] > 0).all()
    assert learned.visits[0, 1].sum() == learned.visits[1, 0].sum() == 0
    assert learned.visits[1, 1, LEAVE] == learned.visits[0, 0, CONTINUE]
    assert learned.visits[..., LEAVE].sum() == learned.episodes


def test_learning_stops_early_and_repeats():
    trace = make_trace()
    runs = [learn(trace, np.random.default_rng(7)) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].q, runs[1].q)
    patient = Learning(patience=10_000)
    assert learn(trace, np.random.default_rng(7), learning=patient).episodes == 10_000
    impatient = Learning(minimum_episodes=100, patience=100)
    hasty = learn(trace, np.random.default_rng(7), learning=impatient)
    assert hasty.episodes < 10_000
    assert hasty.episodes - hasty.best_episode >= 100


@pytest.mark.parametrize(
    "wrong", [{"eta": 0}, {"epsilon_end": 0.9, "epsilon_start": 0.5}, {"check_every": 0},
              {"check_every": 11, "episodes": 10}],
)  # fmt: skip
def test_impossible_learning(wrong):
    with pytest.raises(ValueError, match=r"eta|epsilon|check_every"):
        Learning(**wrong)


@pytest.mark.parametrize("exits", [1, 2, 3, 4])
def test_stepping_an_environment_gives_the_same_q_table(exits):
    environment = pytest.importorskip("sparq_utils.traces.environment")
    trace = make_trace(exits, 300)
    learning = Learning(
        episodes=700, minimum_episodes=200, patience=300, check_every=7, record_every=100
    )
    arguments = {"learning": learning, "objective": Objective(gamma=0.8)}
    fast = learn(trace, np.random.default_rng(3), **arguments)
    slow = environment.learn_by_stepping(trace, np.random.default_rng(3), **arguments)
    np.testing.assert_array_equal(fast.q, slow.q)
    np.testing.assert_array_equal(fast.leave, slow.leave)
    np.testing.assert_array_equal(fast.visits, slow.visits)
    assert (fast.episodes, fast.best_episode, fast.mean_reward) == (
        slow.episodes,
        slow.best_episode,
        slow.mean_reward,
    )
    assert [s.episode for s in fast.history] == [s.episode for s in slow.history] != []
    for a, b in zip(fast.history, slow.history, strict=True):
        np.testing.assert_array_equal(a.q, b.q)


def test_environment_passes_gymnasiums_check():
    gymnasium = pytest.importorskip("gymnasium")
    from gymnasium.utils.env_checker import check_env

    from sparq_utils.traces.environment import ENVIRONMENT_ID, ExitEnvironment

    trace = make_trace()
    check_env(gymnasium.make(ENVIRONMENT_ID, trace=trace).unwrapped)
    environment = ExitEnvironment(trace)
    with pytest.raises(RuntimeError, match="reset"):
        environment.step(LEAVE)
    with pytest.raises(ValueError, match="image 500"):
        environment.reset(options={"image": 500})
    first, _ = environment.reset(options={"image": 5})
    second, reward, ended, *_ = environment.step(CONTINUE)
    bins = confidence_bins(trace)
    assert (first.tolist(), second.tolist()) == ([0, bins[0, 5]], [1, bins[1, 5]])
    assert (reward, ended) == (0.0, False)
    environment.step(CONTINUE)
    _, reward, ended, *_ = environment.step(CONTINUE)  # nothing comes after the last exit
    assert ended
    assert reward == Objective().rewards(trace)[2, 5]


def test_implied_thresholds():
    edges = (0.5, 0.8)
    leave = np.array([[False, True, True], [True, False, True], [True, True, False], [True] * 3])
    seen = np.ones((4, 3), dtype=bool)
    thresholds = implied_thresholds(leave, seen, edges)
    assert thresholds == (0.5, 0.8, None)
    assert is_monotone(leave, seen) == (True, False, False)
    assert json.dumps(thresholds) == "[0.5, 0.8, null]"
    seen[0, 1] = seen[1, 1] = False  # a state never visited says nothing
    seen[2] = False
    assert implied_thresholds(leave, seen, edges) == (0.8, 0.0, None)
    assert is_monotone(leave, seen) == (True, True, True)


def test_bins_resolve_the_top():
    assert len(BIN_EDGES) + 1 == 13
    bins = confidence_bins(confident_trace(2_000, 0))
    assert np.bincount(bins.ravel()).max() < bins.size / 2
