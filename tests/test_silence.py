"""Training for silence: the penalty on spikes, and the INT8 network that it starts from."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from small import patterns, pictures, tiny

from sparq_utils.networks import training
from sparq_utils.networks.conversion import ClipFloorShift, convert
from sparq_utils.networks.counting import count_layers
from sparq_utils.networks.losses import mean_spikes, spikes_of
from sparq_utils.networks.quantization import calibrate, dequantized, quantize_aware, to_int8
from sparq_utils.networks.quantized_synapse import QuantizedSynapse
from sparq_utils.networks.recipe import Recipe
from sparq_utils.networks.spiking import LIF
from sparq_utils.networks.training import train

RECIPE = Recipe(2, batch_size=16, learning_rate=5e-3, mixup_alpha=0.0)


def spiking():
    return convert(tiny(lambda: ClipFloorShift(4)), timesteps=4, threshold="clip-floor-shift")


def int8():
    prepared = quantize_aware(spiking())
    calibrate(prepared, pictures(100))
    return to_int8(prepared)


def rate(network, images):
    with torch.no_grad(), spikes_of(network.eval()) as spikes:
        network(images)
    return float(mean_spikes(spikes))


def test_the_mean_is_over_all_neurons_and_steps():
    fired = [torch.tensor([[1.0, 0.0, 1.0]]), torch.tensor([[0.0], [1.0]])]
    assert float(mean_spikes(fired)) == pytest.approx(3 / 5)
    network, images = spiking(), pictures(7)
    counts = count_layers(network, images)
    emitted = sum(int(layer.spikes.sum()) for layer in counts)
    neurons = sum(layer.static.neurons for layer in counts if layer.kind == "LIF")
    assert rate(network, images) == pytest.approx(emitted / (neurons * 4 * 7))


def test_nothing_watches_once_it_is_done():
    network = spiking()
    with pytest.raises(RuntimeError, match="stop"), spikes_of(network):
        raise RuntimeError("stop")
    with spikes_of(network) as spikes:
        pass
    network(pictures(2))
    assert spikes == []


def test_the_penalty_is_added_to_the_loss_and_has_a_gradient():
    network, images = spiking().requires_grad_(True), patterns(16)
    losses = {}
    for penalty in (0.0, 3.0):
        recipe = replace(RECIPE, spike_penalty=penalty)
        rng = np.random.default_rng(0)
        losses[penalty] = training._mixed_loss(network, images.floats(), images.labels, recipe, rng)
    with spikes_of(network) as spikes:
        network(images.floats())
    mean = mean_spikes(spikes)
    torch.testing.assert_close(losses[3.0] - losses[0.0], 3 * mean)
    mean.backward()
    first = network.stages[0][0].weight.grad
    assert torch.isfinite(first).all() and (first != 0).any()


def test_a_network_that_pays_for_spikes_spikes_less():
    images, rates = patterns(50, 1, "validation"), {}
    start = int8()
    for penalty in (0.0, 5.0):
        prepared = quantize_aware(dequantized(start))
        train(prepared, patterns(128), images, replace(RECIPE, spike_penalty=penalty),
              progress=False)  # fmt: skip
        rates[penalty] = rate(to_int8(prepared), images.floats())
    assert rates[5.0] < 0.8 * rates[0.0]


def test_an_ann_has_no_spikes_to_pay_for():
    with pytest.raises(ValueError, match="no spikes to penalise"):
        train(tiny(), patterns(32), patterns(8), replace(RECIPE, spike_penalty=1.0))
    with pytest.raises(ValueError, match="spike_penalty is -1"):
        Recipe(1, spike_penalty=-1)


def test_the_floating_copy_has_the_int8_networks_weights_and_quantises_to_them_again():
    start = int8()
    floating = dequantized(start)
    regions = [m for m in start.modules() if isinstance(m, QuantizedSynapse)]
    layers = [m for m in floating.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    for region, layer in zip(regions, layers, strict=True):
        assert torch.equal(layer.weight, region.synapse.weight().dequantize())
        assert torch.equal(layer.bias, region.synapse.bias())
        assert layer.weight.requires_grad
    thresholds = [
        [m.threshold for m in n.modules() if isinstance(m, LIF)] for n in (start, floating)
    ]
    assert thresholds[0] == thresholds[1]
    prepared = quantize_aware(floating)
    calibrate(prepared, pictures(100))
    again = [m for m in to_int8(prepared).modules() if isinstance(m, QuantizedSynapse)]
    for region, other in zip(regions, again, strict=True):
        ours, theirs = (m.synapse.weight().int_repr() for m in (region, other))
        assert torch.equal(ours, theirs)
    with pytest.raises(ValueError, match="no INT8 network"):
        dequantized(floating)


def test_a_checkpoint_from_before_the_penalty_goes_on(tmp_path):
    path = tmp_path / "checkpoint.pt"
    whole, halved = tiny(), tiny()
    on = (patterns(64), patterns(20, 1, "validation"), RECIPE)
    train(whole, *on, progress=False)
    train(halved, *on, checkpoint=path, progress=False)
    state = torch.load(path, weights_only=True)
    older = {key: value for key, value in asdict(RECIPE).items() if key != "spike_penalty"}
    state["identity"]["recipe"] = json.dumps(older)
    torch.save(state, path)
    resumed = tiny()
    assert len(train(resumed, *on, checkpoint=path, progress=False)) == 2
    pairs = zip(whole.parameters(), resumed.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
