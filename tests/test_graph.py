from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from small import pictures, tiny

import sparq_utils
from sparq_utils.deploy.graph import to_graph, to_onnx
from sparq_utils.networks.conversion import ClipFloorShift, convert
from sparq_utils.networks.quantization import calibrate, quantize_aware, to_int8

SPIKING = convert(tiny(), pictures(40), timesteps=3, beta=0.9)
EMPTIED = convert(tiny(), pictures(40), timesteps=4, beta=0.9, reset="zero")


def answers(network, images):
    with torch.no_grad():
        return network(images)


@pytest.mark.parametrize("network", [tiny(), SPIKING, EMPTIED], ids=["ann", "snn", "zero"])
def test_the_graph_answers_alike_for_any_batch(network):
    graph = to_graph(network).module()
    for count in (1, 2, 7):
        images = pictures(count, seed=count)
        torch.testing.assert_close(graph(images), answers(network, images))


def test_onnx_runtime_answers_alike(tmp_path):
    path = tmp_path / "tiny.onnx"
    to_onnx(SPIKING, path)
    session = onnxruntime.InferenceSession(path)
    for count in (1, 5):
        images = pictures(count, seed=count)
        (found,) = session.run(["logits"], {"images": images.numpy()})
        np.testing.assert_allclose(found, answers(SPIKING, images).numpy(), atol=1e-6)


def test_exporting_leaves_the_network_as_it_is():
    before = str(SPIKING), [p.requires_grad for p in SPIKING.parameters()]
    to_graph(SPIKING)
    assert before == (str(SPIKING), [p.requires_grad for p in SPIKING.parameters()])


def int8(bits=8, per_channel=False, **how):
    network = convert(tiny(lambda: ClipFloorShift(4)), **how)
    prepared = quantize_aware(network, bits, per_channel)
    calibrate(prepared, pictures(100))
    return to_int8(prepared.eval())


LEVELS = int8(timesteps=1, neurons="levels", levels=4)
SPIKES = int8(4, per_channel=True, timesteps=3)


@pytest.mark.parametrize("network", [LEVELS, SPIKES], ids=["levels", "spikes"])
def test_an_int8_graph_answers_to_the_last_bit(network):
    graph = to_graph(network).module()
    for count in (1, 50):
        images = pictures(count, seed=count)
        assert torch.equal(graph(images), answers(network, images))


@pytest.mark.parametrize("network", [LEVELS, SPIKES], ids=["levels", "spikes"])
def test_onnx_runtime_answers_alike_in_eight_bits(network, tmp_path):
    path, images = tmp_path / "int8.onnx", pictures(200, seed=5)
    to_onnx(network, path)
    expected = answers(network, images).numpy()
    # as it is written, quantise and dequantise in floats: the same bits
    plain = onnxruntime.SessionOptions()
    plain.add_session_config_entry("session.disable_quant_qdq", "1")
    (found,) = onnxruntime.InferenceSession(path, plain).run(None, {"images": images.numpy()})
    np.testing.assert_array_equal(found, expected)
    # on the runtime's own INT8 kernels, which round the biases of eight bits
    (found,) = onnxruntime.InferenceSession(path).run(None, {"images": images.numpy()})
    if network is SPIKES:
        np.testing.assert_array_equal(found, expected)
    assert (found.argmax(-1) == expected.argmax(-1)).mean() > 0.97


def test_an_int8_file_holds_bytes_and_no_paths(tmp_path):
    path = tmp_path / "int8.onnx"
    to_onnx(LEVELS, path)
    weights = [i for i in onnx.load(path).graph.initializer if len(i.dims) > 1]
    assert len(weights) == 10 and {i.data_type for i in weights} == {onnx.TensorProto.INT8}
    assert str(Path(sparq_utils.__file__).parent).encode() not in path.read_bytes()


def test_what_a_graph_cannot_hold_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"still being tuned: use to_int8"):
        to_graph(quantize_aware(SPIKING))
    rate = convert(tiny(), pictures(40), timesteps=3, encoding="rate")
    with pytest.raises(ValueError, match=r"spike trains.*encoding='direct'"):
        to_graph(rate)
