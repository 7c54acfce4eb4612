"""States that know more of an image than its confidence."""

from dataclasses import replace

import numpy as np
import pytest
from make_trace import make_trace, with_logits

from sparq_utils.traces.agents import spread_of_agents
from sparq_utils.traces.policies import confidence_bins, outcome
from sparq_utils.traces.qlearning import Learning, learn
from sparq_utils.traces.states import RUNNER_UP_EDGES, runner_up, with_runner_up
from sparq_utils.traces.trace import TraceError


def test_the_runner_up_is_a_share_of_what_is_left():
    probabilities = np.array([[[0.6, 0.4, 0.0], [0.5, 0.25, 0.25]]])  # one exit, two images
    logits = np.log(np.maximum(probabilities, 1e-30)).astype(np.float32)
    plain = make_trace(exits=1, samples=2)
    said = {"confidence": np.float32([[0.6, 0.5]]), "prediction": np.zeros((1, 2), np.uint8)}
    trace = replace(plain, logits=logits, **said)
    np.testing.assert_allclose(runner_up(trace), [[1.0, 0.5]], rtol=1e-6)
    with pytest.raises(TraceError, match="keeps no logits"):
        runner_up(plain)


def test_a_state_of_pairs_is_a_bin_for_each_pair():
    trace = with_logits(samples=300)
    finer, edges = with_runner_up(trace)
    pairs = confidence_bins(finer, edges)
    np.testing.assert_array_equal(pairs // 4, confidence_bins(trace))
    second = np.digitize(runner_up(trace), RUNNER_UP_EDGES)
    np.testing.assert_array_equal(pairs % 4, second)
    assert len(np.unique(second)) > 1
    learning = Learning(episodes=600, minimum_episodes=100, patience=200)
    found = spread_of_agents(trace, trace, 1, learning=learning, state=with_runner_up)
    agent = learn(finer, np.random.default_rng(0), learning=learning, bin_edges=edges)
    assert found["reward"][0] == agent.mean_reward
    assert found["accuracy"][0] == outcome(trace, agent.policy.leaving(finer)).accuracy
