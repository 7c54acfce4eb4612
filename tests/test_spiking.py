import pickle

import pytest
import snntorch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import pictures, tiny
from snntorch import surrogate

from sparq_utils.deploy.snntorch_twin import to_snntorch
from sparq_utils.networks.conversion import ClipFloorShift, convert
from sparq_utils.networks.quantization import calibrate, quantize_aware, to_int8
from sparq_utils.networks.spiking import LIF, fast_sigmoid, integrate, triangular


def currents(steps, count, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(steps, count, generator=generator, dtype=dtype) * 0.7 + 0.4


RESETS = ["subtract", "zero"]


def snntorch_spikes(current, start, beta, threshold, spike_grad=None, reset="subtract"):
    """The same neurons in snnTorch's own loop: spikes [T, ...]."""
    # tensors, because snnTorch rounds plain numbers to float32
    beta, threshold = (torch.tensor(v, dtype=current.dtype) for v in (beta, threshold))
    if spike_grad is None:

        def spike_grad(distance):
            return (distance > 0).to(distance.dtype)

    neuron = snntorch.Leaky(beta, threshold, reset_mechanism=reset, spike_grad=spike_grad)
    membrane, spikes = torch.full_like(current[0], start), []
    for step in current:
        spike, membrane = neuron(step, membrane)
        spikes.append(spike)
    return torch.stack(spikes)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.integers(1, 12),
    beta=st.floats(0.05, 1.0),
    threshold=st.floats(0.1, 3.0),
    start=st.floats(0.0, 1.0),
    seed=st.integers(0, 10_000),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    reset=st.sampled_from(RESETS),
)
def test_lif_spikes_as_snntorch_does(steps, beta, threshold, start, seed, dtype, reset):
    current = currents(steps, 30, seed, dtype)
    layer = LIF(threshold, steps, beta, start, reset=reset)
    spikes = layer(current.flatten().unsqueeze(-1)).view_as(current)
    expected = snntorch_spikes(current, start * threshold, beta, threshold, reset=reset)
    assert torch.equal(spikes, expected)


def test_lif_on_whole_numbers_fires_strictly_above_the_threshold():
    # U: 2 (a tie: silent), 3 (fires), 3 + 0 - 2 = 1, 1 + 5 = 6 (fires), 6 + 0 - 2 = 4 (fires)
    current = torch.tensor([[1.0], [1.0], [0.0], [5.0], [0.0]])
    assert LIF(2.0, 5)(current).flatten().tolist() == [0, 1, 0, 1, 1]


def test_lif_leaks_by_beta_and_resets_by_subtraction():
    # beta 0.5, threshold 1, start 0: U = 1.5 fires; 0.75 + 1.5 - 1 = 1.25 fires;
    # 0.625 + 0 - 1 = -0.375; -0.1875 + 1.5 = 1.3125 fires
    current = torch.tensor([[1.5], [1.5], [0.0], [1.5]])
    assert LIF(1.0, 4, beta=0.5, start=0.0)(current).flatten().tolist() == [1, 1, 0, 1]


def test_a_reset_to_zero_loses_what_exceeds_the_threshold():
    # theta 1, start 0, beta 0.5: U = 3 fires and is emptied; 0.75; 0.375 + 0.75 = 1.125 fires;
    # 0.75. By subtraction the first spike would leave 2, and the neuron would fire four times.
    current = torch.tensor([[3.0], [0.75], [0.75], [0.75]])
    layer = LIF(1.0, 4, beta=0.5, start=0.0, reset="zero")
    assert layer(current).flatten().tolist() == [1, 0, 1, 0]


@settings(max_examples=40, deadline=None)
@given(steps=st.integers(1, 40), current=st.floats(-1, 3), threshold=st.floats(0.2, 2))
def test_spike_count_is_the_rounded_current(steps, current, threshold):
    """Integrate-and-fire from half a threshold counts round(T * I / theta), clipped to [0, T]."""
    spikes = LIF(threshold, steps, constant_input=True)(torch.tensor([[current]]).double())
    exact = steps * current / threshold
    if abs(exact + 0.5 - round(exact + 0.5)) > 1e-6:  # a tie is decided by the last bit
        assert int(spikes.sum()) == min(max(round(exact), 0), steps)


