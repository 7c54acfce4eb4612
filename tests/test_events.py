"""Inputs that are in time already: counts of events, each paid for at every weight it meets."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import pictures, tiny
from torch import nn
from torch.utils.data import TensorDataset

from sparq_utils.deploy.plan import plan
from sparq_utils.deploy.snntorch_twin import to_snntorch
from sparq_utils.networks.conversion import convert
from sparq_utils.networks.counting import count_layers
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.encoding import Events
from sparq_utils.networks.fastest import FastestSynapse, optimize_for_inference
from sparq_utils.networks.inference import staged_inference
from sparq_utils.networks.int8 import export_int8, load_int8, save_int8
from sparq_utils.networks.integer import IntegerSynapse
from sparq_utils.networks.quantization import calibrate, quantize_aware, to_int8
from sparq_utils.networks.recording import record

STEPS = 4


def stream(count=6, seed=0, most=3, shape=(1, 8, 8)):
    """Counts of events, float32 [count, T, C, H, W]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, most + 1, (count, STEPS, *shape), generator=generator).float()


def spiking(**how):
    return convert(tiny(), pictures(20), timesteps=STEPS, encoding="events", **how)


def one_layer(layer, shape):
    """A synapse that events drive, neurons, an exit."""
    with torch.no_grad():
        size = layer(torch.zeros(1, *shape)).numel()
    head = nn.Sequential(nn.Flatten(), nn.Linear(size, 2))
    network = EarlyExitNetwork([nn.Sequential(layer, nn.ReLU())], [head], shape)
    return convert(network, timesteps=STEPS, threshold=1.0, encoding="events")


@settings(max_examples=20, deadline=None)
@given(
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    kernel=st.integers(1, 3),
    seed=st.integers(0, 999),
)
def test_every_event_pays_for_every_weight_it_meets(stride, padding, kernel, seed):
    network = one_layer(nn.Conv2d(2, 3, kernel, stride, padding), (2, 5, 6))
    events = stream(2, seed, shape=(2, 5, 6))
    rows = {row.name: row for row in count_layers(network, events)}
    conv = network.stages[0][0]
    ones = torch.ones_like(conv.weight, dtype=torch.float64)
    for image, step in ((i, t) for i in range(2) for t in range(STEPS)):
        met = 0
        for channel, row, column in events[image, step].nonzero().tolist():
            alone = torch.zeros(1, 2, 5, 6, dtype=torch.float64)
            alone[0, channel, row, column] = 1  # one event: each output it reaches is a weight
            reached = torch.conv2d(alone, ones, stride=conv.stride, padding=conv.padding)
            met += int(events[image, step, channel, row, column]) * int(reached.sum())
        assert int(rows["stage0.0"].acs[step, image]) == met
        assert int(rows["input"].spikes[step, image]) == int(events[image, step].sum())
    assert rows["stage0.0"].operation == "ac" and rows["stage0.0"].static.macs == 0


def test_steps_arrive_one_after_the_other():
    events = stream(3)
    coded = Events(STEPS)(events).unflatten(0, (STEPS, -1))  # [T, B, C, H, W]
    assert all(torch.equal(coded[t], events[:, t]) for t in range(STEPS))


def test_a_network_takes_events_and_answers_as_its_snntorch_twin():
    network, events = spiking(beta=0.9).double(), stream().double()
    assert network.input_shape == (STEPS, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(to_snntorch(network)(events), network(events))
    answers = staged_inference(network.float(), events.float(), (0.2, 0.2))
    assert answers.prediction.shape == (6,)


def test_a_trace_says_events_and_counts_them():
    network, events = spiking(), stream()
    trace = record(network, TensorDataset(events, torch.arange(6)), "snn", batch_size=4)
    assert trace.measured_on.encoding == "events" and trace.count("macs").max() == 0
    rows = count_layers(network, events)
    expected = sum(row.acs for row in rows).sum(0)  # [B]
    assert trace.count("acs")[-1].tolist() == expected.tolist()


def test_eight_bits_hold_events_exactly(tmp_path):
    prepared = quantize_aware(spiking())
    calibrate(prepared, stream(50))
    first = prepared.stages[0][0].quant
    most = stream(4, most=255)
    assert torch.equal(first(most), most)
    real, path = to_int8(prepared.eval()), tmp_path / "events.safetensors"
    save_int8(real, path)
    with torch.no_grad():
        assert torch.equal(load_int8(path)(stream()), real(stream()))
    with pytest.raises(ValueError, match=r"takes events-coded spikes.*encoding='direct'"):
        plan(export_int8(real))


def test_pooled_events_are_observed_not_cut_off():
    stage = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(1, 2, 3), nn.ReLU())
    head = nn.Sequential(nn.Flatten(), nn.Linear(8, 3))
    network = EarlyExitNetwork([stage], [head], (1, 8, 8))
    network = convert(network, timesteps=STEPS, threshold=1.0, encoding="events")
    prepared, many = quantize_aware(network), stream(20, most=255)  # means beyond 255 / 4
    calibrate(prepared, many)
    seen = torch.nn.functional.avg_pool2d(many.flatten(0, 1), 2)
    kept = prepared.eval().stages[0][1].quant(seen)
    assert float(seen.max()) > 64 and float((kept - seen).abs().max()) < 0.6


def test_what_is_fast_counts_events_too():
    network = spiking()
    fast, many = optimize_for_inference(network, smallest=1), stream(most=255)
    first, *later = (m for m in fast.modules() if isinstance(m, FastestSynapse))
    forms = [form.func for form in first.others]
    assert IntegerSynapse not in forms  # 255 events are more than its bytes add up
    assert any(form.func is IntegerSynapse for one in later for form in one.others)
    with torch.no_grad():
        torch.testing.assert_close(fast(many), network(many), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (stream() / 2, "counts from 0 to 255.*whole or not.*mixup_alpha=0"),
        (stream() - 1, r"numbers in \[-1, 2\].*one channel per polarity"),
        (stream() * 200, r"numbers in \[0, 600\].*spread many over more steps"),
        (stream().transpose(0, 1), r"time comes second, give events\.transpose\(0, 1\)"),
        (stream()[:, 0], r"takes images \[B, 4, 1, 8, 8\], got \[6, 1, 8, 8\]"),
    ],
)
def test_what_are_no_events_is_refused(events, message):
    with pytest.raises(ValueError, match=message):
        staged_inference(spiking(), events, (0.5, 0.5))
