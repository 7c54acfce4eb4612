from itertools import pairwise

import pytest
import torch
from small import pictures, tiny
from torch import nn

from sparq_utils.networks.architectures import NETWORKS, alexnet, exit_head, lenet5, mlp, resnet20
from sparq_utils.networks.conversion import ClipFloorShift, convert, fold_batch_norm
from sparq_utils.networks.early_exit import EarlyExitNetwork, layers_of
from sparq_utils.networks.residual import Residual


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def output_shapes(network):
    """Every layer's output shape, without the batch."""
    found = {}
    layers = [m for m in network.modules() if not list(m.children())]
    hooks = [
        layer.register_forward_hook(lambda m, _, output: found.update({m: output.shape[1:]}))
        for layer in layers
    ]
    with torch.no_grad():
        network.eval()(torch.zeros(1, *network.input_shape))
    for hook in hooks:
        hook.remove()
    return found


def macs(network):
    """MACs of Eq. 6-7: weights x output positions, synapse by synapse."""
    return [
        layer.weight.numel() * shape[1:].numel()
        for layer, shape in output_shapes(network).items()
        if isinstance(layer, (nn.Conv2d, nn.Linear))
    ]


def neurons(network):
    """Units of every activation and of the output layer."""
    found = output_shapes(network)
    return sum(s.numel() for m, s in found.items() if isinstance(m, nn.ReLU)) + 10


@pytest.mark.parametrize(
    ("build", "expected_macs", "expected_neurons"),
    [
        (mlp, 574_080, 512 + 256 + 128 + 64 + 10),
        (lenet5, 416_520, 6 * 784 + 16 * 100 + 120 + 84 + 10),
        (alexnet, 200_515_584, 180_234),
    ],
)
def test_macs_and_neurons_are_the_papers(build, expected_macs, expected_neurons):
    plain = build().without_exits()
    assert sum(macs(plain)) == expected_macs
    assert neurons(plain) == expected_neurons


def test_alexnet_has_the_papers_parameters_without_batch_norm():
    plain = alexnet().without_exits()
    # weights and one bias an output channel: what folding batch norm leaves
    channels = [3, 64, 192, 384, 256, 256]
    expected = sum(9 * i * o + o for i, o in pairwise(channels))
    expected += 2 * (4096 * 4096 + 4096) + 4096 * 10 + 10
    assert parameters(fold_batch_norm(plain)) == expected == 35_855_178


