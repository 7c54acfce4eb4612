"""The C file's parts, one by one: how weights lie, whole numbers, what a page is shown."""

import ctypes
import importlib.util
import shutil

import numpy as np
import pytest
from test_deploy import IMAGES, expected, network

from sparq_utils import reference
from sparq_utils.deploy import c_file, constants, layout, native
from sparq_utils.deploy.c_watched import watched_layers
from sparq_utils.deploy.plan import plan
from sparq_utils.toolchain import build_once

BUILDS = pytest.mark.skipif(
    not (importlib.util.find_spec("ziglang") or shutil.which("cc")), reason="no C compiler"
)
ALL = np.ones(255, bool)


def synapses(described):
    return [step for step in plan(described).steps if step.weights is not None]


def test_four_outputs_share_a_word_whose_middle_is_swapped():
    words = layout._by_spikes(np.array([[1], [2], [3], [-4]], np.int8), 4)
    assert [hex(word) for word in words] == ["0xfc020301"]


def test_outputs_that_fill_up_a_block_weigh_nothing():
    words = layout._by_spikes(np.arange(1, 7, dtype=np.int8)[:, None], 8)
    assert [hex(word) for word in words] == ["0x4020301", "0x60005"]


def test_two_bytes_to_two_outputs_share_a_word():
    weights = np.array([[[1, 2, 5]], [[3, 4, 6]]], np.int8)  # [outputs, rows, bytes]
    words, twos = layout._by_twos(weights, 2)
    assert twos == 2 and [hex(word) for word in words] == ["0x4020301", "0x605"]


def test_positions_side_by_side_have_weights_a_stride_apart():
    weights = np.array([1, 2, 3], np.int8).reshape(1, 1, 3, 1)
    assert layout._side_by_side(weights, 2, 2)[:, 0, :, 0].tolist() == [
        [1, 2, 3, 0, 0], [0, 0, 1, 2, 3]
    ]  # fmt: skip


def test_blocks_are_few_and_even():
    assert [layout._block(n, 16, 4) for n in (3, 10, 16, 17, 84, 120)] == [4, 12, 16, 12, 16, 16]
    assert [layout._block(n, 8, 2) for n in (6, 9, 64)] == [6, 6, 8]


def test_sums_of_sixteen_bits_are_cut_where_they_might_not_fit():
    assert layout._pieces(np.full((1, 2, 64), 127, np.int8), 1) == (1, 0)  # 128 * 127 = 16256
    assert layout._pieces(np.full((1, 2, 64), 127, np.int8), 4) == (1, 2)  # each plane fits
    assert layout._pieces(np.full((1, 4, 128), 127, np.int8), 1) == (1, 2)  # two rows of four
    assert layout._pieces(np.full((1, 1, 1024), -127, np.int8), 1) == (4, 1)  # 256 inputs fit


@pytest.mark.parametrize("described", [network(4), network(1, levels=4)], ids=["spikes", "levels"])
def test_whole_numbers_give_every_sum_the_level_that_rounding_gives(described):
    for step in synapses(described):
        exact = constants.whole_levels(step, ALL)
        if step.source.kind == "pixels" and exact is None:
            continue  # sums of pixels are fine-grained: see below
        most = step.source.most
        weights = step.weights.reshape(len(step.weights), -1).astype(int)
        for output, row in enumerate(weights):
            lowest, highest = np.minimum(row, 0).sum() * most, np.maximum(row, 0).sum() * most
            sums = np.arange(lowest, highest + 1)
            layer = step.layer | {"bias": step.layer["bias"][output : output + 1]}
            product = ((sums << exact.up) + exact.offsets[output]) * exact.factor
            told = np.clip(product >> (32 + exact.down), 0, 255)
            np.testing.assert_array_equal(told, constants.level_of(layer, sums[None])[0])


def test_levels_that_no_table_tells_apart_may_differ():
    step = synapses(network(4))[0]
    answers = constants.answers(4, step.layer, step.neurons)
    exact = constants.whole_levels(step, np.diff(answers) != 0)
    row, most = step.weights[0].ravel().astype(int), step.source.most
    lowest, highest = np.minimum(row, 0).sum() * most, np.maximum(row, 0).sum() * most
    sums = np.arange(lowest, highest + 1)
    product = ((sums << exact.up) + exact.offsets[0]) * exact.factor
    told = np.clip(product >> (32 + exact.down), 0, 255)
    layer = step.layer | {"bias": step.layer["bias"][:1]}
    wanted = constants.level_of(layer, sums[None])[0]
    np.testing.assert_array_equal(answers[told], answers[wanted])


