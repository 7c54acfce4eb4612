import re
import subprocess
import sys
import zlib
from dataclasses import replace

import numpy as np
import pytest
import snntorch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make_trace import built, make_trace, rivals

from sparq_utils.traces.energy import HOROWITZ_INT8, PRICED, MemoryModel, energy
from sparq_utils.traces.energy_models import Priced
from sparq_utils.traces.memory import memory_model
from sparq_utils.traces.microcontrollers import Microcontroller
from sparq_utils.traces.optimum import exact_optimum
from sparq_utils.traces.policies import Oracle, Thresholds, outcome
from sparq_utils.traces.qlearning import CONTINUE, LEAVE, Learning, Snapshot, learn
from sparq_utils.traces.rivals import break_even
from sparq_utils.widgets import (
    BreakEvenExplorer,
    ChipExplorer,
    ConversionExplorer,
    DigitExplorer,
    EnergyExplorer,
    LIFExplorer,
    PictureExplorer,
    QLearningExplorer,
    ThresholdExplorer,
    TradeOffExplorer,
    exemplars,
    paper_points,
    simulate_lif,
)
from sparq_utils.widgets.base import HERE, pack, script, smallest
from sparq_utils.widgets.joules import MEMORIES


@pytest.fixture
def trace():
    return make_trace()


def test_importing_the_explorers_imports_no_torch():
    code = "import sys, sparq_utils.widgets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_script_holds_what_it_imports_once_and_before_it():
    code = script("threshold.js")
    assert "import {" not in code and code.count("export ") == 1
    names = re.findall(r"^(?:async )?(?:function|const|class|let) (\w+)", code, re.MULTILINE)
    assert len(names) == len(set(names))
    assert names.index("energyParts") < names.index("outcome") < names.index("build")
    assert code.rstrip().endswith("export default explorer(build);")


def test_no_line_of_a_script_is_longer_than_a_hundred_letters():
    files = [*HERE.glob("*.js"), *(HERE.parents[1] / "assets/static").glob("*.js")]
    lines = [(f.name, line) for f in files for line in f.read_text("utf-8").splitlines()]
    assert [one for one in lines if len(one[1]) > 100] == []


def test_pack_regroups_bytes_by_significance():
    contents, data = pack({"a": np.array([1, 258], np.uint16), "b": np.array([-1], np.int8)})
    assert zlib.decompress(data) == bytes([1, 2, 0, 1, 255])
    assert contents["a"] == {"dtype": "uint16", "length": 2}
    with pytest.raises(TypeError, match="array 'wide' is int64"):
        pack({"wide": np.array([1])})


@pytest.mark.parametrize(
    ("highest", "dtype"), [(255, "uint8"), (256, "uint16"), (2**32 - 1, "uint32"), (2**32, "f8")]
)
def test_smallest_keeps_whole_numbers_exact(highest, dtype):
    kept = smallest(np.array([0, highest]))
    assert kept.dtype == dtype
    assert int(kept[1]) == highest


@pytest.mark.parametrize("value", [-1, 2**53])
def test_smallest_refuses_what_javascript_cannot_hold(value):
    with pytest.raises(ValueError, match="do not fit JavaScript"):
        smallest(np.array([value]))


@given(seed=st.integers(0, 50), exits=st.integers(2, 4), where=st.floats(0, 1))
@settings(max_examples=20, deadline=None)
def test_the_point_is_what_policies_and_energy_say(seed, exits, where):
    trace = make_trace(exits, 60, seed)
    thresholds = [where] * (exits - 1)
    leaving = Thresholds(thresholds).leaving(trace)
    for memory in ("step-by-step", "event-driven"):
        explorer = ThresholdExplorer({"a": trace}, memory=memory, thresholds=thresholds)
        point, expected = explorer.point, outcome(trace, leaving)
        joules = energy(trace, memory=memory).mean_j(leaving)
        assert point["accuracy"] == pytest.approx(expected.accuracy, rel=1e-12)
        assert point["shares"] == list(expected.exit_shares)
        assert point["synaptic_ops"] == pytest.approx(expected.mean_counts["synaptic_ops"])
        assert point["parts"] == pytest.approx(joules, rel=1e-12)
        assert point["energy_j"] == pytest.approx(sum(joules.values()), rel=1e-12)
        full = trace.synaptic_ops[-1].mean()
        assert point["speed_up"] == pytest.approx(full / point["synaptic_ops"], rel=1e-12)


