"""Counts against a loop over spikes, NeuroBench, snnTorch and arithmetic done by hand."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from neurobench.metrics.utils.layers import single_layer_MACs
from neurobench.metrics.workload import SynapticOperations
from neurobench.models import SNNTorchModel
from torch import nn

from sparq_utils.deploy.snntorch_twin import to_snntorch
from sparq_utils.networks.architectures import alexnet, lenet5, mlp
from sparq_utils.networks.conversion import convert
from sparq_utils.networks.counting import (
    SpikeCounter,
    count_layers,
    count_shares,
    dense_macs,
    exact_macs,
    fan_out,
    macs_to_exits,
    static_counts,
    synapses,
)
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.encoding import Rate
from sparq_utils.networks.quantization import calibrate, quantize_aware, to_int8
from sparq_utils.networks.spiking import LIF
from sparq_utils.networks.wiring import weight_shape, weights_of

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")

QUICK = settings(max_examples=25, deadline=None)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def randomise(network, seed=0):
    """Random weights from a seed, a few of them exactly zero."""
    generator = rng(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.5)
            weight[torch.rand(weight.shape, generator=generator) < 0.1] = 0
    return network


def driven_by_spikes(layer, shape, timesteps=2):
    """A network whose first synapse receives binary images, unchanged, at every step.

    Rate coding of a pixel that is exactly 0 or 1 is not random.
    """
    with torch.no_grad():
        outputs = layer(torch.zeros(1, *shape)).numel()
    network = EarlyExitNetwork(
        [nn.Sequential(layer, LIF(1.0, timesteps))],
        [nn.Sequential(nn.Flatten(), nn.Linear(outputs, 2))],
        shape,
    )
    network.encoder, network.timesteps = Rate(timesteps), timesteps
    return network


def first_synapse(network, images, skip_zeros):
    rows = {row.name: row for row in count_layers(network, images, skip_zeros)}
    assert rows["stage0.0"].operation == "ac"
    return rows["stage0.0"].acs  # [T, B]


def one_by_one(spikes, layer, skip_zeros):
    """Accumulates of one image: every spike, every weight that it meets."""
    weight, count = layer.weight.detach(), 0
    if isinstance(layer, nn.Linear):
        for position in spikes.nonzero():
            count += sum(1 for w in weight[:, position[0]] if not skip_zeros or w != 0)
        return count
    outputs = layer(spikes[None]).shape[2:]
    padding = layer.padding
    if isinstance(padding, str):  # torch pads less before than after
        total = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        padding = [n // 2 if padding == "same" else 0 for n in total]
    per_group = weight.shape[0] // layer.groups
    for channel, row, column in spikes.nonzero().tolist():
        group, inside = divmod(channel, weight.shape[1])
        kernel = product(range(weight.shape[2]), range(weight.shape[3]))
        for (u, v), out in product(kernel, range(group * per_group, (group + 1) * per_group)):
            places = (
                (row + padding[0] - u * layer.dilation[0], layer.stride[0], outputs[0]),
                (column + padding[1] - v * layer.dilation[1], layer.stride[1], outputs[1]),
            )
            hit = all(p % s == 0 and 0 <= p // s < size for p, s, size in places)
            count += hit and bool(not skip_zeros or weight[out, inside, u, v] != 0)
    return count


@st.composite
def convolutions(draw):
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 4)))
    dilation = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    stride, padding = (1, 1), draw(st.sampled_from(["same", "valid", "numbers", "numbers"]))
    if padding == "numbers":
        padding = (draw(st.integers(0, 2)), draw(st.integers(0, 2)))
        stride = (draw(st.integers(1, 3)), draw(st.integers(1, 2)))
    sizes = [
        d * (k - 1) + 1 + draw(st.integers(0, 4)) for d, k in zip(dilation, kernel, strict=True)
    ]
    channels = groups * draw(st.integers(1, 2))
    layer = nn.Conv2d(
        channels, groups * draw(st.integers(1, 2)), kernel, stride, padding, dilation, groups,
        bias=draw(st.booleans()),
    )  # fmt: skip
    return randomise(layer, draw(st.integers(0, 99))), (channels, *sizes)


@st.composite
def linears(draw):
    inputs, outputs = draw(st.integers(1, 9)), draw(st.integers(1, 5))
    layer = nn.Linear(inputs, outputs, bias=draw(st.booleans()))
    return randomise(layer, draw(st.integers(0, 99))), (inputs,)


@QUICK
@given(st.one_of(convolutions(), linears()), st.integers(0, 99), st.sampled_from([0.0, 0.3, 1.0]))
def test_synapses_count_as_neurobench_and_as_a_loop_over_spikes(case, seed, rate):
    layer, shape = case
    images = (torch.rand(2, *shape, generator=rng(seed)) < rate).float()
    network = driven_by_spikes(layer, shape)
    effective = first_synapse(network, images, skip_zeros=True)  # [T, B]
    every = first_synapse(network, images, skip_zeros=False)
    for sample, image in enumerate(images):
        assert effective[:, sample].tolist() == [one_by_one(image, layer, True)] * 2
        assert every[:, sample].tolist() == [one_by_one(image, layer, False)] * 2
    theirs, spiking = single_layer_MACs(images, layer)
    assert spiking
    assert effective.sum(1).tolist() == [theirs, theirs]
    with torch.no_grad():
        layer.weight[layer.weight == 0] = 1  # NeuroBench skips zero weights; now there are none
    assert every.sum(1).tolist() == [single_layer_MACs(images, layer)[0]] * 2


@QUICK
@given(st.one_of(convolutions(), linears()))
def test_exact_macs_are_neurobench_dense_count(case):
    layer, shape = case
    image = torch.rand(1, *shape) + 0.5  # analog and nowhere zero
    dense, spiking = single_layer_MACs(image, layer, total=True)
    assert not spiking
    assert exact_macs(layer, torch.Size(shape)) == dense
    assert (
        exact_macs(layer, torch.Size(shape), skip_zeros=True) == single_layer_MACs(image, layer)[0]
    )
    assert dense_macs(layer, layer(image).shape[1:]) >= dense


def test_worked_linear_layer():
    layer = nn.Linear(3, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.3, 0, -3.2], [0, 1.2, -5.1], [-1.1, 2.7, 0]]))
    assert fan_out(layer, torch.Size([3]), skip_zeros=True).tolist() == [2, 2, 2]
    network = driven_by_spikes(layer, (3,))
    spikes = torch.tensor([[0.0, 1.0, 1.0]])
    assert first_synapse(network, spikes, True).tolist() == [[4], [4]]  # 2 + 2 weights
    assert first_synapse(network, spikes, False).tolist() == [[6], [6]]  # 3 + 3 weights
    assert dense_macs(layer, torch.Size([3])) == 9


def test_worked_convolution():
    layer = nn.Conv2d(1, 1, 3, padding=1)
    corner, edge, inside = 4, 6, 9
    assert fan_out(layer, torch.Size([1, 4, 4])).tolist() == [
        [
            [corner, edge, edge, corner],
            [edge, inside, inside, edge],
            [edge, inside, inside, edge],
            [corner, edge, edge, corner],
        ]
    ]
    assert exact_macs(layer, torch.Size([1, 4, 4])) == 4 * corner + 8 * edge + 4 * inside == 100
    assert dense_macs(layer, torch.Size([1, 4, 4])) == 9 * 16 == 144


def test_shares_of_the_stages_leave_side_exits_out():
    stages = [nn.Linear(4, 3, bias=False), nn.Linear(3, 2, bias=False)]
    heads = [nn.Linear(3, 5), nn.Linear(2, 5, bias=False)]
    stages, heads = ([nn.Sequential(layer) for layer in layers] for layers in (stages, heads))
    network = EarlyExitNetwork(stages, heads, (4,))
    assert count_shares(network, "weights") == [12 / 28, 16 / 28]  # 12, and 6 + 10


def test_alexnet_by_formula_and_without_its_borders():
    static = static_counts(alexnet().without_exits())
    layers = ((3, 64, 32), (64, 192, 16), (192, 384, 8), (384, 256, 8), (256, 256, 8))
    linear = 4096 * 4096 * 2 + 4096 * 10
    assert sum(9 * i * o * n * n for i, o, n in layers) + linear == 200_515_584
    # in a row of n, a 3-wide kernel misses one input at either end: 3n - 2 products, not 3n
    assert sum(i * o * (3 * n - 2) ** 2 for i, o, n in layers) + linear == 176_276_224
    assert sum(part.dense_macs for part in static.values()) == 200_515_584
    assert sum(part.macs for part in static.values()) == 176_276_224
    assert sum(part.neurons for part in static.values()) == 180_234


@pytest.mark.parametrize(("build", "macs"), [(mlp, 574_080), (lenet5, 416_520)])
def test_dense_macs_of_the_small_networks(build, macs):
    static = static_counts(build().without_exits())
    assert sum(part.dense_macs for part in static.values()) == macs
    assert all(part.lif_updates == 0 for part in static.values())
    assert sum(part.weights for part in static.values()) == sum(
        part.weight_passes for part in static.values()
    )


def test_lif_updates_are_half_of_equation_9():
    network = convert(alexnet(), timesteps=4, threshold=1.0)
    updates = static_counts(network.without_exits())
    assert 2 * sum(part.lif_updates for part in updates.values()) == 180_234 * 4 * 2


def spiking(build, timesteps=3, encoding="direct", seed=0):
    """A converted network with random weights; thresholds low enough that every layer spikes."""
    torch.manual_seed(seed)  # torch's own initialisation takes no generator
    images = torch.rand(4, *build().input_shape, generator=rng(seed))
    return convert(build(), images, timesteps, threshold="percentile", percentile=90,
                   encoding=encoding), images  # fmt: skip


def counted_by_neurobench(network, images):
    """NeuroBench's counts of the same network stepped by snnTorch, and its inputs by layer."""
    model = SNNTorchModel(to_snntorch(network), custom_forward=True)
    model.register_hooks()
    with torch.no_grad():
        model(images)
    inputs = [[call[0] for call in hook.inputs] for hook in model.connection_hooks]
    metric = SynapticOperations()
    totals = metric(model, None, (images, None))
    model.cleanup_hooks()
    return {name: round(value * len(images)) for name, value in totals.items()}, inputs


