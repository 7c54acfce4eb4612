"""The timer and the rows of the benchmarks; what they measure is not tested here."""

import time

import pytest

from benchmarks import policies
from benchmarks.timing import Case, Contest, run, verify


def contest(ours, theirs, check=lambda *_: None, promised=1.0):
    return Case("name", "peer", 1.0, lambda: Contest(ours, theirs, check, promised))


def test_the_ratio_is_the_peers_time_over_ours():
    row = run(contest(lambda: time.sleep(0.001), lambda: time.sleep(0.01)), 0.3)
    assert 3 < row.low <= row.ratio <= row.high < 20
    assert row.peer_ms >= 10


def test_a_promised_gain_is_divided_out():
    row = run(contest(lambda: time.sleep(0.002), 0.01, promised=5.0), 0.1)
    assert 0.3 < row.ratio < 1.1


def test_a_row_whose_results_differ_is_refused():
    def differ(ours, theirs):
        assert ours == theirs, "not the same"

    with pytest.raises(AssertionError, match="not the same"):
        verify(contest(lambda: 1, lambda: 2, differ))


def test_the_sweep_and_its_loop_agree(monkeypatch):
    trace = policies.random_trace(200)
    monkeypatch.setattr(policies, "random_trace", lambda: trace)
    verify(Case("sweep", "loop", 1.0, policies.sweeping))