def test_speed_up_is_against_the_full_network_if_there_is_one(trace):
    static = make_trace(exits=1, samples=80, seed=1, variant="qsnn")
    explorer = ThresholdExplorer({"a": trace}, full={"a": static})
    expected = static.synaptic_ops.mean() / explorer.point["synaptic_ops"]
    assert explorer.point["speed_up"] == pytest.approx(expected)


def test_a_preset_in_force_decides_instead_of_the_thresholds(trace):
    explorer = ThresholdExplorer({"a": trace}, presets={"a": {"Oracle": Oracle()}})
    before = explorer.point
    explorer.preset = "Oracle"
    assert explorer.point["accuracy"] == outcome(trace, Oracle().leaving(trace)).accuracy
    explorer.preset = "Never leave early"
    assert explorer.point["shares"] == [0, 0, 1]
    explorer.preset = ""
    assert explorer.point == before


def test_prices_follow_the_constants(trace):
    explorer = ThresholdExplorer({"a": trace})
    explorer.constants = {"8": {name: getattr(HOROWITZ_INT8, name) for name in PRICED}}
    expected = energy(trace, HOROWITZ_INT8).mean_j(explorer.leaving)
    assert explorer.point["parts"] == pytest.approx(expected, rel=1e-12)


def test_every_precision_is_priced_by_its_own_constants(trace):
    full = make_trace(exits=1, variant="snn", weight_bits=32)
    both = {"INT8": trace, "FP32": make_trace(weight_bits=32)}
    explorer = ThresholdExplorer(both, constants="horowitz", full={"INT8": full})
    for label, given_ in both.items():
        explorer.selected = label
        expected = energy(given_, "horowitz").mean_j(explorer.leaving)
        assert explorer.point["parts"] == pytest.approx(expected, rel=1e-12)
    bars = EnergyExplorer(both, constants="horowitz")
    for label, given_ in both.items():
        expected = energy(given_, "horowitz").mean_j()
        assert bars.point[label] == pytest.approx(expected, rel=1e-12)
    names = [preset["name"] for preset in bars.constant_presets]
    assert names[-1] == "horowitz" and bars.constant_presets[-1]["constants"] == bars.constants


PRICES = {"8": dict.fromkeys(PRICED, 1e-12)}


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        ({"8": PRICES["8"] | {"mac_j": -1.0}}, "mac_j is -1.0; an energy is finite"),
        ({"8": PRICES["8"] | {"byte_j": float("nan")}}, "byte_j is nan"),
        ({"8": {"mac_j": 1.0}}, "constants missing or unknown: ac_j"),
        ({}, r"given for \[\] bits, needed for \['8'\]"),
        (PRICES | {"32": PRICES["8"]}, "needed for"),
    ],
)
@pytest.mark.parametrize("explorer", [ThresholdExplorer, EnergyExplorer])
def test_energies_that_cannot_be_are_refused(trace, explorer, prices, message):
    shown = explorer({"a": trace})
    shown.constants = PRICES
    with pytest.raises(ValueError, match=message):
        shown.constants = prices
    assert shown.constants == PRICES


@pytest.mark.parametrize(
    "change", [{"accuracy": float("nan")}, {"synaptic_ops": -1.0}, {"energy_j": float("inf")}]
)
def test_points_that_cannot_be_drawn_are_refused(trace, change):
    points = paper_points("lenet-mnist")
    bad = [points[0], points[1] | change]
    with pytest.raises(ValueError, match=f"point '{points[1]['name']}' cannot be drawn"):
        ThresholdExplorer({"a": trace}, paper_points={"a": bad})


