"""An inference copy: the same answers, in whichever form takes least time."""

import time

import pytest
import torch
from small import pictures, tiny
from torch import nn

from sparq_utils.networks import compiled
from sparq_utils.networks.architectures import lenet5
from sparq_utils.networks.conversion import convert, fold_batch_norm
from sparq_utils.networks.counting import count_layers
from sparq_utils.networks.fastest import FastestSynapse, optimize_for_inference
from sparq_utils.networks.inference import staged_inference
from sparq_utils.networks.quantization import calibrate, quantize_aware, to_int8
from sparq_utils.networks.spiking import LIF


@pytest.fixture(params=["with a compiler", "without"])
def home(request, monkeypatch):
    """A machine with a C compiler, and one without."""
    if request.param == "without":
        monkeypatch.setattr(compiled, "library", lambda: None)
    elif compiled.library() is None:
        pytest.skip("no C compiler")


def pick(monkeypatch, number):
    """Let every synapse choose its form of this number, or its last one."""

    def chosen(self, x):
        forms = [lambda: self.layer, *self.others]
        chosen = min(number, len(self.others))
        self.built[chosen] = forms[chosen]()
        return chosen

    monkeypatch.setattr(FastestSynapse, "_fastest_for", chosen)


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("encoding", ["direct", "latency"])
@torch.no_grad()
def test_a_spiking_network_gives_the_same_logits(encoding, number, home, monkeypatch):
    images = pictures(6)
    network = convert(tiny(), images, 4, 1.0, "percentile", encoding, 90)
    pick(monkeypatch, number)
    fast = optimize_for_inference(network, smallest=0)
    kinds = [type(module) for module in fast.modules()]
    spiking = 10 if encoding == "latency" else 9  # a direct-coded image is analog
    assert kinds.count(FastestSynapse) == spiking
    torch.testing.assert_close(fast(images), network(images), rtol=1e-5, atol=1e-5)
    assert not any(isinstance(module, FastestSynapse) for module in network.modules())


@torch.no_grad()
def test_other_networks_give_the_same_logits(home):
    images = pictures(6)
    prepared = quantize_aware(convert(tiny(), images, 4, 1.0, "percentile"))
    calibrate(prepared, images)
    for network in (
        fold_batch_norm(tiny()),
        tiny().eval(),
        convert(tiny(), images, threshold="percentile", timesteps=1, neurons="levels", levels=4),
        to_int8(prepared),
    ):
        fast = optimize_for_inference(network, smallest=0)
        torch.testing.assert_close(fast(images), network(images), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_staged_inference_runs_on_the_copy():
    images = pictures(40)
    network = convert(tiny(), images, 4, 1.0, "percentile")
    fast = optimize_for_inference(network, smallest=0)
    found, expected = (staged_inference(n, images, (0.3, 0.3)) for n in (fast, network))
    assert torch.equal(found.exit, expected.exit)
    assert torch.equal(found.prediction, expected.prediction)


def test_small_layers_and_the_original_stay_as_they_are():
    network = convert(lenet5(), torch.rand(4, 1, 28, 28), 4, 1.0, 1.0)
    layers = list(network.modules())
    fast = optimize_for_inference(network)
    assert not any(isinstance(module, FastestSynapse) for module in fast.modules())
    assert list(network.modules()) == layers
    assert all(type(m) is LIF for m in layers if isinstance(m, LIF))


def test_a_copy_is_not_counted():
    images = pictures(4)
    fast = optimize_for_inference(convert(tiny(), images, 4, 1.0, "percentile"), smallest=0)
    with pytest.raises(ValueError, match="cannot count"):
        count_layers(fast, images)


class Slow(nn.Module):
    """Adds a number, in so many milliseconds a row."""

    def __init__(self, number, milliseconds):
        super().__init__()
        self.number, self.milliseconds, self.calls = number, milliseconds, 0

    def forward(self, x):
        self.calls += 1
        time.sleep(self.milliseconds(len(x)) / 1000)
        return x + self.number


def test_the_form_that_takes_least_time_is_chosen_for_each_size():
    ways = [Slow(0, lambda n: 8), Slow(1, lambda n: 1 + n), Slow(2, lambda n: 60)]
    synapse = FastestSynapse(ways[0], [lambda way=way: way for way in ways[1:]])
    assert synapse(torch.zeros(1, 3))[0, 0] == 1
    assert ways[2].calls == 2, "hopeless after the first round"
    assert synapse(torch.zeros(30, 3))[0, 0] == 0
    calls = ways[1].calls
    assert synapse(torch.zeros(20, 3))[0, 0] == 0  # as long as 30 in binary: nothing is timed
    assert ways[1].calls == calls
    assert "up to 1 rows: Slow" in synapse.extra_repr()
