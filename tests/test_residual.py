"""Residual blocks, from the ANN to INT8: what is added, what it costs, in every form it takes."""

from copy import deepcopy

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from neurobench.metrics.utils.layers import single_layer_MACs
from small import branched, patterns, pictures
from torch import nn

from sparq_utils import reference
from sparq_utils.deploy.graph import to_graph, to_onnx
from sparq_utils.deploy.snntorch_twin import to_snntorch
from sparq_utils.networks.agreement import neuron_agreement
from sparq_utils.networks.conversion import ClipFloorShift, convert, fold_batch_norm
from sparq_utils.networks.counting import count_layers, static_counts, synapses
from sparq_utils.networks.early_exit import EarlyExitNetwork, layers_of
from sparq_utils.networks.fastest import optimize_for_inference
from sparq_utils.networks.inference import staged_inference
from sparq_utils.networks.int8 import export_int8, load_int8, save_int8
from sparq_utils.networks.levels import LevelActivation
from sparq_utils.networks.quantization import calibrate, quantize_aware, to_int8
from sparq_utils.networks.recording import record
from sparq_utils.networks.residual import IdentitySynapse, Residual
from sparq_utils.networks.spiking import LIF


def spiking(timesteps=4, encoding="direct", dtype=torch.float32):
    images = pictures(6, dtype=dtype)
    network = branched().to(dtype)
    return convert(network, images, timesteps, 1.0, "percentile", encoding, 90), images


def int8(**how):
    prepared = quantize_aware(convert(branched(lambda: ClipFloorShift(4)), **how))
    calibrate(prepared, pictures(50, 1))
    return to_int8(prepared)


def described(network):
    found = export_int8(network)
    for layer in found["layers"]:
        layer |= {key: layer[key].numpy() for key in ("weight", "bias") if key in layer}
    return found


def test_an_empty_shortcut_is_an_identity_and_a_way_ends_in_a_synapse():
    block = Residual(nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU()), nn.Sequential())
    assert [type(layer) for layer in layers_of(block)] == [
        nn.Conv2d, nn.ReLU, IdentitySynapse, IdentitySynapse
    ]  # fmt: skip
    x = torch.tensor([[[[2.0, -3.0]]]])
    assert torch.equal(block(x), block.branch(x) + x)
    assert list(block.state_dict()) == ["branch.0.weight", "branch.0.bias"]


@pytest.mark.parametrize("amplitude", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_amplitude_is_refused(amplitude):
    with pytest.raises(ValueError, match="expected a positive number"):
        IdentitySynapse(amplitude)


def test_folding_keeps_the_answers():
    network = branched()
    folded = fold_batch_norm(network)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    torch.testing.assert_close(folded(pictures(4)), network(pictures(4)), rtol=1e-4, atol=1e-5)


def test_a_shortcut_carries_what_its_spikes_stand_for():
    """By hand: an identity block behind neurons of threshold 3, whose branch takes away 1/2 x."""
    conv, half = nn.Conv2d(1, 1, 1, bias=False), nn.Conv2d(1, 1, 1, bias=False)
    with torch.no_grad():
        conv.weight.fill_(1)
        half.weight.fill_(-0.5)
    stage = nn.Sequential(
        conv, ClipFloorShift(4, 3.0), Residual(nn.Sequential(half), nn.Sequential()),
        ClipFloorShift(4, 2.0),
    )  # fmt: skip
    network = EarlyExitNetwork([stage], [nn.Sequential(nn.Flatten(), nn.Linear(1, 2))], (1, 1, 1))
    converted = convert(network, timesteps=4)
    block = converted.stages[0][2]
    assert block.shortcut[0].amplitude == 3.0
    assert block.branch[0].weight.item() == -1.5
    # 2.25 are 3 of 4 spikes; each adds 3 - 1.5 to neurons of threshold 2: 4.5 of 8, so 2 spikes
    spikes = converted.stages[0](torch.full((1, 1, 1, 1), 2.25))
    assert spikes.sum() == 2
    assert block(torch.ones(1, 1, 1, 1)).item() == 1.5


def test_more_timesteps_come_nearer_to_the_ann():
    network, images = branched().double(), pictures(12, dtype=torch.float64)
    with torch.no_grad():
        errors = [
            float((convert(network, images, t, 1.0, "percentile", percentile=100)(images)
                   - network(images)).abs().max())
            for t in (4, 32, 1024)
        ]  # fmt: skip
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.02


def test_the_image_itself_is_not_added_to_what_neurons_say_of_it():
    branch = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Conv2d(1, 1, 1))
    stage = nn.Sequential(Residual(branch, nn.Sequential()), nn.ReLU())
    network = EarlyExitNetwork([stage], [nn.Sequential(nn.Flatten(), nn.Linear(4, 2))], (1, 2, 2))
    with pytest.raises(ValueError, match="before the first block"):
        convert(network, threshold=1.0)
    assert convert(network, threshold=1.0, encoding="rate").timesteps == 32