def test_thresholds_and_policies_fit_the_selected_network(trace):
    explorer = ThresholdExplorer({"a": trace, "b": make_trace(exits=2)})
    for thresholds in ([0.5], [0.5, 1.5], [0.5, float("nan")]):
        with pytest.raises(ValueError):
            explorer.thresholds = thresholds
    with pytest.raises(ValueError, match="no policy is called 'Oracle'"):
        explorer.preset = "Oracle"
    explorer.preset = "Thresholds 0.6/0.7"
    explorer.selected = "b"
    assert (explorer.preset, explorer.thresholds) == ("", [0.8])


def test_selecting_a_network_fits_the_thresholds_to_its_exits(trace):
    explorer = ThresholdExplorer({"three": trace, "five": make_trace(exits=5)})
    explorer.selected = "five"
    assert len(explorer.thresholds) == 4
    assert len(explorer.point["shares"]) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"traces": {}}, "no traces"),
        ({"traces": {"a": make_trace(exits=1)}}, "has one exit"),
        ({"thresholds": [0.5]}, "1 thresholds for 3 exits"),
        ({"thresholds": [0.5, 1.5]}, "threshold 1.5 is outside"),
        ({"presets": {"b": {}}}, "no trace is called"),
        ({"presets": {"a": {"x": np.array([0.2])}}}, "'x' is float64"),
        ({"presets": {"a": {"x": [0.6, 0.7]}}}, "policy 'x' is a list; give a policy"),
        ({"presets": {"a": {"x": Thresholds([0.6])}}}, "1 thresholds for 3 exits"),
        ({"presets": {"a": {"x": np.full(500, 3)}}}, "one of 3 exits for each of 500"),
        ({"memory": "none"}, "unknown memory model"),
    ],
)
def test_the_threshold_explorer_refuses_what_does_not_fit(trace, change, message):
    with pytest.raises(ValueError, match=message):
        ThresholdExplorer(**({"traces": {"a": trace}} | change))


def test_selecting_an_unknown_network_is_refused(trace):
    with pytest.raises(ValueError, match="no trace is called 'b'"):
        ThresholdExplorer({"a": trace}).selected = "b"


def test_the_papers_points_are_its_tables():
    points = {one["name"]: one for one in paper_points("alexnet-cifar10")}
    late = points["Paper: QDSNN 0.6/0.7"]
    assert (late["accuracy"], late["synaptic_ops"]) == (78.0, 270_000)
    assert late["energy_j"] == pytest.approx(2.68e-3)
    assert points["Paper: ANN"]["energy_j"] is None


@given(
    current=st.floats(0, 2, width=32),
    beta=st.floats(0.5, 1, width=32),
    threshold=st.floats(0.125, 2, width=32),
    reset=st.sampled_from(["subtract", "zero"]),
)
@settings(max_examples=40, deadline=None)
def test_the_neuron_is_snntorchs_spike_for_spike(current, beta, threshold, reset):
    neuron = snntorch.Leaky(beta, threshold=threshold, reset_mechanism=reset)
    membrane, spikes = simulate_lif(np.full(24, current), beta, threshold, reset)
    potential = torch.zeros(1)
    for t in range(24):
        spike, potential = neuron(torch.tensor([current]), potential)
        assert spike.item() == spikes[t]
        assert potential.item() == membrane[t]


def test_the_neuron_by_hand():
    membrane, spikes = simulate_lif(np.full(4, 0.5), threshold=1.0, start=0.5)
    assert membrane.tolist() == [1.0, 1.5, 1.0, 1.5]  # a potential of 1 is not above 1
    assert spikes.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reset": "no"}, "reset"),
        ({"beta": 2}, "beta"),
        ({"current": np.ones(0)}, "T at least 1"),
        ({"current": np.array([1, np.nan])}, "finite numbers"),
    ],
)
def test_the_neuron_refuses_values_out_of_range(change, message):
    with pytest.raises(ValueError, match=message):
        simulate_lif(**({"current": np.ones(3)} | change))


def test_the_lif_explorer_stops_the_current_when_told():
    explorer = LIFExplorer(current=1.5, current_steps=3, timesteps=8)
    assert explorer.response[1].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]


