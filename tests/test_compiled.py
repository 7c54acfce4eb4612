"""Spiking layers in C beside PyTorch's own."""

import pytest
import torch
from torch import nn

from sparq_utils.networks import compiled
from sparq_utils.networks.events import EventSynapse, PooledLIF, can_skip_zeros
from sparq_utils.networks.pooling import AveragePool
from sparq_utils.networks.spiking import LIF, fast_sigmoid, triangular

pytestmark = pytest.mark.skipif(compiled.library() is None, reason="no C compiler")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def sparse(shape, density, levels=1):
    """Spikes averaged over `levels`."""
    drawn = torch.rand(levels, *shape, generator=generator()) < density
    return drawn.float().mean(0)


LAYERS = {
    "convolution": (nn.Conv2d(6, 16, 3, padding=1), (6, 9, 8)),
    "many outputs": (nn.Conv2d(3, 70, 3, padding=1), (3, 5, 5)),
    "some outputs": (nn.Conv2d(3, 20, 3, padding=1), (3, 5, 5)),
    "strided": (nn.Conv2d(3, 5, (3, 2), stride=(2, 3), padding=(0, 1), bias=False), (3, 8, 7)),
    "more padding than image": (nn.Conv2d(2, 4, 3, padding=5), (2, 2, 3)),
    "one place": (nn.Conv2d(7, 5, 4), (7, 4, 4)),
    "linear": (nn.Linear(50, 130), (50,)),
    "linear without bias": (nn.Linear(50, 7, bias=False), (50,)),
}


@pytest.mark.parametrize("together", [1, 2, 4])
@pytest.mark.parametrize("timesteps", [1, 4, 7])
@pytest.mark.parametrize("name", LAYERS)
@torch.no_grad()
def test_skipping_zeros_leaves_the_sums(name, timesteps, together):
    layer, shape = LAYERS[name]
    x = sparse((timesteps * 3, *shape), 0.2, levels=4)
    expected = layer.double()(x.double())
    layer.float()
    found = EventSynapse(layer, timesteps, together)(x)
    assert found.shape == expected.shape
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=3e-6)


@pytest.mark.parametrize("threads", [1, 2])
@torch.no_grad()
def test_any_layout_any_value_any_threads(threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    layer = nn.Conv2d(6, 96, 3, padding=1)
    fast = EventSynapse(layer, 2, 2)
    x = torch.randn(10, 6, 7, 5, generator=generator())
    x[x < 0.5] = 0
    for same in (x, x.contiguous(memory_format=torch.channels_last), x.flip(3).flip(3),
                 x.transpose(2, 3).contiguous().transpose(2, 3)):  # fmt: skip
        torch.testing.assert_close(fast(same), layer(x), rtol=1e-4, atol=1e-5)
    assert fast(x).is_contiguous(memory_format=torch.channels_last)
    assert fast(x[:0]).shape == (0, 96, 7, 5)


@torch.no_grad()
def test_silence_gives_the_bias_and_one_spike_its_weights():
    layer = nn.Linear(8, 4)
    x = torch.zeros(2, 8)
    x[1, 3] = 1
    silent, once = EventSynapse(layer, 2, 2)(x)
    assert torch.equal(silent, layer.bias)
    assert torch.equal(once, layer.bias + layer.weight[:, 3])


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 4, 3, dilation=2),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Linear(4, 4).double(),
        nn.ConvTranspose2d(4, 4, 3),
    ],
)
def test_layers_it_does_not_know_are_refused(layer):
    assert not can_skip_zeros(layer)
    with pytest.raises(ValueError, match="no counterpart that skips zeros"):
        EventSynapse(layer, 1, 1)


def test_another_device_is_refused():
    fast = EventSynapse(nn.Linear(4, 4), 1, 1)
    with pytest.raises(ValueError, match="float32 of a CPU, not"):
        fast(torch.zeros(2, 4, device="meta"))


FORMS = [torch.contiguous_format, torch.channels_last]


@pytest.fixture
def in_pytorch(monkeypatch):
    """Runs a function as where there is no C compiler."""

    def run(way):
        with monkeypatch.context() as patched:
            patched.setattr(compiled, "library", lambda: None)
            return way()

    return run


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("beta", [1.0, 0.9])
@torch.no_grad()
def test_neurons_fire_bit_for_bit_as_in_pytorch(beta, form, constant, in_pytorch):
    neurons = LIF(0.7, 5, beta, 0.3, constant_input=constant)
    rows = 3 if constant else 15
    current = torch.randn(rows, 20, 6, 12, generator=generator()).contiguous(memory_format=form)
    found, expected = neurons(current), in_pytorch(lambda: neurons(current))
    assert torch.equal(found, expected)
    assert found.stride() == expected.stride()


