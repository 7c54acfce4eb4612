from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import pictures, tiny
from torch import nn

from sparq_utils.networks.conversion import ClipFloorShift, convert, fold_batch_norm
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.encoding import Direct, Latency, Rate
from sparq_utils.networks.spiking import LIF


def neurons(network):
    return [m for m in network.modules() if isinstance(m, LIF)]


def one_layer(levels, threshold, seed=0):
    """Linear - clip-floor-shift - linear, in float64."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        stage = nn.Sequential(nn.Linear(5, 7), ClipFloorShift(levels, threshold))
        return EarlyExitNetwork([stage], [nn.Sequential(nn.Linear(7, 3))], (5,)).double().eval()


def clipped(network, spiking):
    """The ANN whose activations are cut off at the thresholds of its conversion."""
    network = fold_batch_norm(network)
    for (_, _, part), (_, _, twin) in zip(network.parts(), spiking.parts(), strict=True):
        for position, layer in enumerate(part):
            if isinstance(layer, nn.ReLU):
                part[position] = nn.Hardtanh(0.0, twin[position].threshold)
    return network


@settings(max_examples=40, deadline=None)
@given(levels=st.integers(1, 16), threshold=st.floats(0.2, 3), seed=st.integers(0, 999))
def test_with_as_many_timesteps_as_levels_one_layer_is_exact(levels, threshold, seed):
    network = one_layer(levels, threshold, seed)
    images = torch.randn(20, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    with torch.no_grad():
        spiking = convert(network, timesteps=levels)
        torch.testing.assert_close(spiking(images), network(images))


def test_clip_floor_shift_worked_by_hand():
    activation = ClipFloorShift(levels=4, threshold=2.0)  # steps of 0.5, rounded to the nearest
    x = torch.tensor([-1.0, 0.2, 0.3, 0.74, 0.76, 1.9, 5.0], requires_grad=True)
    y = activation(x)
    assert y.tolist() == [0, 0, 0.5, 0.5, 1.0, 2.0, 2.0]
    y.sum().backward()
    # straight through inside the ramp (-0.25 < x < 1.75), nothing outside
    assert x.grad.tolist() == [0, 1, 1, 1, 1, 0, 0]
    assert activation.threshold.grad is not None


def test_more_timesteps_converge_to_the_clipped_ann():
    network, images = tiny().double(), pictures(12, dtype=torch.float64)
    errors = []
    with torch.no_grad():
        for timesteps in (4, 32, 1024):
            spiking = convert(network, images, timesteps, threshold="percentile", percentile=95)
            ann = clipped(network, spiking)
            errors.append(float((spiking(images) - ann(images)).abs().max()))
        assert float((ann(images) - network(images)).abs().max()) > 0.05  # the clipping is felt
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.02


def test_at_the_full_percentile_they_converge_to_the_ann_itself():
    network, images = tiny(), pictures(12)
    with torch.no_grad():
        spiking = convert(network, images, 1024, threshold="percentile", percentile=100)
        assert float((spiking(images) - network(images)).abs().max()) < 0.02


@pytest.mark.parametrize("encoding", ["direct", "rate", "latency"])
def test_the_original_is_left_as_it_was(encoding):
    network = tiny(lambda: ClipFloorShift(4), dropout=0.5).train()
    before, modules = deepcopy(network.state_dict()), [type(m) for m in network.modules()]
    spiking = convert(network, pictures(10), timesteps=2, encoding=encoding)
    with torch.no_grad():
        for parameter in spiking.parameters():
            parameter.zero_()
    assert [type(m) for m in network.modules()] == modules
    assert network.training and network.timesteps == 1
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not spiking.training


def test_folding_keeps_the_answers_and_drops_what_inference_does_not_need():
    network = tiny(dropout=0.3)
    folded = fold_batch_norm(network)
    kinds = {type(m) for m in folded.modules()}
    assert not kinds & {nn.BatchNorm1d, nn.BatchNorm2d, nn.Dropout, nn.AdaptiveAvgPool2d}
    torch.testing.assert_close(folded(pictures(4)), network(pictures(4)), rtol=1e-4, atol=1e-5)


def test_the_naive_copy_has_thresholds_of_one_and_unscaled_weights():
    network = tiny()
    spiking, folded = convert(network, timesteps=4, threshold="copy"), fold_batch_norm(network)
    assert [m.threshold for m in neurons(spiking)] == [1.0] * 7
    for mine, plain in zip(spiking.parameters(), folded.parameters(), strict=True):
        assert torch.equal(mine, plain)


def test_a_number_is_every_neurons_threshold():
    assert {m.threshold for m in neurons(convert(tiny(), threshold=0.7))} == {0.7}


def test_percentile_thresholds_are_percentiles_of_the_activations():
    network, images = tiny(), pictures(25)
    spiking = convert(network, images, threshold="percentile", percentile=90.0)
    with torch.no_grad():
        current = fold_batch_norm(network).stages[0][0](images).relu().flatten()
    first = neurons(spiking)[0].threshold
    below = float((current <= first).float().mean())
    assert below == pytest.approx(0.9, abs=1 / len(current))
    higher = convert(network, images, threshold="percentile", percentile=99.0)
    pairs = zip(neurons(spiking), neurons(higher), strict=True)
    assert all(a.threshold <= b.threshold for a, b in pairs)


def test_trained_thresholds_are_kept():
    network = tiny(lambda: ClipFloorShift(8))
    trained = [m for m in network.modules() if isinstance(m, ClipFloorShift)]
    for number, activation in enumerate(trained):
        activation.threshold.data.fill_(0.5 + number)
    for threshold in ("auto", "clip-floor-shift"):
        found = [m.threshold for m in neurons(convert(network, threshold=threshold))]
        assert found == [0.5 + number for number in range(7)]


def test_auto_balances_on_data_where_nothing_was_trained():
    network, images = tiny(), pictures(25)
    auto = [m.threshold for m in neurons(convert(network, images))]
    found = [m.threshold for m in neurons(convert(network, images, threshold="percentile"))]
    assert auto == found


def test_what_neurons_are_reaches_every_one():
    def found(**settings):
        spiking = convert(tiny(), timesteps=7, beta=0.8, threshold=1.0, **settings)
        assert spiking.timesteps == 7
        return {(m.timesteps, m.beta, m.start, m.reset) for m in neurons(spiking)}

    assert found() == {(7, 0.8, 0.5, "subtract")}
    assert found(reset="zero", start=0.0) == {(7, 0.8, 0.0, "zero")}


@pytest.mark.parametrize(
    ("encoding", "kind", "constant"), [("direct", Direct, 1), ("rate", Rate, 0),
                                       ("latency", Latency, 0)],
)  # fmt: skip
def test_only_a_direct_coded_image_is_a_constant_current(encoding, kind, constant):
    spiking = convert(tiny(), timesteps=3, threshold=1.0, encoding=encoding)
    assert type(spiking.encoder) is kind
    assert [m.constant_input for m in neurons(spiking)] == [bool(constant)] + [False] * 6
    rows = []
    spiking.stages[0][0].register_forward_hook(lambda _m, inputs, _out: rows.append(len(inputs[0])))
    spiking(pictures(5))
    assert rows == [5 if constant else 15]  # the first synapse runs once, or at every step


def test_rate_coding_comes_near_the_ann_in_many_steps():
    network, images = tiny(), pictures(4)
    with torch.no_grad():
        spiking = convert(network, images, 2000, threshold="percentile", percentile=100,
                          encoding="rate")  # fmt: skip
        assert float((spiking(images) - network(images)).abs().max()) < 0.2


def network_of(*layers, shape=(1, 8, 8)):
    return EarlyExitNetwork([nn.Sequential(*layers)], [nn.Sequential(nn.Flatten())], shape)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2)), "MaxPool2d.*use average pooling"),
        ((nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Tanh()), "Tanh has no spiking counterpart"),
        ((nn.BatchNorm2d(1), nn.ReLU()), "BatchNorm2d has no spiking counterpart"),
        ((nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4)), "windows overlap"),
        ((nn.Conv2d(1, 2, 3),), "first stage has no activation"),
    ],
)
def test_layers_without_a_counterpart_are_named(layers, message):
    with pytest.raises(ValueError, match=message):
        convert(network_of(*layers), threshold=1.0)


def test_a_stage_that_is_no_sequence_is_named():
    network = EarlyExitNetwork([nn.ReLU()], [nn.Sequential(nn.Linear(4, 2))], (4,))
    with pytest.raises(ValueError, match=r"a ReLU cannot be taken apart: use nn\.Sequential"):
        convert(network, threshold=1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"timesteps": 0}, "timesteps is 0"),
        ({"beta": 0.0}, "beta is 0.0"),
        ({"beta": 1.5}, "beta is 1.5"),
        ({"threshold": 0.0}, "threshold is 0.0"),
        ({"threshold": "median"}, "unknown threshold 'median'"),
        ({"threshold": "clip-floor-shift"}, "not trained with ClipFloorShift"),
        ({"threshold": "percentile"}, "needs images"),
        ({"threshold": "percentile", "images": torch.zeros(0, 1, 8, 8)}, "needs images"),
        ({"threshold": "percentile", "images": torch.zeros(2, 1, 8, 9)}, "takes images"),
        ({"threshold": "percentile", "images": torch.full((2, 1, 8, 8), torch.nan)}, "NaN"),
        ({"images": torch.zeros(2, 1, 8, 8), "percentile": 101}, "percentile is 101"),
        ({"encoding": "morse"}, "unknown encoding 'morse', expected one of direct, rate, latency"),
        ({"reset": "hard"}, "unknown reset 'hard', expected 'subtract' or 'zero'"),
        ({"start": 2.0}, "start is 2.0"),
        ({"neurons": "levels", "levels": 4, "timesteps": 1, "reset": "zero"}, "know no time"),
    ],
)
def test_bad_requests_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        convert(tiny(), **{"threshold": 1.0} | arguments if "percentile" not in arguments
                else arguments)  # fmt: skip


def test_a_spiking_network_is_not_converted_again():
    with pytest.raises(ValueError, match="LIF has no spiking counterpart"):
        convert(convert(tiny(), threshold=1.0), threshold=1.0)


def test_levels_start_at_one():
    with pytest.raises(ValueError, match="levels is 0"):
        ClipFloorShift(0)