def test_the_conversion_explorer_reads_recorded_curves():
    explorer = ConversionExplorer({"copy": {"2": 0.5, "4": 0.75}, "balanced": {4: 0.875}}, 0.9)
    assert explorer.steps == [2, 4]
    assert explorer.point == {"copy": 0.75, "balanced": 0.875}
    explorer.timesteps = 2
    assert explorer.point == {"copy": 0.5}
    with pytest.raises(ValueError, match="T = 3 was not recorded"):
        explorer.timesteps = 3
    with pytest.raises(ValueError, match="no accuracies"):
        ConversionExplorer({})
    with pytest.raises(ValueError, match="fractions"):
        ConversionExplorer({"copy": {1: 75.0}})
    with pytest.raises(ValueError, match="fractions"):
        ConversionExplorer({"copy": {1: 0.5}}, ann_accuracy=float("nan"))
    with pytest.raises(ValueError, match="T = 0 is no number of timesteps"):
        ConversionExplorer({"copy": {0: 0.5}})


def test_the_learning_explorer_needs_a_history(trace):
    rng, settings_ = np.random.default_rng(0), Learning(episodes=400, record_every=100)
    learned, optimum = learn(trace, rng, learning=settings_), exact_optimum(trace)
    explorer = QLearningExplorer(learned, optimum)
    assert explorer.about["episodes"] == [100, 200, 300, 400]
    assert explorer.snapshot == 3
    assert len(explorer.thresholds) == 2
    with pytest.raises(ValueError, match="4 recorded tables"):
        explorer.snapshot = 4
    with pytest.raises(ValueError, match="no history"):
        QLearningExplorer(learn(trace, rng, learning=Learning(episodes=20)), optimum)


def test_thresholds_are_implied_by_what_was_learned_by_then(trace):
    """A bin that is first visited later says nothing yet, and nothing against a threshold."""
    early = np.zeros((3, 13, 2))
    early[0, 9:12, LEAVE] = 1.0  # bin 12 is still untouched
    late = early.copy()
    late[0, 12, LEAVE], late[0, 8, CONTINUE] = 1.0, 1.0
    history = [Snapshot(100, early, 0.5), Snapshot(200, late, 0.6)]
    learned = learn(trace, np.random.default_rng(0), learning=Learning(episodes=20))
    learned = replace(learned, history=tuple(history), visits=np.ones((3, 13, 2), int))
    explorer = QLearningExplorer(learned, exact_optimum(trace))
    assert explorer.about["thresholds"] == [[0.98, None], [0.98, None]]


def test_memory_models_can_be_switched(trace):
    explorer = EnergyExplorer({"a": trace})
    for one in explorer.memories:
        explorer.memory = one["name"]
        expected = energy(trace, memory=one["name"]).mean_j()
        assert explorer.point["a"] == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="unknown memory model 'none'"):
        explorer.memory = "none"
    own = EnergyExplorer({"a": trace}, memory=MemoryModel("once", "memory"))
    assert own.memory == "custom" and own.memories[-1]["about"] == "A memory model of your own."


def test_the_energy_explorer_adds_up(trace):
    leaving = Thresholds((0.6, 0.7)).leaving(trace)
    explorer = EnergyExplorer({"all": trace, "early": (trace, leaving)})
    for label, where in (("all", None), ("early", leaving)):
        expected = energy(trace).mean_j(where)
        assert explorer.point[label] == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="no traces"):
        EnergyExplorer({})
    for wrong in (leaving[:-1], leaving + 3, leaving.astype(float)):
        with pytest.raises(ValueError, match="'early'"):
            EnergyExplorer({"early": (trace, wrong)})


def test_the_trade_off_is_what_energy_and_outcome_say(trace):
    explorer = TradeOffExplorer(trace)
    explorer.step = 63
    leaving = Thresholds((0.63, 0.63)).leaving(trace)
    expected = outcome(trace, leaving)
    assert explorer.point["accuracy"] == expected.accuracy
    assert explorer.point["shares"] == list(expected.exit_shares)
    joules = sum(energy(trace).mean_j(leaving).values())
    assert explorer.point["energy_j"] == pytest.approx(joules, rel=1e-12)
    assert explorer.about["end"]["accuracy"] == trace.correct[-1].mean()
    with pytest.raises(ValueError, match="AlexNet has one exit"):
        TradeOffExplorer(make_trace(exits=1), "AlexNet")


