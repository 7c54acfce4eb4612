"""The timer and the rows of the benchmarks; what they measure is not tested here."""

import time

import pytest

from benchmarks import machines, pipeline, policies
from benchmarks.__main__ import main
from benchmarks.timing import Case, Contest, run, verify
from sparq_utils.data import DataError
from sparq_utils.files import read_json


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


def test_rows_without_their_data_are_skipped_in_one_line(monkeypatch, capsys):
    pytest.importorskip("spikingjelly", reason="the peers come with 'make bench'")

    def missing(name):
        raise DataError(f"{name} could not be downloaded (no network)")

    monkeypatch.setattr("sparq_utils.data.load", missing)
    monkeypatch.setattr("sys.argv", ["benchmarks", "--check", "CIFAR-10 images"])
    monkeypatch.setattr(pipeline, "cases", lambda: [
        Case(f"CIFAR-10 images, {number}", "peer", 1.0, lambda: missing("CIFAR-10"))
        for number in (1, 2)
    ])  # fmt: skip
    assert main() == 0
    skipped = [line for line in capsys.readouterr().out.splitlines() if "SKIPPED" in line]
    assert len(skipped) == 1 and "images, 1 | peer; CIFAR-10 images, 2 | peer" in skipped[0]
    assert "could not be downloaded" in skipped[0]


def test_the_sweep_and_its_loop_agree(monkeypatch):
    trace = policies.random_trace(200)
    monkeypatch.setattr(policies, "random_trace", lambda: trace)
    verify(Case("sweep", "loop", 1.0, policies.sweeping))


def test_runs_of_another_kind_of_machine_are_kept(tmp_path, monkeypatch):
    path = tmp_path / "bench.json"
    first, second = ([{"name": name, "ratio": 2.0}] for name in ("first", "second"))
    for kind, rows in zip(machines.KINDS, (first, first), strict=True):
        monkeypatch.setattr(machines, "kind", lambda kind=kind: kind)
        machines.keep(rows, [], path)
    machines.keep(second, [], path)  # of the kind that came last
    kept = read_json(path)
    assert [kept[kind]["rows"] for kind in machines.KINDS] == [first, second]
    assert machines.made_on() == kept[machines.KINDS[1]]["machine"]


def test_whole_runs_alone_are_recorded(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["benchmarks", "--record", "lenet5"])
    with pytest.raises(SystemExit):
        main()
    assert "keeps whole runs" in capsys.readouterr().err
