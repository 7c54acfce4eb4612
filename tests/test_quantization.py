import functools
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from small import patterns, pictures, tiny
from torch import nn
from torch.ao import quantization as ao
from torch.ao.nn import quantized as nnq

from sparq_utils.networks.conversion import ClipFloorShift, convert, fold_batch_norm
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.int8 import export_int8, load_int8, save_int8
from sparq_utils.networks.quantization import (
    QuantizedSynapse,
    calibrate,
    quantize_aware,
    size_bytes,
    to_int8,
)
from sparq_utils.networks.recipe import Recipe
from sparq_utils.networks.scoring import accuracy
from sparq_utils.networks.spiking import LIF
from sparq_utils.networks.training import train

CODINGS = ["direct", "rate", "latency"]


def synapses(network):
    return [m for m in network.modules() if isinstance(m, QuantizedSynapse)]


def prepared(encoding="direct", timesteps=4, seed=0):
    """A calibrated fake-quantised spiking network; a fresh one each time."""
    network = tiny(lambda: ClipFloorShift(4), seed=seed)
    found = quantize_aware(convert(network, timesteps=timesteps, encoding=encoding))
    calibrate(found, pictures(100))
    return found


@functools.cache
def trained():
    """A spiking network fine-tuned with fake quantisation, as `experiments` does it."""
    network = tiny(lambda: ClipFloorShift(4))
    short = Recipe(6, batch_size=32, learning_rate=0.02, mixup_alpha=0.0)
    data = patterns(320), patterns(20, 1)
    train(network, *data, short, progress=False)
    found = quantize_aware(convert(network, timesteps=4))
    train(found, *data, Recipe(2, 32, 2e-3, mixup_alpha=0.0), progress=False)
    return found


def test_int8_is_as_accurate_as_fake_quantisation():
    images = patterns(1000, 7, "test")
    fake, real = accuracy(trained(), images), accuracy(to_int8(trained()), images)
    assert fake[-1] > 0.8
    # 0.2 points, on 1,000 images two of them
    assert all(abs(a - b) <= 0.002 + 1e-9 for a, b in zip(fake, real, strict=True))


@pytest.mark.parametrize("encoding", CODINGS)
def test_int8_currents_are_fake_quantised_ones_but_for_a_few_steps(encoding):
    """Each synapse, given the same inputs: a last bit at a rounding edge is one step of the grid.

    FBGEMM also rounds the bias to the accumulator's grid, which fake quantisation does not.
    """
    first, seen = prepared(encoding).eval(), {}
    for region in synapses(first):
        region.register_forward_hook(lambda m, inputs, out: seen.update({m: (inputs[0], out)}))
    real = to_int8(first)
    with torch.no_grad():
        first(pictures(100, 3))
        for fake, region in zip(synapses(first), synapses(real), strict=True):
            inputs, expected = seen[fake]
            steps = (region(inputs) - expected).abs() / region.synapse.scale
            assert float(steps.max()) < 1.01
            assert float((steps > 0.01).float().mean()) < 0.05


def test_an_evaluation_leaves_the_network_as_it_was():
    network = prepared().train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    accuracy(network, patterns(30))
    after = network.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    network(pictures(30) * 3)  # training does move the ranges
    assert not all(torch.equal(after[key], value) for key, value in before.items())


