"""Weights of few bits and of a scale per channel: what runs, what traces and files say of them."""

import numpy as np
import pytest
import torch
from small import patterns, pictures, tiny
from torch import nn

from sparq_utils import reference
from sparq_utils.deploy.plan import plan
from sparq_utils.networks.conversion import ClipFloorShift, convert
from sparq_utils.networks.int8 import export_int8, load_int8, save_int8
from sparq_utils.networks.quantization import calibrate, quantize_aware, size_bytes, to_int8
from sparq_utils.networks.quantized_synapse import QuantizedSynapse
from sparq_utils.networks.recording import record
from sparq_utils.traces.memory import traffic_bits

WAYS = [(bits, per_channel) for bits in (8, 4, 2) for per_channel in (False, True)]


def quantised(bits=8, per_channel=False, **how):
    network = tiny(lambda: ClipFloorShift(4))
    prepared = quantize_aware(convert(network, timesteps=4, **how), bits, per_channel)
    calibrate(prepared, pictures(100))
    return prepared.eval()


def regions(network):
    return [m for m in network.modules() if isinstance(m, QuantizedSynapse)]


@pytest.mark.parametrize(("bits", "per_channel"), WAYS)
def test_weights_are_whole_numbers_that_the_bits_can_name(bits, per_channel):
    fake = quantised(bits, per_channel)
    real, largest = to_int8(fake), 2 ** (bits - 1) - 1
    for region, trained in zip(regions(real), regions(fake), strict=True):
        floats, weight = trained.synapse.weight.detach(), region.synapse.weight()
        whole = weight.int_repr().long()
        assert int(whole.abs().max()) == largest  # the largest weight is at the end of the grid
        rows = floats.flatten(1) if per_channel else floats.reshape(1, -1)
        scales = rows.abs().amax(1) / largest  # [out] or [1]
        expected = (floats / scales.view(-1, *[1] * (floats.ndim - 1))).round()
        # the scale is float32's; a weight at a half may fall to either side
        assert float((whole != expected).float().mean()) < 0.01
        assert weight.qscheme() == (
            torch.per_channel_affine if per_channel else torch.per_tensor_affine
        )


@pytest.mark.parametrize(("bits", "per_channel"), WAYS)
def test_the_kernels_compute_what_was_tuned(bits, per_channel):
    fake = quantised(bits, per_channel)
    with torch.no_grad():
        difference = (to_int8(fake)(pictures(50, 1)) - fake(pictures(50, 1))).abs()
    assert float(difference.mean()) < 0.05  # a spike that a last bit decides moves a logit


@pytest.mark.parametrize(("bits", "per_channel"), WAYS)
def test_the_reference_and_a_file_say_the_same(bits, per_channel, tmp_path):
    real, path = to_int8(quantised(bits, per_channel)), tmp_path / "few.safetensors"
    save_int8(real, path)
    images = pictures(30, seed=2)
    with torch.no_grad():
        expected = real(images)
        assert torch.equal(load_int8(path)(images), expected)
    answers = reference.run(reference.read(path), images.numpy())
    np.testing.assert_allclose(answers.logits, expected.numpy(), atol=1e-6)
    assert size_bytes(load_int8(path)) == size_bytes(real)


def test_neurons_that_reset_to_zero_are_saved_as_such(tmp_path):
    real, path = to_int8(quantised(reset="zero", beta=0.9)), tmp_path / "zero.safetensors"
    save_int8(real, path)
    images = pictures(30, seed=2)
    with torch.no_grad():
        assert torch.equal(load_int8(path)(images), real(images))
        np.testing.assert_allclose(
            reference.run(reference.read(path), images.numpy()).logits, real(images), atol=1e-6
        )


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_a_trace_says_its_bits_and_moves_as_many(bits):
    real, images = to_int8(quantised(bits)), patterns(10, split="test")
    trace = record(real, images, "qdsnn")
    assert trace.measured_on.weight_bits == bits
    moved = traffic_bits(trace)["weights"]
    assert (moved == trace.count("weight_passes") * bits).all()


def test_sizes_are_packed():
    weights = {8: 1, 4: 1 / 2, 2: 1 / 4}  # bytes per weight
    for bits, each in weights.items():
        real = to_int8(quantised(bits))
        layers = [region.synapse for region in regions(real)]
        biases = sum(4 * layer.bias().numel() for layer in layers)
        packed = sum(int(np.ceil(layer.weight().numel() * each)) for layer in layers)
        assert size_bytes(real) == biases + packed


def test_other_bits_are_refused():
    with pytest.raises(ValueError, match="bits is 3, expected one of 8, 4, 2"):
        quantize_aware(convert(tiny(), threshold=1.0), bits=3)


def test_a_file_whose_weights_exceed_its_bits_is_refused(tmp_path):
    real = to_int8(quantised(4))
    for region in regions(real):
        region.bits = 2
    save_int8(real, tmp_path / "odd.safetensors")
    with pytest.raises(ValueError, match="weights beyond 2 bits"):
        load_int8(tmp_path / "odd.safetensors")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"per_channel": True}, r"stage0_conv0 has a scale per channel.*to_onnx\(\)"),
        ({"reset": "zero"}, r"stage0_conv0: its neurons reset to zero.*to_onnx\(\)"),
    ],
)
def test_the_c_file_says_what_it_has_no_code_for(how, message):
    described = export_int8(to_int8(quantised(**how)))
    for layer in described["layers"]:
        layer |= {key: layer[key].numpy() for key in ("weight", "bias") if key in layer}
    with pytest.raises(ValueError, match=message):
        plan(described)


def test_few_bits_learn_and_eight_bits_are_the_default():
    network = quantize_aware(convert(tiny(), pictures(20), timesteps=2), bits=2)
    before = [m.weight.clone() for m in network.modules() if isinstance(m, nn.Linear)]
    network(pictures(16)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    assert before and regions(quantize_aware(convert(tiny(), pictures(20))))[0].bits == 8
