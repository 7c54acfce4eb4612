"""What a recording holds, and that it says what running the network for real says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sparq_utils.data import Images
from sparq_utils.networks.architectures import lenet5, mlp
from sparq_utils.networks.conversion import convert
from sparq_utils.networks.counting import count_layers
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.inference import staged_inference
from sparq_utils.networks.quantization import calibrate, quantize_aware, to_int8
from sparq_utils.networks.recording import record
from sparq_utils.traces.energy import energy
from sparq_utils.traces.policies import Thresholds
from sparq_utils.traces.trace import ADDED_COUNTS, COUNTS


def some_images(count=12, shape=(1, 28, 28), seed=0):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, *shape), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 10, (count,), generator=generator)
    return Images(pixels, labels, "MNIST", "test", "random bytes")


def spiking(build=mlp, timesteps=3, encoding="direct"):
    torch.manual_seed(0)  # torch's own initialisation takes no generator
    balance = some_images(seed=1).floats()
    return convert(
        build(), balance, timesteps, threshold="percentile", percentile=90, encoding=encoding
    )


def int8(timesteps=2):
    prepared = quantize_aware(spiking(lenet5, timesteps))
    calibrate(prepared, some_images(seed=1).floats())
    return to_int8(prepared)


def truncated(network, exits):
    """The first stages and heads of a network, alone."""
    short = EarlyExitNetwork(
        network.stages[:exits], network.heads[:exits], network.input_shape, network.name
    )
    short.encoder, short.timesteps = network.encoder, network.timesteps
    return short.eval()


def test_a_recording_answers_as_the_network_does():
    network, images = spiking(), some_images()
    trace = record(network, images, "snn", seed=4, batch_size=5)
    with torch.no_grad():
        probability, best = network(images.floats()).softmax(-1).max(-1)
    assert np.array_equal(trace.prediction, best.numpy())
    assert np.allclose(trace.confidence, probability.numpy(), atol=1e-6)
    assert np.array_equal(trace.labels, images.labels.numpy())
    assert set(trace.counts) == set(COUNTS | ADDED_COUNTS)
    on = trace.measured_on
    assert (on.network, on.variant, on.timesteps, on.encoding) == ("mlp", "snn", 3, "direct")
    assert (on.weight_bits, on.seed, on.data, on.split) == (32, 4, "random bytes", "test")


def test_counts_are_the_layers_added_up_along_the_way():
    network, images = spiking(lenet5), some_images()
    trace = record(network, images, "snn", batch_size=5)
    rows = count_layers(network, images.floats())
    for index in range(3):
        so_far = [row for row in rows if row.part[1] <= index]
        for name in ("acs", "spikes"):
            expected = sum(getattr(row, name) for row in so_far).sum(0)  # [samples]
            assert trace.count(name)[index].tolist() == expected.tolist()
        for name in set(COUNTS) - {"acs", "spikes"}:
            expected = sum(getattr(row.static, name) for row in so_far)
            assert trace.counts[name][index].tolist() == [expected]


def test_a_head_costs_only_whoever_asks_it():
    """Leaving at an exit costs what the network costs that ends there."""
    network, images = spiking(lenet5), some_images(4)
    trace = record(network, images, "snn")
    for exits in (1, 2):
        short = record(truncated(network, exits), images, "snn")
        for name in COUNTS:
            assert np.array_equal(trace.count(name)[:exits], short.count(name))


def test_a_static_recording_lacks_exactly_the_side_heads():
    network, images = spiking(lenet5), some_images(4)
    dynamic, static = record(network, images, "snn"), record(network.without_exits(), images, "snn")
    assert static.exits == 1
    assert np.array_equal(static.prediction[-1], dynamic.prediction[-1])
    side = [
        row
        for row in count_layers(network, images.floats())
        if row.part in (("head", 0), ("head", 1))
    ]
    for name in ("acs", "spikes"):
        heads = sum(getattr(row, name) for row in side).sum(0).numpy()
        assert np.array_equal(dynamic.count(name)[-1] - static.count(name)[-1], heads)
        assert heads.min() > 0
    for name in set(COUNTS) - {"acs", "spikes"}:
        heads = sum(getattr(row.static, name) for row in side)
        assert (dynamic.count(name)[-1] - static.count(name)[-1] == heads).all()


@pytest.mark.parametrize("encoding", ["direct", "rate", "latency"])
def test_recording_twice_gives_the_same_trace(encoding):
    network, images = spiking(encoding=encoding), some_images()
    first, second, other = (
        record(network, images, "snn", seed=seed, batch_size=5) for seed in (1, 1, 2)
    )
    assert np.array_equal(first.confidence, second.confidence)
    assert np.array_equal(first.synaptic_ops, second.synaptic_ops)
    assert np.array_equal(first.synaptic_ops, other.synaptic_ops) == (encoding != "rate")
    assert first.measured_on.encoding == encoding
    assert (first.count("macs").max() == 0) == (encoding != "direct")


def test_batches_do_not_change_counts():
    network, images = spiking(lenet5), some_images()
    whole, pieces = (record(network, images, "snn", batch_size=size) for size in (100, 5))
    for name in COUNTS:
        assert np.array_equal(whole.count(name), pieces.count(name))


def between(confidence):
    """A threshold in the widest gap near the middle, where rounding decides nothing."""
    ranked = np.sort(confidence.astype(np.float64))
    middle = ranked[len(ranked) // 3 : 2 * len(ranked) // 3]
    widest = np.diff(middle).argmax()
    return middle[widest : widest + 2].mean()


def test_thresholds_on_a_recording_leave_where_staged_inference_does():
    network, images = spiking(lenet5), some_images(40)
    trace = record(network, images, "snn")
    first = between(trace.confidence[0])
    thresholds = [first, between(trace.confidence[1][trace.confidence[0] < first])]
    answers = staged_inference(network, images.floats(), thresholds)
    leaving = Thresholds(thresholds).leaving(trace)
    assert leaving.tolist() == answers.exit.tolist()
    assert len(set(leaving)) == 3


def test_an_ann_costs_macs_alone():
    torch.manual_seed(0)
    trace = record(lenet5(), some_images(), "dynamic-ann")
    assert trace.measured_on.encoding == "analog"
    assert trace.measured_on.timesteps == 1
    assert all(trace.count(name).max() == 0 for name in ("acs", "spikes", "lif_updates"))
    assert (trace.counts["weights"] == trace.counts["weight_passes"]).all()
    assert (np.diff(trace.counts["macs"], axis=0) > 0).all()


def test_an_int8_network_is_recorded_as_such():
    trace = record(int8(), some_images(), "qdsnn")
    assert trace.measured_on.weight_bits == 8
    fewer = record(int8(), some_images(), "qdsnn", skip_zeros=True)
    assert (fewer.count("acs") <= trace.count("acs")).all()
    assert (fewer.count("acs") < trace.count("acs")).any()
    assert np.array_equal(fewer.count("spikes"), trace.count("spikes"))
    assert energy(trace, "horowitz").total.min() > 0


def test_an_int8_network_keeps_whole_logits_exactly():
    network, images = int8(), some_images()
    trace = record(network, images, "qdsnn", batch_size=5)
    assert trace.logits.dtype == np.int16
    with torch.no_grad():
        steps = network.forward_steps(images.floats()).double().numpy()  # [exits, T, N, classes]
    for index, head in enumerate(network.heads):
        scale = head[-1].synapse.scale
        whole = steps[index] / scale  # (q - zero_point) of every step
        assert np.abs(whole - np.rint(whole)).max() < 1e-4
        assert np.array_equal(trace.logits[index], np.rint(whole).sum(0))
        assert trace.logit_scale[index] == scale / 2
        assert np.abs(trace.logits[index] * scale / 2 - steps[index].mean(0)).max() < 1e-5


def test_a_float_network_keeps_its_logits_and_a_plain_one_none():
    network, images = spiking(), some_images()
    trace = record(network, images, "snn", batch_size=5)
    assert trace.logits.dtype == np.float32 and trace.logit_scale is None
    with torch.no_grad():
        logits = network(images.floats())
    assert np.allclose(trace.logits, logits.numpy(), atol=1e-6)
    assert np.allclose(np.exp(trace.log_probabilities), logits.softmax(-1).numpy(), atol=1e-6)
    assert record(network.without_exits(), images, "snn").logits is None


def answering(prediction):
    """A network of one exit and 300 classes that gives every image the same answer."""
    network = EarlyExitNetwork(
        [torch.nn.Flatten()], [torch.nn.Sequential(torch.nn.Linear(784, 300))], (1, 28, 28)
    )
    torch.nn.init.zeros_(network.heads[0][0].weight)
    network.heads[0][0].bias.data = torch.eye(300)[prediction]
    return network


def test_three_hundred_classes():
    """Class 297 is not class 41: eight bits took them for the same one."""
    images = replace(some_images(3), labels=torch.tensor([41, 297, 255]))
    trace = record(answering(297), images, "ann")
    assert trace.prediction.tolist() == [[297, 297, 297]]
    assert trace.labels.tolist() == [41, 297, 255]
    assert trace.correct.tolist() == [[False, True, False]]


@pytest.mark.parametrize("label", [-1, 65_536])
def test_labels_that_no_trace_can_hold(label):
    with pytest.raises(ValueError, match="numbered from 0"):
        record(spiking(), replace(some_images(3), labels=torch.tensor([0, label, 1])), "snn")


def test_recording_leaves_no_hooks_behind():
    network = spiking()
    record(network, some_images(), "snn")
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_bad_input_is_named():
    network, images = spiking(), some_images()
    with pytest.raises(ValueError, match="no images"):
        record(network, images.take(0), "snn")
    with pytest.raises(ValueError, match=r"takes images \[B, 1, 28, 28\]"):
        record(network, replace(images, pixels=images.pixels.expand(-1, 3, -1, -1)), "snn")
    with pytest.raises(ValueError, match="batch_size is 0"):
        record(network, images, "snn", batch_size=0)