@pytest.mark.parametrize("beta", [1.0, 0.8])
def test_constant_input_is_the_same_current_at_every_step(beta):
    current = currents(1, 50)[0].view(5, 10)
    constant = LIF(0.9, 6, beta, constant_input=True)(current)
    repeated = LIF(0.9, 6, beta)(current.repeat(6, 1))
    assert constant.shape == (30, 10)
    assert torch.equal(constant, repeated)
    # and so are its gradients: the sum over the steps
    first, second = current.clone().requires_grad_(), current.clone().requires_grad_()
    weights = currents(30, 10, seed=1)
    (LIF(0.9, 6, beta, constant_input=True)(first) * weights).sum().backward()
    (LIF(0.9, 6, beta)(second.repeat(6, 1)) * weights).sum().backward()
    torch.testing.assert_close(first.grad, second.grad)


@settings(max_examples=30, deadline=None)
@given(
    steps=st.integers(1, 9),
    beta=st.sampled_from([0.3, 0.95, 1.0]),
    seed=st.integers(0, 999),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    reset=st.sampled_from(RESETS),
)
def test_the_path_without_gradients_spikes_the_same(steps, beta, seed, dtype, reset):
    current = currents(steps, 40, seed, dtype)
    layer = LIF(0.8, steps, beta, reset=reset)
    with_gradients = layer(current.clone().requires_grad_())
    assert with_gradients.requires_grad
    with torch.no_grad():
        assert torch.equal(layer(current), with_gradients)
    assert torch.equal(integrate(current, 0.4, beta, 0.8, reset), with_gradients.detach())


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("beta", [1.0, 0.9, 0.3])
@pytest.mark.parametrize("threshold", [1.0, 0.37])
def test_gradients_are_snntorchs(beta, threshold, reset):
    """snnTorch detaches the reset: the gradient goes through the membrane alone."""
    current = currents(7, 25, dtype=torch.float32)
    weights = currents(7, 25, seed=5, dtype=torch.float32)
    ours, theirs = current.clone().requires_grad_(), current.clone().requires_grad_()
    spikes = LIF(threshold, 7, beta, surrogate=fast_sigmoid, reset=reset)(ours)
    (spikes * weights).sum().backward()
    expected = snntorch_spikes(
        theirs, threshold / 2, beta, threshold, surrogate.fast_sigmoid(slope=25), reset
    )
    (expected * weights).sum().backward()
    assert torch.equal(spikes, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)
    assert ours.grad.abs().min() > 0


def test_the_gradient_worked_by_hand():
    # theta 1, beta 0.5, start 0; U = 0.5 and 0.25 + 0.25 = 0.5: no spike; triangle 1 - |U - 1|
    current = torch.tensor([[0.5], [0.25]], requires_grad=True)
    LIF(1.0, 2, beta=0.5, start=0.0, surrogate=triangular)(current).sum().backward()
    assert current.grad.flatten().tolist() == [0.5 + 0.5 * 0.5, 0.5]


@pytest.mark.parametrize("threshold", [0.5, 1.0, 3.0])
def test_the_triangle_has_area_one_and_the_thresholds_width(threshold):
    distance = torch.linspace(-2 * threshold, 2 * threshold, 40_001, dtype=torch.float64)
    slope = triangular(distance.clone(), threshold)
    assert abs(float(torch.trapezoid(slope, distance)) - 1) < 1e-6
    assert (slope[distance.abs() > threshold] == 0).all()
    assert float(slope.max()) == pytest.approx(1 / threshold)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 0.0}, "threshold is 0.0"),
        ({"threshold": -1.0}, "threshold is -1.0"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"beta": 0.0}, "beta is 0.0"),
        ({"beta": 1.1}, "beta is 1.1"),
        ({"timesteps": 0}, "timesteps is 0"),
        ({"reset": "half"}, "unknown reset 'half'"),
        ({"start": 1.5}, "start is 1.5"),
    ],
)
def test_impossible_neurons_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LIF(**{"threshold": 1.0, "timesteps": 4} | arguments)


def test_a_batch_that_t_does_not_divide_is_refused():
    with pytest.raises(RuntimeError, match=r"divisible|multiply"):
        LIF(1.0, 4)(torch.zeros(6, 3))


def test_neurons_say_what_they_are():
    assert "threshold=0.500, timesteps=4, beta=0.9" in repr(LIF(0.5, 4, 0.9))


# The whole network, step by step, in snnTorch. In float64, where a last bit that differs between
# one large batch and T small ones has no tie to flip.