def test_it_runs_on_integers():
    real = to_int8(prepared())
    stages, head = [nnq.Conv2d, nnq.Conv2d, nnq.Linear], [nnq.Conv2d, nnq.Linear, nnq.Linear]
    kinds = [type(s.synapse) for s in synapses(real)]
    assert kinds == [*stages, *head, *head, nnq.Linear]
    assert all(s.synapse.weight().dtype == torch.qint8 for s in synapses(real))
    assert not any(isinstance(m, (nn.Conv2d, nn.Linear)) for m in real.modules())
    assert torch.backends.quantized.engine == "fbgemm"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_the_observers_are_minmax_per_tensor_of_eight_bits():
    found = synapses(prepared())
    for region in found:
        weight = region.synapse.weight_fake_quant
        current = region.synapse.activation_post_process
        for fake, low, high in [(weight, -127, 127), (current, 0, 255)]:
            assert type(fake.activation_post_process) is ao.MinMaxObserver
            assert fake.qscheme in (torch.per_tensor_symmetric, torch.per_tensor_affine)
            assert fake.scale.numel() == 1  # one for the whole tensor
            assert (fake.quant_min, fake.quant_max) == (low, high)
        # what MinMax means: the grid ends at the largest weight seen
        largest = float(region.synapse.weight.detach().abs().max())
        assert float(weight.scale) == pytest.approx(largest / 127, rel=0.01)
    # the library's default is another: a moving average, and a scale for each channel
    default = ao.get_default_qat_qconfig("fbgemm")
    assert type(default.activation().activation_post_process) is not ao.MinMaxObserver
    assert default.weight().is_per_channel


def test_the_weights_grid_is_symmetric_and_rounds_to_the_nearest():
    found = prepared()
    region, real = synapses(found)[0], synapses(to_int8(found))[0]
    weight, scale = region.synapse.weight.detach(), real.synapse.weight().q_scale()
    assert real.synapse.weight().q_zero_point() == 0
    expected = (weight / scale).round().clamp(-127, 127)
    assert torch.equal(real.synapse.weight().int_repr().float(), expected)
    assert int(real.synapse.weight().int_repr().abs().max()) == 127


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@settings(max_examples=15, deadline=None)
@given(levels=st.integers(1, 255), seed=st.integers(0, 99))
def test_spikes_lie_on_the_grid_exactly(levels, seed):
    """Means of `levels` spikes pass the input quantiser unchanged, but for float32's last bit."""
    region = QuantizedSynapse(nn.Linear(40, 3), levels)
    network = EarlyExitNetwork([nn.Sequential(region)], [nn.Sequential()], (40,))
    ao.prepare_qat(network.train(), inplace=True)
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, levels + 1, (6, 40), generator=generator)
    torch.testing.assert_close(region.quant(counts / levels), counts / levels, rtol=1e-6, atol=0)
    real = ao.convert(network.eval()).stages[0][0]
    assert torch.equal(real.quant(counts / levels).int_repr().long(), counts)  # whole numbers


@pytest.mark.parametrize("encoding", CODINGS)
def test_every_spiking_input_has_the_grid_of_its_pooling(encoding):
    network = prepared(encoding)
    scales = [round(1 / float(s.quant.activation_post_process.scale), 6) for s in synapses(network)]
    first, *others = scales
    # after the image: spikes, alone or 4 to an average; stages first, then the layers of heads
    assert others == [4, 1, 4, 4, 1, 1, 4, 1, 1]
    if encoding == "direct":
        kind = synapses(network)[0].quant.activation_post_process.activation_post_process
        assert type(kind) is ao.MinMaxObserver
    else:
        assert first == 1


def test_inputs_of_a_network_in_use_pass_their_quantisers_unchanged():
    network, wrong = prepared().eval(), []

    def compare(_quant, inputs, output):
        wrong.append(not torch.equal(inputs[0], output))

    for region in synapses(network)[1:]:
        region.quant.register_forward_hook(compare)
    with torch.no_grad():
        network(pictures(20))
    assert len(wrong) >= 9 and not any(wrong)


def test_more_spikes_than_eight_bits_hold_are_observed():
    stage = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.AvgPool2d(16))
    head = nn.Sequential(nn.Flatten(), nn.Linear(2, 10))
    network = EarlyExitNetwork([stage], [head], (1, 16, 16))
    images = pictures(30, size=16)
    found = quantize_aware(convert(network, images, timesteps=2))
    calibrate(found, images)
    observed = synapses(found)[1].quant.activation_post_process
    assert type(observed.activation_post_process) is ao.MinMaxObserver
    with torch.no_grad():
        difference = to_int8(found)(images) - found.eval()(images)
    assert float(difference.abs().max()) < 0.02


