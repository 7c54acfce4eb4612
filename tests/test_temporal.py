"""Exits in time: answers and costs of a network that is stopped early for real."""

from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
import torch
from make_trace import make_trace
from test_recording import some_images, spiking

from sparq_utils.networks.architectures import lenet5, mlp
from sparq_utils.networks.recording import record
from sparq_utils.networks.recording_in_time import record_temporal
from sparq_utils.networks.spiking import LIF
from sparq_utils.traces.energy import energy
from sparq_utils.traces.in_time import equal_accuracy, threshold_curve
from sparq_utils.traces.policies import Thresholds, outcome
from sparq_utils.traces.sweeps import sweep_thresholds
from sparq_utils.traces.trace import COUNTS, load_trace, save_trace


def stopped_after(network, timesteps):
    """The same network with fewer timesteps."""
    short = deepcopy(network)
    short.timesteps = short.encoder.timesteps = timesteps
    for module in short.modules():
        if isinstance(module, LIF):
            module.timesteps = timesteps
    return short


@pytest.mark.parametrize("build", [mlp, lenet5])
def test_an_exit_in_time_is_the_network_run_for_fewer_steps(build):
    network, images = spiking(build, timesteps=4), some_images()
    trace = record_temporal(network, images, "snn", batch_size=5)
    assert trace.exits == 4
    for t in (1, 2, 4):
        short = record(stopped_after(network, t).without_exits(), images, "snn", batch_size=5)
        assert np.allclose(trace.confidence[t - 1], short.confidence[0], atol=1e-5)
        assert np.array_equal(trace.prediction[t - 1], short.prediction[0])
        for name in COUNTS:
            assert np.array_equal(trace.count(name)[t - 1], short.count(name)[0]), (name, t)
    macs = trace.counts["macs"][:, 0]
    assert (macs == macs[0]).all()  # the image passes the direct-coded first layer once
    assert macs[0] > 0


def test_every_step_costs_all_layers_again():
    trace = record_temporal(spiking(timesteps=4), some_images(), "snn")
    updates = trace.counts["lif_updates"][:, 0]
    assert updates.tolist() == [970 * t for t in (1, 2, 3, 4)]  # 512 + 256 + 128 + 64 + 10
    first, second = trace.counts["weight_passes"][:2, 0]
    assert second - first == first - (784 * 512 + 512)  # all but the first layer, run once
    assert (trace.counts["weights"][:, 0] == first).all()


@pytest.mark.parametrize("order", ["step", "stage"])
def test_exits_and_steps_together(order):
    network, images = spiking(lenet5, timesteps=3), some_images()
    trace = record_temporal(network, images, "snn", order=order)
    step = [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (3, 2), (1, 3), (2, 3), (3, 3)]
    names = step if order == "step" else sorted(step)  # (exit, timestep) of each exit in time
    assert trace.exits == len(names)
    # At the last step the answers are those of the exits, and the whole costs the same.
    exits = record(network, images, "snn")
    last = [names.index((e, 3)) for e in (1, 2, 3)]
    assert np.allclose(trace.confidence[last], exits.confidence, atol=1e-5)
    for name in COUNTS:
        assert np.array_equal(trace.count(name)[-1], exits.count(name)[-1])
        if order == "stage":  # stage by stage, an exit's last step is that exit
            assert np.array_equal(trace.count(name)[last], exits.count(name))


def test_the_step_order_pays_for_every_step_before():
    network, images = spiking(lenet5, timesteps=3), some_images()
    trace = record_temporal(network, images, "snn", order="step")
    for t in (1, 2):  # a full step t, then step t + 1 as far as exit 1
        whole = record(stopped_after(network, t), images, "snn")
        first = [record(stopped_after(network, n), images, "snn") for n in (t, t + 1)]
        for name in ("acs", "spikes", "lif_updates", "weight_passes"):
            added = first[1].count(name)[0] - first[0].count(name)[0]
            assert np.array_equal(trace.count(name)[3 * t], whole.count(name)[-1] + added)


def test_the_gap_is_the_difference_of_the_two_largest_probabilities():
    network, images = spiking(timesteps=3), some_images()
    trace = record_temporal(network, images, "qsnn", criterion="gap")
    with torch.no_grad():
        logits = network.without_exits().forward_steps(images.floats())[0]  # [T, B, classes]
    for t in (1, 2, 3):
        two = logits[:t].mean(0).softmax(-1).sort(descending=True).values[:, :2]
        assert np.allclose(trace.confidence[t - 1], two[:, 0] - two[:, 1], atol=1e-5)
    assert trace.measured_on.variant == "qsnn-by-step-gap"


