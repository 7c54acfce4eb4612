import numpy as np
import onnxruntime
import pytest
import torch
from small import pictures, tiny

from sparq_utils.deploy.graph import to_graph, to_onnx
from sparq_utils.networks.conversion import convert
from sparq_utils.networks.quantization import calibrate, quantize_aware, to_int8

SPIKING = convert(tiny(), pictures(40), timesteps=3, beta=0.9)


def answers(network, images):
    with torch.no_grad():
        return network(images)


@pytest.mark.parametrize("network", [tiny(), SPIKING], ids=["ann", "snn"])
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


def test_what_a_graph_cannot_hold_is_refused_with_the_way_out():
    prepared = quantize_aware(SPIKING)
    calibrate(prepared, pictures(20))
    with pytest.raises(ValueError, match=r"INT8 synapses.*as C"):
        to_graph(to_int8(prepared))
    rate = convert(tiny(), pictures(40), timesteps=3, encoding="rate")
    with pytest.raises(ValueError, match=r"spike trains.*encoding='direct'"):
        to_graph(rate)