@pytest.mark.parametrize("surrogate", [triangular, fast_sigmoid])
@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("beta", [1.0, 0.9])
def test_gradients_are_pytorchs_bit_for_bit(beta, form, constant, surrogate, in_pytorch):
    neurons = LIF(0.7, 5, beta, 0.3, constant, surrogate)
    rows = 3 if constant else 15
    current = torch.randn(rows, 7, 6, 13, generator=generator()).contiguous(memory_format=form)
    current.requires_grad_()
    above = torch.randn(15, 7, 6, 13, generator=generator(1))

    def both():
        spikes = neurons(current)
        return spikes.detach(), torch.autograd.grad(spikes, current, above)[0]

    for found, expected in zip(both(), in_pytorch(both), strict=True):
        assert torch.equal(found, expected)


def test_a_surrogate_of_ones_own_is_used(in_pytorch):
    own = LIF(0.7, 4, surrogate=lambda distance, threshold: distance.fill_(2.0))
    current = torch.randn(8, 5, generator=generator(), requires_grad=True)
    (found,) = torch.autograd.grad(own(current).sum(), current)
    assert found.unflatten(0, (4, 2)).mean((1, 2)).tolist() == [8, 6, 4, 2]  # all later steps


@torch.no_grad()
def test_a_sum_on_the_threshold_is_no_spike():
    tie = torch.full((4, 3), 0.5)  # from half of 1 to 1, a tie; 1.5; 1 after the reset; 1.5
    assert LIF(1.0, 4)(tie)[:, 0].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kernel", [2, 3, (1, 2), (6, 12)])
@torch.no_grad()
def test_neurons_pool_bit_for_bit_as_in_pytorch(kernel, form, constant, in_pytorch):
    neurons, pool = LIF(0.7, 5, 0.9, 0.3, constant_input=constant), AveragePool(kernel)
    rows = 3 if constant else 15
    current = torch.randn(rows, 20, 6, 12, generator=generator()).contiguous(memory_format=form)
    found, expected = PooledLIF(neurons, pool)(current), in_pytorch(lambda: pool(neurons(current)))
    assert torch.equal(found, expected)
    assert found.is_contiguous(memory_format=form)


@pytest.mark.parametrize(
    ("pool", "shape"),
    [
        (AveragePool(2), (8, 3, 5, 6)),  # a row sticks out
        (nn.AvgPool2d(3, stride=1), (8, 3, 6, 6)),
        (nn.AvgPool2d(2, padding=1), (8, 3, 6, 6)),
        (AveragePool(2), (8, 200, 4, 64)),  # more in a row than fits, channels last
    ],
)
@torch.no_grad()
def test_windows_it_does_not_know_are_pytorchs(pool, shape):
    current = torch.randn(shape, generator=generator()).contiguous(memory_format=FORMS[1])
    neurons = LIF(0.7, 4)
    assert torch.equal(PooledLIF(neurons, pool)(current), pool(neurons(current)))


def test_pooling_keeps_gradients():
    neurons, pool = LIF(0.7, 4), AveragePool(2)
    current = torch.randn(8, 3, 4, 4, generator=generator(), requires_grad=True)
    ways = (PooledLIF(neurons, pool), lambda x: pool(neurons(x)))
    assert torch.equal(*(torch.autograd.grad(way(current).sum(), current)[0] for way in ways))


@torch.no_grad()
def test_other_precisions_and_layouts_are_pytorchs():
    neurons = LIF(0.7, 4)
    current = torch.randn(8, 5, generator=generator())
    for other in (current.double(), current.t().contiguous().t(), current.bfloat16()):
        assert not compiled.takes(other.unflatten(0, (4, 2))[0])
        spikes = neurons(other)
        assert spikes.dtype == other.dtype
        assert torch.equal(spikes.float(), neurons(other.contiguous().double()).float())
    with pytest.raises(RuntimeError):
        neurons(torch.zeros(7, 5))


def test_it_compiles_and_exports_as_before():
    neurons = LIF(0.7, 4)
    current = torch.randn(8, 5, generator=generator())
    program = torch.export.export(neurons, (current,))
    assert torch.equal(program.module()(current), neurons(current))