def test_the_variant_says_what_the_exits_are(tmp_path):
    network, images = spiking(timesteps=2), some_images(4)
    variants = {}
    for order in (None, "step", "stage"):
        trace = record_temporal(network, images, "qsnn", order=order)
        save_trace(trace, tmp_path / "trace.npz")
        variants[order] = load_trace(tmp_path / "trace.npz").measured_on.variant
    assert variants == {
        None: "qsnn-by-step",
        "step": "qsnn-by-step-and-exit",
        "stage": "qsnn-by-exit-and-step",
    }


def test_bad_input_is_named():
    network, images = spiking(timesteps=2), some_images(2)
    with pytest.raises(ValueError, match="unknown criterion 'entropy'"):
        record_temporal(network, images, "snn", criterion="entropy")
    with pytest.raises(ValueError, match="unknown order 'depth'"):
        record_temporal(network, images, "snn", order="depth")
    with pytest.raises(ValueError, match="one timestep"):
        record_temporal(mlp(), images, "ann")


@pytest.mark.parametrize("exits", [1, 2, 3, 7])
def test_the_threshold_curve_is_what_each_threshold_gives(exits):
    trace = make_trace(exits)
    cost = energy(trace).total
    grid = np.linspace(0, 1, 11)
    curve = threshold_curve(trace, cost, grid)
    for row in curve.itertuples():
        leaving = Thresholds([row.threshold] * (exits - 1)).leaving(trace)
        assert row.accuracy == pytest.approx(outcome(trace, leaving).accuracy)
        assert row.cost == pytest.approx(cost[leaving, np.arange(trace.samples)].mean())
        assert row.exit == pytest.approx(leaving.mean())


def test_the_threshold_curve_tries_every_threshold_that_differs():
    trace = make_trace(2, 300)
    curve = threshold_curve(trace, trace.synaptic_ops)
    fine = sweep_thresholds(trace, grid=curve["threshold"].to_numpy())
    assert np.allclose(curve["accuracy"], fine.accuracy)
    assert np.allclose(curve["cost"], fine.cost)
    everywhere = sweep_thresholds(trace, steps=2001)
    assert curve["accuracy"].max() >= everywhere.accuracy.max() - 1e-12
    with pytest.raises(ValueError, match="rise strictly"):
        threshold_curve(trace, trace.synaptic_ops, np.array([0.5, 0.5]))


def test_equal_accuracy_takes_the_cheapest_threshold_that_suffices():
    traces = {"three": make_trace(3, seed=1), "eight": make_trace(8, seed=2)}
    table = equal_accuracy(traces, [0.5, 0.6, 1.0])
    assert list(table["trace"]) == ["three"] * 3 + ["eight"] * 3
    for row in table[table["wanted"] < 1].itertuples():
        trace = traces[row.trace]
        assert row.accuracy >= row.wanted
        leaving = Thresholds([row.threshold] * (trace.exits - 1)).leaving(trace)
        assert row.accuracy == pytest.approx(outcome(trace, leaving).accuracy)
        joules = energy(trace).total
        assert row.energy_j == pytest.approx(joules[leaving, np.arange(trace.samples)].mean())
        assert row.synaptic_ops == pytest.approx(
            outcome(trace, leaving).mean_counts["synaptic_ops"]
        )
        curve = threshold_curve(trace, joules)
        assert row.energy_j == pytest.approx(curve["cost"][curve["accuracy"] >= row.wanted].min())
    hopeless = table[table["wanted"] == 1.0]
    assert hopeless["energy_j"].isna().all()
    assert not hopeless["best"].any()
    winners = table[table["best"]]
    assert sorted(winners["wanted"]) == [0.5, 0.6]
    cheapest = table.groupby("wanted")["energy_j"].min().dropna()
    assert winners.set_index("wanted")["energy_j"].sort_index().equals(cheapest)


def test_thresholds_chosen_on_validation_data_are_reported_on_test_data():
    test, validation = {"x": make_trace(3, seed=1)}, {"x": make_trace(3, seed=2)}
    chosen = equal_accuracy(validation, [0.6])
    reported = equal_accuracy(test, [0.6], validation)
    assert reported["threshold"].equals(chosen["threshold"])
    leaving = Thresholds([reported["threshold"][0]] * 2).leaving(test["x"])
    assert reported["accuracy"][0] == pytest.approx(outcome(test["x"], leaving).accuracy)
    assert isinstance(reported, pd.DataFrame)
    with pytest.raises(ValueError, match="'x' has no validation trace with 3 exits"):
        equal_accuracy(test, [0.6], {"x": make_trace(2)})