def test_gradients_reach_every_weight():
    network = prepared().train()
    network(pictures(32)).square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    assert all(float(p.grad.abs().sum()) > 0 for p in network.parameters())


def test_the_original_is_left_as_it_was():
    spiking = convert(tiny(), pictures(20), timesteps=2)
    kinds = [type(m) for m in spiking.modules()]
    before = [p.clone() for p in spiking.parameters()]
    found = quantize_aware(spiking)
    calibrate(found, pictures(20))
    fake_kinds = [type(m) for m in found.modules()]
    to_int8(found)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.zero_()
    assert [type(m) for m in spiking.modules()] == kinds
    assert [type(m) for m in found.modules()] == fake_kinds
    assert all(torch.equal(a, b) for a, b in zip(before, spiking.parameters(), strict=True))


def test_a_plain_network_is_quantised_whole():
    spiking = convert(tiny(), pictures(20), timesteps=2)
    found = quantize_aware(spiking.without_exits())
    assert len(synapses(found)) == 4
    plain = to_int8(prepared()).without_exits()
    assert torch.equal(plain(pictures(5))[0], to_int8(prepared())(pictures(5))[-1])


def test_an_ann_can_be_quantised_too():
    folded = fold_batch_norm(tiny())
    found = quantize_aware(folded)
    calibrate(found, pictures(200))
    with torch.no_grad():
        real = to_int8(found)(pictures(50, 1))
        assert float((real - folded(pictures(50, 1))).abs().max()) < 0.1


def test_batch_norm_has_to_be_folded_first():
    with pytest.raises(ValueError, match="fold batch norm first"):
        quantize_aware(tiny())


@pytest.mark.parametrize("encoding", CODINGS)
def test_a_saved_network_comes_back_to_the_last_bit(tmp_path, encoding):
    real, path = to_int8(prepared(encoding)), tmp_path / "nets" / "tiny.safetensors"
    save_int8(real, path)
    loaded = load_int8(path)
    if encoding == "rate":  # the one that was calibrated has drawn already
        real.encoder.generator.manual_seed(0)
    assert torch.equal(loaded(pictures(9)), real(pictures(9)))
    assert (loaded.name, loaded.timesteps, loaded.input_shape) == ("tiny", 4, (1, 8, 8))
    assert type(loaded.encoder) is type(real.encoder)
    assert size_bytes(loaded) == size_bytes(real)
    assert [p.name for p in path.parent.iterdir()] == ["tiny.safetensors"]
    again = tmp_path / "again.safetensors"
    save_int8(loaded, again)
    first, second = load_file(path), load_file(again)
    assert all(torch.equal(first[key], second[key]) for key in first | second)