def test_mlp_counts_as_the_snntorch_network_under_neurobench():
    network, images = spiking(mlp)
    network = network.without_exits()
    theirs, inputs = counted_by_neurobench(network, images)
    rows = [row for row in count_layers(network, images) if row.operation in ("ac", "mac")]
    assert sum(int(row.acs.sum()) for row in rows) == theirs["Effective_ACs"] > 0
    for row, layer_inputs, synapse in zip(
        rows[1:], inputs[1:], list(synapses(network))[1:], strict=True
    ):
        steps = [single_layer_MACs(spikes, synapse.layer)[0] for spikes in layer_inputs]
        assert row.acs.sum(1).tolist() == steps
    # They run the direct-coded first layer at every step and skip black pixels; we run it once.
    lit = int((images != 0).sum())
    assert theirs["Effective_MACs"] == network.timesteps * lit * 512
    assert [row.static.macs for row in rows] == [784 * 512, 0, 0, 0, 0]
    assert theirs["Dense"] == len(images) * network.timesteps * 574_080


def test_spike_coded_mlp_counts_as_under_neurobench():
    network, _ = spiking(mlp, encoding="rate")
    images = (torch.rand(4, 1, 28, 28, generator=rng(5)) < 0.3).float()  # coded without chance
    network = network.without_exits()
    theirs, _ = counted_by_neurobench(network, images)
    rows = count_layers(network, images)
    assert sum(int(row.acs.sum()) for row in rows) == theirs["Effective_ACs"]
    assert theirs["Effective_MACs"] == sum(row.static.macs for row in rows) == 0
    assert rows[0].name == "input"
    assert rows[0].spikes.tolist() == [images.flatten(1).sum(1).int().tolist()] * 3