def test_both_ways_are_driven_by_what_arrives_at_the_block():
    network, _ = spiking()
    found = {one.name: one for one in synapses(network)}
    lifs = [layer for layer in layers_of(network.stages[0]) if isinstance(layer, LIF)]
    first, branch, second, shortcut = (
        one for one in found.values() if (one.kind, one.index) == ("stage", 0)
    )
    assert first.source is None and first.runs == 1
    assert branch.source is shortcut.source is lifs[0]
    assert second.source is lifs[1]
    assert isinstance(shortcut.layer, IdentitySynapse) and shortcut.runs == 4
    head = next(one for one in found.values() if one.kind == "head")
    assert head.source is lifs[2]


@st.composite
def ways(draw, channels, depth):
    """Layers from and to so many channels, of any kind and order, that keep an image's size."""
    layers = []
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(["3x3", "1x1", "depthwise", "relu", "relu6", "block"]))
        if kind in ("relu", "relu6"):
            if not layers or not isinstance(layers[-1], nn.Conv2d):
                layers.append(nn.Conv2d(channels, channels, 1))
            layers.append(nn.ReLU() if kind == "relu" else nn.ReLU6())
        elif kind == "block" and depth:
            both = (draw(ways(channels, depth - 1)) for _ in range(2))
            layers += [Residual(*both), nn.ReLU()]
        else:
            groups = channels if kind == "depthwise" else 1
            kernel = 1 if kind == "1x1" else 3
            layers.append(nn.Conv2d(channels, channels, kernel, 1, kernel // 2, groups=groups))
    return nn.Sequential(*layers)


@st.composite
def graphs(draw):
    """A spiking network of two stages of random ways, with an exit each; and images for it."""
    torch.manual_seed(draw(st.integers(0, 999)))
    stages = [
        nn.Sequential(nn.Conv2d(1, 4, 3, draw(st.integers(1, 2))), nn.ReLU(), draw(ways(4, 2))),
        nn.Sequential(
            *draw(ways(4, 2)), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        ),
    ]
    heads = [
        nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.LazyLinear(3)),
        nn.Sequential(nn.Linear(4, 3)),
    ]
    network = EarlyExitNetwork(stages, heads, (1, 9, 9), "random")
    encoding = draw(st.sampled_from(["direct", "latency"]))
    images = torch.rand(3, 1, 9, 9)
    network(images)
    return convert(network, images, 3, 1.0, "percentile", encoding, 80), images


def arriving(network, images):
    """What each layer of connections receives, [T*B, ...] each, found by watching them all."""
    seen, kinds = {}, (nn.Conv2d, nn.Linear, IdentitySynapse)
    hooks = [
        layer.register_forward_pre_hook(lambda m, inputs: seen.update({m: inputs[0].clone()}))
        for layer in network.modules()
        if isinstance(layer, kinds)
    ]
    network(images)
    for hook in hooks:
        hook.remove()
    return seen


def by_brute_force(layer, spikes):
    """Accumulates that spikes [N, ...] trigger at a layer: NeuroBench's, where it knows it."""
    if isinstance(layer, IdentitySynapse):
        return int(spikes.sum())
    ones = deepcopy(layer)
    ones.weight.fill_(1)
    most = int(spikes.max())  # spikes that share a place after pooling
    return sum(single_layer_MACs((spikes >= n).float(), ones)[0] for n in range(1, most + 1))


@settings(max_examples=25, deadline=None)
@given(graphs())
@torch.no_grad()
def test_counts_of_any_graph_are_what_arrives_at_its_layers(case):
    """Spikes and pooled ones are multiples of 1/(area); whatever is analog here is not."""
    network, images = case
    seen = arriving(network, images)
    rows = {row.name: row for row in count_layers(network, images)}
    found = list(synapses(network))
    assert {one.layer for one in found} == {*seen}
    for one in found:
        row, values = rows[one.name], seen[one.layer]
        spikes = values * (one.levels or 1)  # pooled ones are fractions
        spikes = spikes.round() if torch.allclose(spikes, spikes.round()) else spikes
        whole = torch.equal(spikes, spikes.round()) and spikes.min() >= 0
        if one.spiking:
            assert whole and row.operation == "ac" and row.static.macs == 0
            assert int(row.acs.sum()) == by_brute_force(one.layer, spikes)
            continue
        assert one.levels is None and not (whole and values.any())
        assert row.runs == len(values) // len(images)
        dense = (
            values.numel()
            if isinstance(one.layer, IdentitySynapse)
            else (single_layer_MACs(torch.rand(values.shape) + 0.5, one.layer, total=True)[0])
        )
        if isinstance(one.layer, IdentitySynapse):
            assert int(row.acs.sum()) == dense and row.static.macs == 0
        else:
            assert row.static.macs * len(images) == dense and row.acs.sum() == 0


@torch.no_grad()
def test_an_analog_shortcut_costs_one_addition_a_value():
    network, images = fold_batch_norm(branched()), pictures(3)
    rows = [row for row in count_layers(network, images) if row.kind == "IdentitySynapse"]
    assert [row.acs.tolist() for row in rows] == [[[4 * 8 * 8] * 3], [[6 * 4 * 4] * 3]]
    assert all(row.operation == "ac" and row.static.macs == 0 for row in rows)
    trace = record(network, patterns(20), "ann")
    assert trace.count("acs")[:, 0].tolist() == [256, 256 + 96]
    plain = static_counts(branched().without_exits())
    assert sum(part.dense_macs for part in plain.values()) == (
        9 * 64 * (4 + 16 + 16) + 16 * (9 * (4 * 6 + 36 + 36 + 36) + 4 * 6) + 240
    )


@torch.no_grad()
def test_the_snntorch_twin_says_the_same():
    network, images = spiking(dtype=torch.float64)
    torch.testing.assert_close(to_snntorch(network)(images), network(images))


@torch.no_grad()
def test_a_graph_says_the_same():
    network, images = spiking()
    torch.testing.assert_close(to_graph(network).module()(images), network(images))


@pytest.mark.skipif(not hasattr(torch.ops.onednn, "qconv2d_pointwise"), reason="no such kernels")
@torch.no_grad()
def test_an_inference_copy_says_the_same():
    network, images = spiking()
    fast = optimize_for_inference(network, smallest=0)
    torch.testing.assert_close(fast(images), network(images), rtol=1e-5, atol=1e-5)
    kinds = [type(layer).__name__ for layer in layers_of(fast.stages[0])]
    assert kinds.count("FastestSynapse") == 2 and kinds.count("IdentitySynapse") == 1


@torch.no_grad()
def test_leaving_early_says_the_same():
    network, images = spiking()
    sure, best = network(images).softmax(-1).max(-1)
    middle = float(sure[0].mean())
    answers = staged_inference(network, images, (middle,))
    where = (sure[0] < middle).long()
    assert torch.equal(answers.exit, where) and 0 < where.sum() < len(images)
    assert torch.equal(answers.prediction, best.gather(0, where[None])[0])


@torch.no_grad()
def test_pieces_are_sized_by_the_largest_layer():
    network, images = spiking()
    assert network._largest_output(images[:1]) == 4 * 8 * 8 * 4 * 4  # channels, image, T, float32


@torch.no_grad()
@pytest.mark.parametrize("how", [{"timesteps": 4}, {"timesteps": 1, "neurons": "levels",
                                                    "levels": 4}])  # fmt: skip
def test_int8_survives_its_file_and_the_reference_agrees(tmp_path, how):
    network, images = int8(**how), patterns(40, 2)
    save_int8(network, tmp_path / "branched.safetensors")
    again = load_int8(tmp_path / "branched.safetensors")
    assert torch.equal(again(images.floats()), network(images.floats()))
    answers = reference.run(
        reference.read(tmp_path / "branched.safetensors"), images.floats().numpy()
    )
    trace = record(again, images, "qdsnn")
    np.testing.assert_allclose(answers.logits, network(images.floats()).numpy(), atol=1e-6)
    np.testing.assert_array_equal(answers.prediction, trace.prediction)
    for name, count in answers.counts.items():
        np.testing.assert_array_equal(count, np.broadcast_to(trace.count(name), count.shape), name)
    assert trace.count("acs").max() > 0


def test_a_description_that_does_not_close_its_blocks_is_refused(tmp_path):
    network = int8(timesteps=2)
    found = export_int8(network)
    kinds = [layer["kind"] for layer in found["layers"]]
    assert kinds[2:10] == ["branch", "conv", "lif", "conv", "shortcut", "identity", "add", "lif"]


@torch.no_grad()
def test_levels_and_spikes_agree_on_a_single_block():
    ann, images = branched(lambda: ClipFloorShift(4)), pictures(40)
    levelled = convert(ann, timesteps=1, neurons="levels", levels=4)
    assert sum(isinstance(m, LevelActivation) for m in levelled.modules()) == 9
    # with as many levels as it was trained with, the opponent is the ANN itself
    torch.testing.assert_close(levelled(images), ann(images), rtol=1e-4, atol=1e-4)
    agreement = neuron_agreement(convert(ann, timesteps=4), levelled, images)
    assert agreement.activations["stage0.1"] > 0.999
    assert all(fraction > 0.5 for fraction in agreement.activations.values())


@torch.no_grad()
def test_onnx_runtime_says_the_same(tmp_path):
    network, images = spiking()
    to_onnx(network, tmp_path / "branched.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "branched.onnx")
    (logits,) = session.run(None, {"images": images.numpy()})
    np.testing.assert_allclose(logits, network(images).numpy(), atol=1e-5)