def test_alexnet_leaves_after_convolutions_1_and_3():
    network = alexnet()
    convolutions = [sum(isinstance(m, nn.Conv2d) for m in s.modules()) for s in network.stages]
    assert convolutions == [1, 2, 2]
    known = output_shapes(network)
    assert known[network.heads[0][0]] == (32, 16, 16)  # 3x3, c -> c/2
    assert known[network.heads[1][0]] == (192, 8, 8)
    # conv 3x3 - BN - activation - pool - linear - BN - activation - linear
    kinds = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.AdaptiveAvgPool2d, nn.Flatten]
    kinds += [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    assert [type(m) for m in network.heads[0]] == kinds == [type(m) for m in network.heads[1]]


@pytest.mark.parametrize(
    ("build", "exits"),
    [(mlp, (1,)), (mlp, (1, 3)), (mlp, ()), (mlp, (1, 2, 3)), (lenet5, (2, 3)),
     (lenet5, (1, 2, 3)), (lenet5, ())],
)  # fmt: skip
def test_exits_stand_where_they_are_asked_for(build, exits):
    network = build(exits=exits).eval()
    assert network.exits == len(exits) + 1
    images = torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        logits = network(images)
        assert logits.shape == (len(exits) + 1, 2, 10)
        torch.testing.assert_close(network.without_exits()(images)[0], logits[-1])
        spiking = convert(network, images, timesteps=2)
        assert spiking(images).shape == logits.shape


def test_any_activation_may_be_given():
    network = lenet5(lambda: ClipFloorShift(4))
    # two convolutions, two linear layers, and two in each of two heads
    assert sum(isinstance(m, ClipFloorShift) for m in network.modules()) == 8
    assert not any(isinstance(m, nn.ReLU) for m in network.modules())


@pytest.mark.parametrize("exits", [(0, 1), (2, 1), (1, 1), (1, 4), (-1,)])
def test_impossible_exits_are_named(exits):
    with pytest.raises(ValueError, match="rising block numbers between 1 and 3"):
        mlp(exits=exits)


def test_one_head_a_stage():
    with pytest.raises(ValueError, match="2 stages and 1 heads"):
        EarlyExitNetwork([nn.Identity()] * 2, [nn.Identity()], (4,))
    with pytest.raises(ValueError, match="0 stages"):
        EarlyExitNetwork([], [], (4,))


def test_without_exits_shares_its_weights():
    network = tiny()
    plain = network.without_exits()
    images = pictures(5)
    assert plain.exits == 1
    torch.testing.assert_close(plain(images)[0], network(images)[-1], rtol=0, atol=0)
    with torch.no_grad():
        network.stages[0][0].weight.mul_(-1)
    torch.testing.assert_close(plain(images)[0], network(images)[-1], rtol=0, atol=0)
    ours = {id(p) for p in network.parameters()}
    assert all(id(p) in ours for p in plain.parameters())


def test_without_exits_keeps_time_and_coding():
    spiking = convert(tiny(), timesteps=3, threshold=1.0, encoding="latency")
    plain = spiking.without_exits()
    assert plain.timesteps == 3 and plain.encoder is spiking.encoder
    assert not plain.training
    assert tiny().train().without_exits().training


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 1, 9, 8), r"takes images \[B, 1, 8, 8\], got \[2, 1, 9, 8\]"),
        (torch.zeros(2, 3, 8, 8), r"got \[2, 3, 8, 8\]"),
        (torch.zeros(1, 8, 8), r"got \[1, 8, 8\]"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), "floating-point"),
        (torch.full((2, 1, 8, 8), torch.nan), "NaN"),
        (torch.full((2, 1, 8, 8), torch.inf), "infinite"),
    ],
)
def test_images_that_do_not_fit_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        tiny().check_input(images)


def test_logits_are_means_over_time():
    spiking = convert(tiny(), pictures(20), timesteps=4)
    steps = spiking.forward_steps(pictures(3))
    assert steps.shape == (3, 4, 3, 10)  # exits, T, B, classes
    torch.testing.assert_close(spiking(pictures(3)), steps.mean(1))


def test_leaves_go_in_order():
    first, second, third = nn.ReLU(), nn.Flatten(), nn.Linear(2, 2)
    nested = nn.Sequential(nn.Sequential(first, nn.Sequential(second)), third)
    assert list(layers_of(nested)) == [first, second, third]


def test_a_head_for_features_and_for_maps():
    assert [type(m) for m in exit_head((32,), nn.ReLU, 0, 0)] == [nn.Linear]
    head = exit_head((8, 6, 6), nn.ReLU, hidden=5, pool_to=3, classes=4).eval()
    assert head(torch.zeros(2, 8, 6, 6)).shape == (2, 4)


def test_exits_cost_what_they_say():
    assert set(NETWORKS) == {"mlp", "lenet5", "alexnet", "resnet20"}
    assert macs(tiny()) == [
        9 * 4 * 64,  # 3x3 kernels, 1 -> 4 channels, 8x8 positions
        9 * 4 * 2 * 16, 8 * 8, 80,  # head 0: 4 -> 2 channels on 4x4, 2*2*2 -> 8, 8 -> 10
        9 * 4 * 6 * 16,
        9 * 6 * 3 * 16, 12 * 8, 80,
        96 * 16,
        160,
    ]  # fmt: skip


def test_resnet20_is_the_one_of_he_et_al():
    network = resnet20()
    inner = network.without_exits()
    convolutions = [m for m in inner.modules() if isinstance(m, nn.Conv2d)]
    # 19 convolutions of 3x3 and a linear layer; the two 1x1 are shortcuts where sizes change
    assert sum(m.kernel_size == (3, 3) for m in convolutions) == 19
    assert parameters(inner) == 272_474
    assert network(torch.zeros(2, 3, 32, 32)).shape == (3, 2, 10)


def test_a_residual_block_adds_its_two_ways():
    branch, x = nn.Sequential(nn.Linear(3, 3)), torch.randn(2, 3)
    assert torch.equal(Residual(branch, nn.Sequential())(x), branch(x) + x)