def test_lenet_differs_from_neurobench_by_the_pooling_alone():
    network, images = spiking(lenet5)
    network = network.without_exits()
    _, inputs = counted_by_neurobench(network, images)
    rows = [row for row in count_layers(network, images) if row.operation in ("ac", "mac")]
    pooled_layers = 0
    for row, arriving, synapse in zip(
        rows[1:], inputs[1:], list(synapses(network))[1:], strict=True
    ):
        area = 4 if any(isinstance(layer, nn.AvgPool2d) for layer in synapse.through) else 1
        pooled_layers += area == 4
        for step, values in enumerate(arriving):
            spikes = values * area  # 0 to 4 spikes share an input
            assert torch.equal(spikes, spikes.round())
            # one plane a spike: inputs that at least 1, 2, 3, 4 spikes were pooled into
            planes = [single_layer_MACs((spikes >= n).float(), synapse.layer)[0]
                      for n in range(1, area + 1)]  # fmt: skip
            assert row.acs[step].sum() == sum(planes)
            # NeuroBench sees the pooled value as one input, and an analog one
            assert single_layer_MACs(values, synapse.layer)[0] == planes[0]
    assert pooled_layers == 2


@QUICK
@given(
    st.sampled_from(
        [(2, None, 0, False), (3, 2, 1, False), (2, None, 0, True), ((1, 2), 1, 0, False)]
    ),
    st.integers(4, 7),
    st.integers(0, 99),
)
def test_a_pooled_spike_meets_the_weights_it_is_pooled_into(window, size, seed):
    """Whatever the pooling: fold it and the synapse into one linear map and count its ones."""
    kernel, stride, padding, ceil = window
    pool = nn.AvgPool2d(kernel, stride, padding, ceil, divisor_override=1)
    conv = nn.Conv2d(2, 3, 2, bias=False)
    shape = (2, size, size + 1)
    network = EarlyExitNetwork(
        [nn.Sequential(nn.AvgPool2d(kernel, stride, padding, ceil), conv, LIF(1.0, 2))],
        [nn.Sequential(nn.Flatten(), nn.LazyLinear(2))],
        shape,
    )
    network.encoder, network.timesteps = Rate(2), 2
    images = (torch.rand(3, *shape, generator=rng(seed)) < 0.5).float()
    network(images)
    ones = nn.Conv2d(2, 3, 2, bias=False)
    with torch.no_grad():
        ones.weight.fill_(1)
        expected = ones(pool(images)).flatten(1).sum(1)  # [B], every spike through every path
    rows = {row.name: row for row in count_layers(network, images)}
    assert rows["stage0.1"].acs.tolist() == [expected.int().tolist()] * 2


