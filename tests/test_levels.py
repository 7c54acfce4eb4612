"""The opponent of spikes: activations of a few levels, by hand and against what they stand for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from neurobench.metrics.utils.layers import single_layer_MACs
from small import patterns, pictures, tiny
from torch import nn

from sparq_utils.networks.agreement import neuron_agreement
from sparq_utils.networks.conversion import ClipFloorShift, convert
from sparq_utils.networks.counting import count_layers
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.int8 import export_int8, load_int8, save_int8
from sparq_utils.networks.levels import LevelActivation
from sparq_utils.networks.quantization import (
    QuantizedSynapse,
    calibrate,
    quantize_aware,
    to_int8,
)
from sparq_utils.networks.recipe import Recipe
from sparq_utils.networks.recording import record
from sparq_utils.networks.scoring import accuracy
from sparq_utils.networks.spiking import LIF
from sparq_utils.networks.training import train
from sparq_utils.networks.watching import watch
from sparq_utils.networks.wiring import synapses

OPPONENT = {"timesteps": 1, "neurons": "levels", "levels": 4}
QUICK = settings(max_examples=40, deadline=None)


def opponent(seed=0):
    return convert(tiny(lambda: ClipFloorShift(4), seed=seed), **OPPONENT)


def prepared(seed=0):
    """A calibrated fake-quantised opponent; a fresh one each time."""
    found = quantize_aware(opponent(seed))
    calibrate(found, pictures(100))
    return found


def activations(network, kind=LevelActivation):
    return [m for m in network.modules() if isinstance(m, kind)]


def test_levels_worked_by_hand():
    layer = LevelActivation(threshold=2.0, levels=4)
    # half a unit to each side of a level belongs to it, a tie upwards
    currents = torch.tensor([-3.0, 0.0, 0.24, 0.25, 0.5, 0.74, 0.75, 1.0, 1.6, 2.0, 9.0])
    expected = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 4]) / 4
    assert torch.equal(layer(currents), expected)


@QUICK
@given(levels=st.integers(1, 64), threshold=st.floats(0.1, 5), seed=st.integers(0, 999))
def test_a_level_is_clip_floor_shifts_of_as_many_levels(levels, threshold, seed):
    currents = 3 * torch.randn(50, generator=torch.Generator().manual_seed(seed))
    layer, trained = LevelActivation(threshold, levels), ClipFloorShift(levels, threshold)
    for needs_gradient in (False, True):
        ours = layer(currents.clone().requires_grad_(needs_gradient))
        theirs = trained(currents) / (trained.threshold / levels)
        assert torch.equal((ours * levels).round(), theirs.round())
        torch.testing.assert_close(ours, theirs / levels, rtol=1e-6, atol=0)


@QUICK
@given(timesteps=st.integers(1, 32), threshold=st.floats(0.1, 5), seed=st.integers(0, 999))
def test_a_constant_current_gives_as_many_spikes_as_its_level(timesteps, threshold, seed):
    generator = torch.Generator().manual_seed(seed)
    currents = 3 * torch.randn(50, generator=generator, dtype=torch.float64)
    spikes = LIF(threshold, timesteps, constant_input=True)(currents)
    counts = spikes.unflatten(0, (timesteps, -1)).sum(0)
    levels = LevelActivation(threshold, timesteps)(currents) * timesteps
    assert torch.equal(counts, levels.round())


def test_a_tie_is_a_level_and_no_spike():
    tie = torch.tensor([0.25])  # half a level of a threshold of 2 and 4 levels
    assert LevelActivation(2.0, 4)(tie).item() == 0.25
    assert LIF(2.0, 4, constant_input=True)(tie).sum() == 0


def test_its_gradient_is_the_clipped_ramps():
    currents = torch.tensor([-1.0, 0.3, 1.7, 3.0], requires_grad=True)
    LevelActivation(2.0, 4)(currents).sum().backward()
    assert currents.grad.tolist() == [0.0, 0.5, 0.5, 0.0]  # 1 / threshold inside


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"neurons": "relu"}, "unknown neurons 'relu'"),
        ({"neurons": "levels"}, "levels go with neurons='levels'"),
        ({"levels": 4}, "levels go with neurons='levels'"),
        (OPPONENT | {"levels": 0}, "levels is 0"),
        (OPPONENT | {"timesteps": 4}, "levels know no time: timesteps=4"),
        (OPPONENT | {"encoding": "rate"}, "encoding='rate'"),
        (OPPONENT | {"beta": 0.9}, "beta=0.9"),
    ],
)
def test_bad_requests_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        convert(tiny(), threshold=1.0, **arguments)
    with pytest.raises(ValueError, match=r"threshold is 0\.0"):
        LevelActivation(0.0, 4)


def test_at_the_trained_number_of_levels_the_opponent_is_the_ann():
    network = tiny(lambda: ClipFloorShift(4))
    with torch.no_grad():
        torch.testing.assert_close(opponent()(pictures(20)), network(pictures(20)))


def test_every_input_has_the_grid_of_its_levels_and_pooling():
    grids = [
        round(1 / float(m.quant.activation_post_process.scale), 6)
        for m in prepared().modules()
        if isinstance(m, QuantizedSynapse)
    ]
    # four levels where spikes have one, times the pooling between; the image's range is observed
    assert grids[1:] == [16, 4, 16, 16, 4, 4, 16, 4, 4]


def test_levels_pass_their_quantisers_unchanged():
    network = to_int8(prepared())
    seen = []
    for synapse in synapses(network):
        if synapse.name != "stage0.0":
            synapse.layer.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
            synapse.layer.quant.register_forward_hook(
                lambda _m, _i, output: seen.append(output.dequantize())
            )
    network(pictures(30))
    assert len(seen) == 18
    for values, quantised in zip(seen[::2], seen[1::2], strict=True):
        torch.testing.assert_close(values, quantised, rtol=1e-6, atol=0)


def test_fine_tuned_it_is_as_accurate_in_int8_as_with_fake_quantisation():
    network = tiny(lambda: ClipFloorShift(8))
    data, images = (patterns(320), patterns(20, 1)), patterns(1000, 7, "test")
    train(network, *data, Recipe(6, 32, 0.02, mixup_alpha=0.0), progress=False)
    found = quantize_aware(convert(network, **OPPONENT))
    before = accuracy(found, images)
    train(found, *data, Recipe(2, 32, 2e-3, mixup_alpha=0.0), progress=False)
    fake, real = accuracy(found, images), accuracy(to_int8(found), images)
    assert fake[-1] > max(0.8, before[-1])
    # 0.2 points, on 1,000 images two of them
    assert all(abs(a - b) <= 0.002 + 1e-9 for a, b in zip(fake, real, strict=True))


def test_a_saved_opponent_comes_back_to_the_last_bit(tmp_path):
    real, path = to_int8(prepared()), tmp_path / "tiny.safetensors"
    save_int8(real, path)
    loaded = load_int8(path)
    assert torch.equal(loaded(pictures(9)), real(pictures(9)))
    assert loaded.timesteps == 1 and len(activations(loaded)) == 7
    described = export_int8(loaded)
    kinds = [layer["kind"] for layer in described["layers"]]
    assert described["encoding"] == "analog" and kinds.count("levels") == 7
    assert "lif" not in kinds


def test_all_it_costs_are_macs_at_eight_bits():
    network = to_int8(prepared())
    trace = record(network, patterns(20, 3, "test"), "qdann")
    on = trace.measured_on
    assert (on.encoding, on.weight_bits, on.timesteps, on.levels) == ("analog", 8, 1, 4)
    for name in ("acs", "spikes", "lif_updates"):
        assert not trace.count(name).any()
    spiking = convert(tiny(lambda: ClipFloorShift(4)), timesteps=4)
    theirs = record(spiking, patterns(20, 3, "test"), "snn")
    for name in ("dense_macs", "neurons", "weights"):
        assert (trace.count(name) == theirs.count(name)).all()


def test_macs_are_neurobenchs_dense_ones():
    rows = [row for row in count_layers(opponent(), pictures(2)) if row.operation == "mac"]
    found = list(synapses(opponent()))
    assert len(rows) == len(found) == 10
    arrived = {}
    network = opponent()
    for synapse in synapses(network):
        synapse.layer.register_forward_pre_hook(
            lambda layer, inputs: arrived.__setitem__(layer, inputs[0])
        )
    network(pictures(1))
    for row, synapse in zip(rows, synapses(network), strict=True):
        every = torch.ones_like(arrived[synapse.layer])  # borders left out, as we count
        assert row.static.macs == single_layer_MACs(every, synapse.layer)[0]


def test_the_first_layer_of_both_agrees_and_so_do_networks_of_one_layer():
    ann = tiny(lambda: ClipFloorShift(4))
    spiking, levelled = convert(ann, timesteps=4), convert(ann, **OPPONENT)
    found = neuron_agreement(spiking, levelled, pictures(50))
    assert len(found.answers) == 3 and next(iter(found.activations)) == "stage0.1"
    assert found.activations["stage0.1"] == 1.0
    assert all(0.3 < share <= 1 for share in found.activations.values())
    assert min(found.activations.values()) < 1


def test_agreement_worked_by_hand():
    def network(neuron):
        last = nn.Linear(2, 2, bias=False)
        last.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        first = nn.Linear(2, 2, bias=False)
        first.weight.data = torch.eye(2)
        return EarlyExitNetwork([nn.Sequential(first, neuron)], [nn.Sequential(last)], (2,))

    spiking = network(LIF(1.0, 2, constant_input=True))
    spiking.timesteps = 2
    levelled = network(LevelActivation(1.0, 2))
    # 0.25 is a tie (level 1, no spike), the others are not
    images = torch.tensor([[0.25, 0.1], [0.6, 0.1], [0.1, 0.9]])
    found = neuron_agreement(spiking, levelled, images)
    assert found.activations == {"stage0.1": pytest.approx(5 / 6)}
    assert found.answers == (1.0,)  # all silent is the first class as well


def test_watching_a_neuron_by_hand():
    last = nn.Linear(1, 2, bias=False)
    network = EarlyExitNetwork(
        [nn.Sequential(LIF(1.0, 4, start=0.0, constant_input=True))], [nn.Sequential(last)], (1,)
    )
    network.timesteps = 4
    last.weight.data = torch.tensor([[-1.0], [1.0]])
    images = torch.tensor([[0.6], [0.2]])
    answers, steps = watch(network, images, LIF, every_step=True)
    assert answers.tolist() == [[1, 0]]
    assert steps["stage0.0"][:, 0, 0].tolist() == [0, 1, 0, 1]  # 0.6, 1.2, 0.8, 1.4
    assert watch(network, images, LIF)[1]["stage0.0"].tolist() == [[0.5], [0.0]]


def test_networks_that_do_not_correspond_are_refused():
    ann = tiny(lambda: ClipFloorShift(4))
    with pytest.raises(ValueError, match="they differ"):
        neuron_agreement(convert(ann, timesteps=3), opponent(), pictures(2))
    with pytest.raises(ValueError, match="they differ"):
        neuron_agreement(opponent(), opponent(), pictures(2))