def spikes_of(network, images):
    """Spikes of every layer [T, B, ...] and the logits, ours and snnTorch's, from one run each."""
    twin = to_snntorch(network)
    ours, theirs = [], {}
    hooks = [
        m.register_forward_hook(lambda m, _, out: ours.append(out.unflatten(0, (m.timesteps, -1))))
        for m in network.modules()
        if isinstance(m, LIF)
    ]
    for module in twin.modules():
        if isinstance(module, snntorch.Leaky):
            theirs[module] = []
            module.register_forward_hook(lambda m, _, out: theirs[m].append(out[0]))
    with torch.no_grad():
        logits = network(images), twin(images)
    for hook in hooks:
        hook.remove()
    return ours, [torch.stack(steps) for steps in _in_order(twin, theirs)], *logits


def _in_order(twin, found):
    """Each layer's steps in our order of evaluation: stage, head, stage, ..."""
    for stage, head in zip(twin.stages, twin.heads, strict=True):
        yield from (found[m] for part in (stage, head) for m in part if m in found)


@pytest.mark.parametrize("encoding", ["direct", "rate", "latency"])
@pytest.mark.parametrize(("timesteps", "beta"), [(1, 1.0), (4, 1.0), (4, 0.9), (9, 0.5), (20, 1.0)])
def test_a_converted_network_is_its_snntorch_twin_spike_for_spike(encoding, timesteps, beta):
    network = tiny().double()
    images = pictures(6, seed=timesteps, dtype=torch.float64)
    reset = "zero" if timesteps == 9 else "subtract"
    how = {"percentile": 90, "reset": reset}
    spiking = convert(network, images, timesteps, beta, "percentile", encoding, **how)
    ours, theirs, logits, expected = spikes_of(spiking, images)
    assert len(ours) == len(theirs) == 7
    for mine, yours in zip(ours, theirs, strict=True):
        assert mine.shape == yours.shape
        assert torch.equal(mine, yours)
    assert 0 < sum(float(s.sum()) for s in ours) < sum(s.numel() for s in ours)
    torch.testing.assert_close(logits, expected)


def test_the_twin_agrees_in_whole_numbers_where_ties_are_common():
    network = tiny(lambda: ClipFloorShift(4))
    spiking = convert(network, timesteps=6, threshold=4.0)
    generator = torch.Generator().manual_seed(0)
    for parameter in spiking.parameters():  # spikes pooled over 4 make quarters: exact
        values = torch.randint(-4, 6, parameter.shape, generator=generator)
        parameter.data = values.to(parameter.dtype)
    images = torch.randint(0, 3, (5, 1, 8, 8), generator=generator).float()
    ours, theirs, logits, expected = spikes_of(spiking, images)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    torch.testing.assert_close(logits, expected)


def test_an_int8_network_has_a_twin_too():
    spiking = convert(tiny(), pictures(50), timesteps=4)
    prepared = quantize_aware(spiking)
    calibrate(prepared, pictures(50))
    ours, theirs, logits, expected = spikes_of(to_int8(prepared), pictures(8, seed=2))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize("surrogate_slope", [triangular, fast_sigmoid])
def test_the_twin_has_the_same_gradients(surrogate_slope):
    spiking = convert(tiny().double(), pictures(20, dtype=torch.float64), timesteps=4, beta=0.9)
    for module in spiking.modules():
        if isinstance(module, LIF):
            module.surrogate = surrogate_slope
    spiking.requires_grad_(True)
    twin = to_snntorch(spiking)
    images = pictures(4, seed=1, dtype=torch.float64)
    for network in (spiking, twin):
        network(images).square().sum().backward()
    ours = list(spiking.stages.parameters()) + list(spiking.heads.parameters())
    theirs = list(twin.stages.parameters()) + list(twin.heads.parameters())
    for mine, yours in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, yours.grad)
    assert all(p.grad.abs().sum() > 0 for p in ours)


def test_the_twin_forgets_between_batches_and_shares_no_weights():
    spiking = convert(tiny(), pictures(20), timesteps=4)
    twin, images = to_snntorch(spiking), pictures(3)
    first = twin(images)
    assert torch.equal(twin(images), first)
    with torch.no_grad():
        spiking.stages[0][0].weight.zero_()
    assert torch.equal(twin(images), first)


@pytest.mark.parametrize("encoding", ["direct", "rate"])
def test_a_twin_is_pickled_and_answers_alike(encoding):
    twin = to_snntorch(convert(tiny(), pictures(20), timesteps=4, encoding=encoding))
    again = pickle.loads(pickle.dumps(twin))
    with torch.no_grad():
        assert torch.equal(again(pictures(3)), twin(pictures(3)))


def test_a_network_without_spikes_has_no_twin():
    with pytest.raises(ValueError, match="tiny has no spiking neurons"):
        to_snntorch(tiny())