def test_levels_are_those_of_the_reference():
    step = synapses(network(4))[1]
    layer = step.layer
    sums = np.arange(-900, 900, 7)
    one = layer | {"kind": "linear", "weight": np.ones((1, 1), np.int8), "input_zero_point": 0,
                   "bias": layer["bias"][:1]}  # fmt: skip
    # an input of that many spikes, weight 1; the reference cuts inputs to a byte, so shift the bias
    unit = float(np.float32(layer["input_scale"]) * np.float32(layer["weight_scale"]))
    for offset in (-600, 0, 600):
        shifted = one | {"bias": (one["bias"] + np.float32(offset * unit)).astype(np.float32)}
        arriving = sums[(sums >= 0) & (sums <= 255)]
        x = (arriving * layer["input_scale"]).astype(np.float32).reshape(1, -1, 1)
        current = reference.synapse(shifted, x)[0, :, 0]
        levels = np.rint(current / layer["output_scale"]) + layer["output_zero_point"]
        np.testing.assert_array_equal(constants.level_of(shifted, arriving[None])[0], levels)


def test_spikes_come_beyond_bounds_as_potentials_cross_thresholds():
    step = synapses(network(4))[2]
    bounds = constants.spike_bounds(4, step.layer, step.neurons)
    zero, scale = step.layer["output_zero_point"], np.float32(step.layer["output_scale"])
    levels = np.random.default_rng(3).integers(zero - 40, zero + 90, (4, 5000))
    current = ((levels - zero).astype(np.float32) * scale)[:, :, None]
    spikes = reference.fire(step.neurons, current, 4)[:, :, 0]
    count, potential = np.zeros(5000, int), np.zeros(5000, int)
    for t in range(4):
        potential += levels[t]
        fired = potential > bounds[t, np.minimum(count, 3)]
        np.testing.assert_array_equal(fired, spikes[t] > 0)
        count += fired
    assert 0 < spikes.mean() < 1


def test_potentials_that_rounding_could_decide_stay_in_fractions():
    layer = {"output_scale": 0.25, "output_zero_point": 100}
    neurons = {"threshold": 1.0, "beta": 1.0, "start": 0.5}
    # 0.5 + 0.25 n reaches 1 at n = 2, to the last bit
    assert constants.spike_bounds(4, layer, neurons) is None
    assert constants.spike_bounds(4, layer | {"output_scale": 0.27}, neurons) is not None
    leaky = neurons | {"beta": 0.9}
    assert constants.spike_bounds(4, layer | {"output_scale": 0.27}, leaky) is None


@BUILDS
@pytest.mark.parametrize("described", [network(4), network(1, levels=4)], ids=["spikes", "levels"])
def test_fractions_answer_alike(described, monkeypatch):
    whole = native(described)(IMAGES)
    monkeypatch.setattr(constants, "whole_levels", lambda *_: None)
    monkeypatch.setattr(constants, "spike_bounds", lambda *_: None)
    fractions = native(described)(IMAGES)
    np.testing.assert_array_equal(fractions.prediction, whole.prediction)
    np.testing.assert_array_equal(fractions.logits, whole.logits)


@BUILDS
def test_a_page_is_shown_what_the_reference_does():
    described = network(4)
    header, code = c_file(described)
    flags = ["-DWATCHED", "-shared", "-fPIC", "-nostdlib"]
    library = build_once(described["name"], header, code, flags, ".so")
    opened = ctypes.CDLL(str(library))
    layers = watched_layers(described)
    size = layers[-1]["start"] + 4 * int(np.prod(layers[-1]["shape"]))
    answers = expected(described)
    for number in (0, 30):
        image = np.ascontiguousarray(IMAGES[number].transpose(1, 2, 0))
        answer = (ctypes.c_uint32 * 10)()
        never = (ctypes.c_float * 2)(2, 2)
        opened.classify(image.ctypes.data_as(ctypes.c_void_p), never, answer)
        shown = np.frombuffer((ctypes.c_uint8 * size).in_dll(opened, "watched"), np.uint8)
        spent = np.frombuffer((ctypes.c_uint32 * 6).in_dll(opened, "spent"), np.uint32)
        np.testing.assert_array_equal(spent[::2], answers.counts["acs"][:, number])
        # pixels that are zero are not multiplied, and the reference counts them
        assert 0 < spent[1] <= answers.counts["macs"][0, number]
        assert shown.sum() == answers.counts["spikes"][-1, number]
        floats = IMAGES[number : number + 1][None] / np.float32(255)
        current = reference.synapse(described["layers"][0], floats)
        spikes = reference.fire(described["layers"][1], current, 4)[:, 0]  # [T, C, H, W]
        first = shown[: spikes.size].reshape(9, 10, 6, 4)
        np.testing.assert_array_equal(first, spikes.transpose(2, 3, 1, 0))
