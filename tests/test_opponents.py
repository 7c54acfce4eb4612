"""The comparison table: QDSNN against its opponent, under every model, winner in each cell."""

from dataclasses import replace

import numpy as np
import pytest
from make_trace import make_trace
from test_energy_models import with_counts

from sparq_utils.results import opponents as module
from sparq_utils.results.files import NotRecordedError, ResultsError, trace_path
from sparq_utils.results.opponents import (
    COMPARED,
    SIDES,
    beside_opponent,
    matches,
    needs,
    opponents_table,
    winners,
)
from sparq_utils.results.rows import Row
from sparq_utils.traces.energy import EnergyConstants
from sparq_utils.traces.energy_models import ENERGY_MODELS, Priced
from sparq_utils.traces.memory import memory_model
from sparq_utils.traces.trace import save_trace


def toy(name, mac_j, ac_j):
    """A model in which operations alone cost."""
    constants = EnergyConstants(mac_j, ac_j, 0, 0, 0)
    return Priced(name, "here", constants, memory_model("layer-by-layer"))


MODELS = {one.name: one for one in (toy("dear MACs", 1e-12, 1e-13), toy("alike", 1e-12, 1e-12))}


def rows(experiment="mlp-mnist"):
    """100 MACs and 500 ACs of 10 spikes in 200 updates, against 200 MACs."""
    leave = np.zeros(1, dtype=np.int64)
    ours = with_counts(macs=100, acs=500, spikes=10, lif_updates=200)
    theirs = with_counts("analog", timesteps=1, levels=4, macs=200)
    return Row(experiment, "qdsnn", (ours,), (leave,)), Row(
        experiment, "qdann", (theirs,), (leave,)
    )


def test_a_table_by_hand():
    table = beside_opponent(*rows(), MODELS)
    assert table["winner"].to_dict() == {"dear MACs": "spiking", "alike": "opponent"}
    np.testing.assert_allclose(table["spiking_j"], [150e-12, 600e-12])
    np.testing.assert_allclose(table["opponent_j"], 200e-12)
    np.testing.assert_allclose(table["ratio"], [0.75, 3.0])
    # 5 % spikes; 100 + 0.1 n and 100 + n operations are worth 200 at twice and a fifth of 500
    np.testing.assert_allclose(table["rate"], 0.05)
    np.testing.assert_allclose(table["break_even"], [0.10, 0.01])
    said = needs(table)
    assert said["spikes"].tolist() == ["**150\N{NO-BREAK SPACE}pJ**", "600\N{NO-BREAK SPACE}pJ"]
    assert said["levels"].tolist() == ["200\N{NO-BREAK SPACE}pJ", "**200\N{NO-BREAK SPACE}pJ**"]
    assert said["spikes win below"].tolist() == [
        "10.0\N{NO-BREAK SPACE}%",
        "1.0\N{NO-BREAK SPACE}%",
    ]
    ends = needs(table.assign(break_even=[0.0, 1.2]))
    assert ends["spikes win below"].tolist() == ["never", "at any rate"]


def test_matches_of_which_nothing_is_recorded_are_left_out(monkeypatch):
    def found(experiment, variant):
        if "company" in variant or experiment == "alexnet-cifar10":
            raise NotRecordedError("not recorded")
        return rows(experiment)["qdann" in variant]

    monkeypatch.setattr(module, "row", found)
    against = matches(["mlp-mnist", "alexnet-cifar10"])
    assert list(against) == ["at 0.6/0.7", "sparse, at 0.6/0.7"]
    for table in against.values():
        networks, models = (set(table.index.get_level_values(level)) for level in (0, 1))
        assert networks == {"MLP"} and models <= set(COMPARED.values())
        assert set(table["winner"]) <= set(SIDES)


def test_all_experiments_and_the_winner_of_each_cell(monkeypatch):
    def found(experiment, variant):
        if experiment == "alexnet-cifar10":
            raise NotRecordedError("not recorded")
        return rows(experiment)[variant == "qdann-0.6-0.7"]

    monkeypatch.setattr(module, "row", found)
    monkeypatch.setattr(module, "recorded", lambda: ["mlp-mnist", "lenet-mnist", "alexnet-cifar10"])
    table = opponents_table(models=MODELS)
    assert table.index.names == ["experiment", "model"]
    assert table["spiking_ops"].eq(600).all() and table["opponent_ops"].eq(200).all()
    ours, theirs = rows()
    assert table["spiking_accuracy"].eq(ours.accuracy.mean()).all()
    assert table["opponent_accuracy"].eq(theirs.accuracy.mean()).all()
    cells = winners(table)
    assert cells.index.tolist() == list(MODELS)  # in the models' order
    for network in ("mlp-mnist", "lenet-mnist"):
        assert cells[network].tolist() == [
            "spikes 1.33 times",
            "levels 3.00 times",
        ]
    nearly = winners(table.assign(ratio=[0.996, 1.004, 0.994, 1.006], winner="spiking"))
    assert nearly["mlp-mnist"].tolist() == ["even", "even"]
    assert nearly["lenet-mnist"].tolist() == ["spikes 1.01 times"] * 2
    assert winners(table.iloc[:-1])["lenet-mnist"].tolist() == [
        "spikes 1.33 times",
        "",
    ]
    with pytest.raises(NotRecordedError, match=r"'qdsnn-0\.6-0\.7' and 'qdann-0\.6-0\.7'"):
        opponents_table(experiments=["alexnet-cifar10"], models=MODELS)


def test_models_that_ask_for_more_than_was_counted_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARQ_RESULTS_DIR", str(tmp_path))
    ours = make_trace(seed=1, network="mlp")
    old = {name: count for name, count in ours.counts.items() if name != "current_reads"}
    ours = type(ours)(ours.confidence, ours.prediction, ours.labels, old, ours.measured_on)
    theirs = make_trace(seed=2, network="mlp", encoding="analog", timesteps=1, levels=4)
    for variant, trace in (("qdsnn", ours), ("qdann", theirs)):
        for split in ("validation", "test"):
            on = replace(trace.measured_on, variant=variant, split=split, seed=0)
            save_trace(replace(trace, measured_on=on), trace_path("mlp-mnist", variant, split))
    table = opponents_table(experiments=["mlp-mnist"])
    assert set(ENERGY_MODELS) - set(table.loc["mlp-mnist"].index) == {
        *("horowitz-step-by-step-exact", "horowitz-event-driven-exact"),
        *("sram-dram-step-by-step", "sram-dram-event-driven"),
    }


def test_a_foreign_trace_is_refused_not_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARQ_RESULTS_DIR", str(tmp_path))
    for variant in ("qdsnn", "qdann"):
        for split in ("validation", "test"):
            save_trace(make_trace(network="lenet5"), trace_path("mlp-mnist", variant, split))
    with pytest.raises(ResultsError, match="is a trace of network 'lenet5'"):
        opponents_table(experiments=["mlp-mnist"])