def test_saving_is_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "tiny.safetensors"
    save_int8(to_int8(prepared()), path)
    kept = path.read_bytes()

    def dying(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", dying)
    with pytest.raises(KeyboardInterrupt):
        save_int8(to_int8(prepared(seed=1)), path)
    assert path.read_bytes() == kept and list(tmp_path.iterdir()) == [path]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("int8") / "tiny.safetensors"
    save_int8(to_int8(prepared()), path)
    return path.read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_cut_off_file_is_refused(tmp_path, saved, share):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(saved[: int(len(saved) * share)])
    with pytest.raises(ValueError, match=r"cut\.safetensors is no INT8 network"):
        load_int8(path)


def rewrite(path, saved, change):
    """The saved file with a changed description."""
    path.write_bytes(saved)
    tensors = load_file(path)
    length = int.from_bytes(saved[:8], "little")
    described = json.loads(json.loads(saved[8 : 8 + length])["__metadata__"]["network"])
    change(described, tensors)
    save_file(tensors, path, metadata={"network": json.dumps(described)})


@pytest.mark.parametrize(
    "change",
    [
        lambda d, t: d.pop("layers"),
        lambda d, t: d.update(timesteps=0),
        lambda d, t: d.update(encoding="morse"),
        lambda d, t: d["layers"][1].update(beta=3.0),
        lambda d, t: d["layers"][0].update(weight_scale="wide"),
        lambda d, t: d["layers"].pop(-1) and d["layers"].clear(),
        lambda d, t: t.pop("0.weight"),
        lambda d, t: t.update({"0.weight": torch.zeros(3)}),
        lambda d, t: t.update({"0.weight": t["0.weight"].float()}),
        lambda d, t: t.update({"0.bias": t["0.bias"][:1]}),
    ],
)
def test_an_impossible_description_is_refused(tmp_path, saved, change):
    path = tmp_path / "odd.safetensors"
    rewrite(path, saved, change)
    with pytest.raises(ValueError, match=r"odd\.safetensors is no INT8 network"):
        load_int8(path)


def test_a_foreign_file_is_refused(tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="is no INT8 network of this package"):
        load_int8(path)
    path.write_text("a letter")
    with pytest.raises(ValueError, match="is no INT8 network of this package"):
        load_int8(path)


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no INT8 network at .*sparq_utils run"):
        load_int8(tmp_path / "none.safetensors")


def test_only_int8_networks_are_exported():
    with pytest.raises(ValueError, match=r"a Conv2d is no layer of an INT8 network: use to_int8"):
        export_int8(convert(tiny(), threshold=1.0))
    with pytest.raises(ValueError, match="a QuantizedSynapse is no layer of an INT8 network"):
        export_int8(prepared())


def test_neurons_of_another_kind_are_not_saved_as_ours(tmp_path):
    class ResetToZero(LIF):
        """Neurons that no file of ours can describe."""

    network = to_int8(prepared())
    network.stages[0][1].__class__ = ResetToZero
    with pytest.raises(ValueError, match="a ResetToZero is no layer of an INT8 network"):
        save_int8(network, tmp_path / "tiny.safetensors")
    assert not list(tmp_path.iterdir())


def test_the_export_is_all_that_the_arithmetic_needs():
    """Recomputed in whole numbers from the exported description: the spikes of the first layer."""
    real = to_int8(prepared())
    first, lif = export_int8(real)["layers"][:2]
    image = pictures(1)
    grid = (image / first["input_scale"]).round() + first["input_zero_point"]  # 0..255
    levels = grid.clamp(0, 255) - first["input_zero_point"]
    sums = torch.nn.functional.conv2d(
        levels.double(), first["weight"].double(), padding=first["padding"]
    )  # whole numbers
    scale = first["input_scale"] * first["weight_scale"]
    bias = (first["bias"].double() / scale).round().view(-1, 1, 1)
    current = ((sums + bias) * scale / first["output_scale"]).round() + first["output_zero_point"]
    current = (current.clamp(0, 255) - first["output_zero_point"]) * first["output_scale"]
    expected = synapses(real)[0](image)
    off = (current - expected).abs() / first["output_scale"]
    assert float(off.max()) < 1.01 and float((off > 0.01).double().mean()) < 0.02
    layer = next(m for m in real.modules() if isinstance(m, LIF))
    assert (lif["threshold"], lif["beta"], lif["start"]) == (layer.threshold, 1.0, 0.5)


def test_bytes_of_a_network():
    spiking = convert(tiny(), pictures(10), timesteps=2)
    weights = sum(p.numel() for p in spiking.parameters() if p.ndim > 1)
    biases = sum(p.numel() for p in spiking.parameters() if p.ndim == 1)
    assert size_bytes(spiking) == 4 * (weights + biases)
    assert size_bytes(to_int8(prepared())) == weights + 4 * biases