def test_exemplars_are_right_where_they_leave_and_wrong_before(trace):
    leaving = Thresholds((0.6, 0.7)).leaving(trace)
    found = exemplars(trace, leaving, each=4)
    for exit, samples in enumerate(found):
        assert 0 < len(samples) <= 4
        assert (leaving[samples] == exit).all() and trace.correct[exit, samples].all()
    misled = (leaving == 2) & trace.correct[2] & ~trace.correct[0]
    assert misled[found[2]].sum() == min(4, misled.sum())
    surest = trace.confidence[0][(leaving == 0) & trace.correct[0]].max()
    assert trace.confidence[0, found[0][0]] == surest
    assert [len(one) for one in exemplars(trace, np.zeros_like(leaving))] == [3, 0, 0]


@pytest.mark.parametrize("constants", ["paper", "horowitz"])
def test_the_break_even_is_the_one_that_is_solved_for(constants):
    pair = rivals()
    explorer = BreakEvenExplorer({"a": pair}, constants=constants)
    for name in MEMORIES:
        explorer.memory = name
        model = Priced(name, "a test", constants, memory_model(name))
        expected = break_even(model, *pair)
        assert explorer.rate == pytest.approx(expected.rate, rel=1e-12)
        point = explorer.point
        assert point["spiking_j"] == pytest.approx(expected.spiking_j, rel=1e-9)
        assert point["opponent_j"] == pytest.approx(expected.opponent_j, rel=1e-9)
        assert point["break_even"] == pytest.approx(expected.break_even, rel=1e-9)


def test_the_knobs_do_what_they_say():
    explorer = BreakEvenExplorer({"a": rivals()}, memory="event-driven")
    recorded, before = explorer.rivals["a"]["recorded"], explorer.point
    assert 0 < before["break_even"] < 1
    explorer.rate = before["break_even"]
    assert explorer.point["spiking_j"] == pytest.approx(before["opponent_j"], rel=1e-9)
    explorer.rate, explorer.timesteps = recorded["rate"], 8
    first_layer = 117_600 * (4.6e-12 + 80e-12)  # computed once: a MAC and a byte each
    twice = 2 * before["spiking_j"] - first_layer
    assert explorer.point["spiking_j"] == pytest.approx(twice, rel=1e-9)
    (levels,) = (
        term
        for term in explorer.rivals["a"]["terms"]["event-driven"]["opponent"]
        if term["times"] == ["level_bits"]
    )
    extra = explorer.point["opponent_j"] - before["opponent_j"]  # 4 bits for 9 levels, 3 for 5
    assert extra == pytest.approx(levels["amount"] * 80e-12, rel=1e-6)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (([], []), "'a' lacks seeds"),
        (rivals()[::-1], "'a' has no spikes"),
        ((rivals()[0], rivals(weight_bits=32)[1]), "'a' compares weights of 32 and 8 bits"),
    ],
)
def test_rivals_that_cannot_be_compared_are_refused(pair, message):
    with pytest.raises(ValueError, match=message):
        BreakEvenExplorer({"a": pair})
    with pytest.raises(ValueError, match="no rivals given"):
        BreakEvenExplorer({})


def tiny_network(**change):
    """As deploy.wasm describes a network; what its module computes matters to the page alone."""
    network = {"code": b"\0asm", "input_shape": [1, 2, 2], "timesteps": 4, "encoding": "direct",
               "exits": 2, "classes": 2, "layers": []}  # fmt: skip
    return network | change