def test_int8_counts_are_those_of_a_float_twin_with_the_dequantised_weights():
    network, images = spiking(lenet5, timesteps=2)
    prepared = quantize_aware(network)
    calibrate(prepared, images)
    int8 = to_int8(prepared)
    arrived = {}
    hooks = [
        synapse.layer.register_forward_pre_hook(
            lambda layer, inputs: arrived.__setitem__(layer, inputs[0].clone())
        )
        for synapse in synapses(int8)
    ]
    rows = count_layers(int8, images, skip_zeros=True)
    rows = [row for row in rows if row.operation in ("ac", "mac")]
    for hook in hooks:
        hook.remove()
    zeros = 0
    for row, synapse in zip(rows, synapses(int8), strict=True):
        inner, weight = synapse.layer.synapse, weights_of(synapse.layer)
        zeros += int((weight == 0).sum())
        assert weight_shape(synapse.layer) == weight.shape
        if weight.ndim == 4:
            twin = nn.Conv2d(weight.shape[1], weight.shape[0], inner.kernel_size, inner.stride,
                             inner.padding)  # fmt: skip
        else:
            twin = nn.Linear(weight.shape[1], weight.shape[0])
        twin.weight.data = weight
        values = arrived[synapse.layer]
        if not synapse.spiking:
            every = torch.ones(1, *values.shape[1:])
            assert row.static.macs == single_layer_MACs(every, twin)[0]
            continue
        area = 1
        for layer in synapse.through:
            if isinstance(layer, nn.AvgPool2d):
                area *= layer.kernel_size[0] if isinstance(layer.kernel_size, tuple) else 2
                area *= layer.kernel_size[1] if isinstance(layer.kernel_size, tuple) else 2
        spikes = values * area
        planes = (single_layer_MACs((spikes >= n).float(), twin)[0] for n in range(1, area + 1))
        assert row.acs.sum() == sum(planes)
    assert zeros > 0  # rounding to 8 bits made some weights exactly zero