def test_the_digit_explorer_offers_what_shows_each_exit():
    trace = make_trace(exits=2)
    numbers = np.arange(trace.samples)
    images = np.repeat(numbers % 256, 4).astype(np.uint8).reshape(-1, 2, 2)
    given_ = tiny_network(), images, trace.labels, trace, [0.5]
    offered = DigitExplorer.of_exemplars(*given_, names=("early", "late"))
    first, second = exemplars(trace, Thresholds((0.5,)).leaving(trace))
    assert offered.kinds == [{"name": "early", "digits": [0, 1, 2]},
                             {"name": "late", "digits": [3, 4, 5]}]  # fmt: skip
    assert len(first) == len(second) == 3 and offered.image == images[first[0]].tobytes()
    assert DigitExplorer.of_exemplars(*given_).kinds == []
    with pytest.raises(ValueError, match="3 names for 2 exits"):
        DigitExplorer.of_exemplars(*given_, names=("a", "b", "c"))
    with pytest.raises(ValueError, match="other digits"):
        DigitExplorer.of_exemplars(tiny_network(), images, 9 - trace.labels, trace, [0.5])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": tiny_network(encoding="analog")}, "direct-coded networks"),
        ({"network": tiny_network(exits=3)}, "has 2 exits and T = 4, the network 3"),
        ({"network": tiny_network(timesteps=8)}, "record it from this network"),
        ({"images": np.zeros((3, 5, 5), np.uint8)}, "expected uint8"),
        ({"images": np.zeros((0, 2, 2), np.uint8), "labels": []}, "at least one digit"),
        ({"labels": np.zeros(2, int)}, "2 labels for 3 images"),
        ({"thresholds": [0.5, 0.5]}, "2 thresholds for 2 exits"),
        ({"memory": "event-driven"}, "depends on the image"),
        ({"kinds": {"Easy": [0, 3]}}, "name no digits, or others than 3 images"),
        ({"kinds": {"Easy": []}}, "name no digits"),
    ],
)
def test_the_digit_explorer_refuses_what_does_not_fit(change, message):
    given_ = {
        "network": tiny_network(),
        "images": np.zeros((3, 2, 2), np.uint8),
        "labels": np.zeros(3, int),
        "trace": make_trace(exits=2),
        "thresholds": [0.5],
    }
    explorer = DigitExplorer(**given_)
    assert explorer.pixels.shape == (1, 1, 2, 2)
    with pytest.raises(ValueError, match=message):
        DigitExplorer(**(given_ | change))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("picked", 3, "there are 3 images"),
        ("image", b"123", "has 4 bytes, this one 3"),
        ("thresholds", [0.5, 0.5], "2 thresholds for 2 exits"),
        ("constants", {"8": PRICES["8"] | {"ac_j": -1e-12}}, "ac_j is -1e-12"),
    ],
)
def test_the_digit_explorer_stays_as_it_was_when_told_nonsense(name, value, message):
    images, labels = np.zeros((3, 2, 2), np.uint8), np.zeros(3, int)
    explorer = DigitExplorer(tiny_network(), images, labels, make_trace(exits=2), [0.5])
    before = getattr(explorer, name)
    with pytest.raises(ValueError, match=message):
        setattr(explorer, name, value)
    assert getattr(explorer, name) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ["cat"]}, "1 names for 2 classes"),
        ({"network": tiny_network()}, "a photo has 3 channels"),
        ({"images": np.zeros((1, 3, 2, 2), np.uint8)}, "expected uint8 .n, 2, 2, 3."),
    ],
)
def test_the_picture_explorer_refuses_what_does_not_fit(change, message):
    given_ = {
        "network": tiny_network(input_shape=[3, 2, 2]),
        "images": np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3),
        "labels": [1],
        "trace": make_trace(exits=2),
        "classes": ["cat", "dog"],
        "thresholds": [0.5],
    }
    explorer = PictureExplorer(**given_)
    assert explorer.pixels.shape == (1, 3, 2, 2)
    assert (explorer.pixels[0, 2] * 255).round().tolist() == [[2, 5], [8, 11]]  # the blue
    with pytest.raises(ValueError, match=message):
        PictureExplorer(**(given_ | change))