def test_the_static_network_lacks_exactly_the_side_heads():
    network, images = spiking(lenet5)
    rows = count_layers(network, images)
    plain = count_layers(network.without_exits(), images)
    side = [row for row in rows if row.part in (("head", 0), ("head", 1))]
    for name in ("acs", "spikes"):
        whole, without, heads = (
            sum(getattr(row, name) for row in group) for group in (rows, plain, side)
        )
        assert torch.equal(whole, without + heads)
        assert heads.min() > 0
    for name in vars(rows[0].static):
        whole, without, heads = (
            sum(getattr(row.static, name) for row in group) for group in (rows, plain, side)
        )
        assert whole == without + heads


def test_integers_stay_exact_beyond_float32():
    layer = nn.Conv2d(8, 7, 5, padding=2)
    images = torch.ones(1, 8, 64, 64)
    images[0, 0, 0, 0] = 0  # a corner: 3 x 3 x 7 weights
    every = 8 * 7 * (5 * 64 - 6) ** 2 - 3 * 3 * 7
    with torch.no_grad(), SpikeCounter(driven_by_spikes(layer, (8, 64, 64), 5)) as counter:
        counter.network(images)
        acs, _ = counter.take(1)
    total = 5 * every
    assert float(torch.tensor(float(total), dtype=torch.float32)) != total
    assert acs[0].tolist() == [total]


def test_analog_inputs_that_change_every_step_cost_macs_every_step():
    network = EarlyExitNetwork(
        [nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 6), LIF(1.0, 3))],
        [nn.Sequential(nn.Linear(6, 2))],
        (4,),
    )
    network.encoder, network.timesteps = Rate(3), 3
    ac, mac, _, head = count_layers(network, torch.ones(1, 4))[1:]
    assert (ac.operation, mac.operation, head.operation) == ("ac", "mac", "ac")
    assert mac.static.macs == 3 * 5 * 6  # nothing spikes between the two layers
    assert ac.acs.tolist() == [[20], [20], [20]]


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x):
        return x + self.inner(x)


def with_layers(*layers):
    network = EarlyExitNetwork([nn.Sequential(*layers)], [nn.Sequential(nn.Flatten())], (2, 4, 4))
    network.encoder, network.timesteps = Rate(2), 2
    return network


SHARED = nn.Conv2d(2, 2, 1)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([Residual(), LIF(1.0, 2)], r"stage0\.0 \(Residual\)"),
        ([nn.ConvTranspose2d(2, 2, 2), LIF(1.0, 2)], "ConvTranspose2d"),
        ([SHARED, LIF(1.0, 2), SHARED], "two places"),
        ([nn.MaxPool2d(2), SHARED, LIF(1.0, 2)], r"MaxPool2d\) stands between spikes"),
        ([nn.BatchNorm2d(2), SHARED, LIF(1.0, 2)], "BatchNorm2d"),
        ([nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), LIF(1.0, 2)], "reflect"),
    ],
)
def test_what_cannot_be_counted_is_refused_by_name(layers, message):
    with pytest.raises(ValueError, match=message):
        static_counts(with_layers(*layers))


def test_the_counter_lets_go_and_says_when_nothing_ran():
    network = driven_by_spikes(nn.Linear(3, 2), (3,))
    counter = SpikeCounter(network)
    with pytest.raises(ZeroDivisionError), counter:
        raise ZeroDivisionError
    network(torch.ones(1, 3))
    with pytest.raises(RuntimeError, match="nothing was counted"):
        counter.take(1)


def test_counting_leaves_a_random_encoder_alone():
    network, images = spiking(mlp, encoding="rate")
    network.encoder.generator.manual_seed(3)
    expected = network.encoder(images)
    network.encoder.generator.manual_seed(3)
    SpikeCounter(network)
    assert torch.equal(network.encoder(images), expected)


def test_macs_to_exits_by_hand():
    def linear(*shape):
        return nn.Sequential(nn.Linear(*shape))

    heads = [linear(3, 2), linear(5, 2)]
    network = EarlyExitNetwork([linear(4, 3), linear(3, 5)], heads, (4,))
    assert macs_to_exits(network) == [4 * 3 + 3 * 2, 4 * 3 + 3 * 2 + 3 * 5 + 5 * 2]
    assert macs_to_exits(network.without_exits()) == [4 * 3 + 3 * 5 + 5 * 2]