def test_the_picture_explorer_may_have_no_pictures_to_pick_from():
    none = np.zeros((0, 2, 2, 3), np.uint8)
    network, trace = tiny_network(input_shape=[3, 2, 2]), make_trace(exits=2)
    explorer = PictureExplorer(network, none, [], trace, ["cat", "dog"], [0.5])
    assert explorer.picked == -1 and explorer.image == bytes(12)


def test_the_chip_explorer_adds_instructions_up_by_exit():
    part = Microcontroller("slow", 1000, 2.0, 0.5, 1, 1, "made up")  # 1 mJ per cycle
    trace = make_trace(exits=2, samples=4)
    trace = replace(trace, confidence=np.array([[0.2, 0.5, 0.51, 0.9], [1, 1, 1, 1]], np.float32))
    files = {"spikes": (trace, {"dense": [100, 300]})}
    explorer = ChipExplorer({"a": files}, part, thresholds=[0.5])
    point = explorer.point["spikes, dense"]
    assert point["shares"] == [0.75, 0.25]
    assert point["instructions"] == 150  # three times 100, once 300
    assert point["energy_j"] == pytest.approx(0.15) and point["per_second"] == 1000 / 150
    assert point["accuracy"] == outcome(trace, Thresholds((0.5,)).leaving(trace)).accuracy
    explorer.thresholds = [0.51]
    assert explorer.point["spikes, dense"]["shares"] == [0.25, 0.75]  # 0.51 in float32 is less


def test_a_chip_explorers_curves_are_the_best_thresholds():
    until = np.array([1e5, 3e5, 4e5])
    trace = make_trace(3, 200)
    explorer = ChipExplorer({"a": {"spikes": (trace, {"dense": until})}})
    sizes = [
        (name, one["length"] * np.dtype(one["dtype"]).itemsize)
        for name, one in explorer.contents.items()
    ]
    starts = dict(zip(dict(sizes), np.cumsum([0, *dict(sizes).values()]), strict=False))
    data = np.frombuffer(zlib.decompress(explorer.data), np.uint8)

    def curve(axis):
        name = f"0/front-0/{axis}"
        planes = data[starts[name] :][: dict(sizes)[name]].reshape(4, -1)
        return np.ascontiguousarray(planes.T).view("<f4").ravel()

    spent, right = curve("x"), curve("y")
    assert (np.diff(spent) > 0).all() and (np.diff(right) > 0).all()
    for pair in ((0.3, 0.4), (0.6, 0.7), (0.9, 0.2)):  # nothing lies beyond it
        explorer.thresholds = pair
        point = explorer.point["spikes, dense"]
        cheaper = right[spent <= point["instructions"] * (1 + 1e-6)]
        assert cheaper.max() >= point["accuracy"] - 1e-6


def test_the_chip_explorer_follows_the_network_it_shows():
    explorer = ChipExplorer({"a": built(), "b": built(exits=2)})
    explorer.selected = "b"
    assert explorer.thresholds == [0.7]
    with pytest.raises(ValueError, match="unknown network 'c'"):
        explorer.selected = "c"
    with pytest.raises(ValueError, match="no whole hundredths"):
        explorer.thresholds = [0.123]
    with pytest.raises(ValueError, match="2 thresholds for 2 exits"):
        explorer.thresholds = [0.1, 0.2]
    assert explorer.thresholds == [0.7]


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ({}, "no networks given"),
        ({"a": {}}, "or there are none"),
        ({"a": {"spikes": (make_trace(1), {"dense": [1]})}}, "one exit or no kernels"),
        ({"a": {"spikes": (make_trace(), {})}}, "one exit or no kernels"),
        ({"a": {"spikes": (make_trace(), {"dense": [1, 2]})}}, "until 3 exits rise"),
        ({"a": {"spikes": (make_trace(), {"dense": [1, 3, 2]})}}, "until 3 exits rise"),
        ({"a": built() | {"more": built(exits=2)["spikes"]}}, "differ in exits"),
    ],
)
def test_files_that_cannot_stand_side_by_side_are_refused(networks, message):
    with pytest.raises(ValueError, match=message):
        ChipExplorer(networks)
