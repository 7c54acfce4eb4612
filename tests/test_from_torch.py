"""Models of torchvision, and odd ones, taken apart: same answers, exits where they should be."""

import warnings

import numpy as np
import pytest
import torch
from small import pictures
from torch import nn
from torch.nn import functional
from torchvision import models

from sparq_utils import reference
from sparq_utils.data import Images
from sparq_utils.networks.activations import ClipFloorShift
from sparq_utils.networks.conversion import convert, fold_batch_norm
from sparq_utils.networks.counting import static_counts, synapses
from sparq_utils.networks.early_exit import EarlyExitNetwork, layers_of
from sparq_utils.networks.int8 import export_int8, load_int8, save_int8
from sparq_utils.networks.normalization import Frame, Normalize
from sparq_utils.networks.quantization import calibrate, quantize_aware, to_int8
from sparq_utils.networks.recipe import Recipe
from sparq_utils.networks.recording import record
from sparq_utils.networks.residual import Residual
from sparq_utils.networks.training import train

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def photographs(count, size=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, size, size, generator=generator)


def seen(model, size=32):
    """A model whose batch norms have seen data."""
    with torch.no_grad():
        for seed in range(3):
            model.train()(photographs(8, size, seed))
    return model.eval()


def small_resnet(classes=10):
    """torchvision's residual network with few layers, its stem as it is but for the pooling."""
    torch.manual_seed(0)
    model = models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=classes)
    model.maxpool = nn.Identity()
    return seen(model)


def built(name, **how):
    torch.manual_seed(0)
    return seen(getattr(models, name)(num_classes=10, **how), 64)


@torch.no_grad()
def last_exit(network, images):
    return network.eval()(images)[-1]


def taken(model, cut_at, size, **how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return EarlyExitNetwork.from_torch(model, cut_at, (3, size, size), **how)


@pytest.mark.parametrize(
    ("name", "cut_at"),
    [("resnet18", ["layer1", "layer3"]), ("mobilenet_v2", ["features.3", "features.13"])],
)
@torch.no_grad()
def test_torchvisions_networks_answer_as_they_did_and_count(name, cut_at):
    model, images = built(name), photographs(2, 64)
    if name == "resnet18":
        model.maxpool = nn.AvgPool2d(2)
    network = taken(model, cut_at, 64)
    assert network.exits == 3 and network.name == model.__class__.__name__.lower()
    torch.testing.assert_close(last_exit(network, images), model(images), rtol=1e-4, atol=1e-4)
    folded = fold_batch_norm(network.without_exits())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    torch.testing.assert_close(last_exit(folded, images), model(images), rtol=1e-3, atol=1e-3)
    spiking = convert(network, images, 2, threshold="percentile")
    assert spiking(images).shape == (3, 2, 10)
    trace = record(spiking, photos(4, 64), "snn")
    assert trace.exits == 3 and trace.count("acs").min() > 0
    dense = sum(part.dense_macs for part in static_counts(network.without_exits()).values())
    assert dense == by_hooks(model, images)
    # a linear bottleneck hands on sums that are no spikes: they cost MACs at every step
    analog = [one for one in synapses(spiking.without_exits()) if not one.spiking]
    assert (len(analog) > 1) == (name == "mobilenet_v2")


def by_hooks(model, images):
    """Multiplications of one image, padding counted, from what every layer of a model gave."""
    total = []

    def note(layer, _, out):
        places = out[0, 0].numel() if out.ndim == 4 else 1
        total.append(layer.weight.numel() * places)

    layers = [layer for layer in model.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    model(images)
    for hook in hooks:
        hook.remove()
    return sum(total)


def photos(count, size=32):
    pixels = (photographs(count, size, 5) * 255).to(torch.uint8)
    labels = torch.arange(count) % 10
    return Images(pixels, labels, "noise", "test", "synthetic")


@torch.no_grad()
def test_vgg_is_taken_with_average_pooling_and_a_warning():
    torch.manual_seed(0)
    model = models.vgg11_bn(num_classes=10, init_weights=False)
    model.classifier = nn.Sequential(nn.Linear(512 * 49, 8), nn.ReLU(), nn.Dropout(),
                                     nn.Linear(8, 10))  # fmt: skip
    with pytest.raises(ValueError, match=r"features\.3 \(MaxPool2d\): a maximum of spikes"):
        EarlyExitNetwork.from_torch(model, ["features.7"], (3, 32, 32))
    with pytest.warns(UserWarning, match=r"features\.3 \(MaxPool2d\), .*train it again"):
        network = EarlyExitNetwork.from_torch(
            model, ["features.7", "features.14"], (3, 32, 32), max_pool="average"
        )
    assert network(photographs(2)).shape == (3, 2, 10)
    with pytest.raises(ValueError, match=r"adaptive pooling from .*choose a divisor"):
        convert(network, threshold=1.0)  # 1 x 1 features pooled "down" to 7 x 7


def test_an_exit_comes_where_it_was_asked_for():
    network = taken(small_resnet(7), ["relu", "layer2.0", "layer3"], 32)
    assert [type(layer).__name__ for layer in network.stages[0]] == [
        "Conv2d",
        "BatchNorm2d",
        "ReLU",
    ]
    blocks = [sum(isinstance(m, Residual) for m in stage.modules()) for stage in network.stages]
    assert blocks == [0, 2, 1, 1]
    assert [head[-1].out_features for head in network.heads] == [7] * 4
    own = taken(small_resnet(), ["layer1"], 32, head=lambda shape, classes: nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(shape[0], classes)))  # fmt: skip
    assert len(own.heads[0]) == 3


def test_the_model_is_left_as_it_was():
    model = small_resnet().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    network = taken(model, ["layer1"], 32, activation=lambda: ClipFloorShift(4))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert isinstance(model.relu, nn.ReLU)


def test_it_trains_and_goes_all_the_way_to_eight_bits(tmp_path):
    network = taken(small_resnet(), ["layer1", "layer2"], 32,
                    activation=lambda: ClipFloorShift(4), mean=MEAN, std=STD)  # fmt: skip
    train(network, photos(16), photos(8), Recipe(1, 8, mixup_alpha=0.0), progress=False)
    prepared = quantize_aware(convert(network, timesteps=2))
    calibrate(prepared, photographs(8))
    network, images = to_int8(prepared), photographs(4)
    save_int8(network, tmp_path / "resnet.safetensors")
    again = load_int8(tmp_path / "resnet.safetensors")
    with torch.no_grad():
        answers = network(images)
        assert torch.equal(again(images), answers)
    theirs = reference.run(reference.read(tmp_path / "resnet.safetensors"), images.numpy())
    np.testing.assert_allclose(theirs.logits, answers.numpy(), atol=1e-5)
    trace = record(again, photos(4), "qdsnn")
    theirs = reference.run(export(again), photos(4).floats().numpy())
    for kind, count in theirs.counts.items():
        np.testing.assert_array_equal(count, np.broadcast_to(trace.count(kind), count.shape))


def test_groups_and_relu6_go_all_the_way_to_eight_bits():
    torch.manual_seed(0)
    setting = [[1, 4, 1, 1], [2, 8, 2, 2], [2, 16, 1, 2]]
    model = seen(models.MobileNetV2(10, 0.25, setting))
    network = taken(model, ["features.1", "features.3"], 32)
    prepared = quantize_aware(convert(network, photographs(8), 2, threshold="percentile"))
    calibrate(prepared, photographs(8))
    int8, images = to_int8(prepared), photos(6)
    theirs = reference.run(export(int8), images.floats().numpy())
    with torch.no_grad():
        np.testing.assert_allclose(theirs.logits, int8(images.floats()).numpy(), atol=1e-5)
    trace = record(int8, images, "qdsnn")
    for kind, count in theirs.counts.items():
        np.testing.assert_array_equal(count, np.broadcast_to(trace.count(kind), count.shape))


def export(network):
    """A network's description with arrays in place of tensors."""
    found = export_int8(network)
    for layer in found["layers"]:
        layer |= {key: layer[key].numpy() for key in ("weight", "bias") if key in layer}
    return found


@torch.no_grad()
@pytest.mark.parametrize("padding", [0, 1, (2, 1)])
@pytest.mark.parametrize("groups", [1, 3])
def test_the_first_convolution_takes_a_normalisation_over(padding, groups):
    conv = nn.Conv2d(3, 6, 3, padding=padding, groups=groups, bias=padding == 1)
    stage = nn.Sequential(Normalize(MEAN, STD), conv, nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2))
    network = EarlyExitNetwork([stage], [head], (3, 8, 8)).double()
    folded, images = fold_batch_norm(network), photographs(4, 8).double()
    assert not any(isinstance(m, Normalize) for m in folded.modules())
    assert any(isinstance(m, Frame) for m in folded.modules()) == (padding != 0)
    torch.testing.assert_close(folded(images), network(images), rtol=1e-7, atol=1e-7)


@torch.no_grad()
def test_the_first_linear_layer_takes_a_normalisation_over():
    stage = nn.Sequential(Normalize([0.2], [0.5]), nn.Flatten(), nn.Linear(64, 5), nn.ReLU())
    network = EarlyExitNetwork([stage], [nn.Sequential(nn.Linear(5, 2))], (1, 8, 8)).double()
    images = pictures(4, dtype=torch.float64)
    torch.testing.assert_close(fold_batch_norm(network)(images), network(images))
    coded = convert(network, images, 3, threshold="percentile", encoding="rate")
    assert coded(images).shape == (1, 4, 2)  # no border: spike trains can carry it


def test_a_border_of_the_mean_is_no_spike():
    network = taken(small_resnet(), ["layer1"], 32, mean=MEAN, std=STD)
    with pytest.raises(ValueError, match="border of its mean, which is no spike"):
        convert(network, threshold=1.0, encoding="rate")


def test_a_normalisation_that_nothing_takes_over_is_refused():
    stage = nn.Sequential(Normalize(MEAN, STD), nn.AvgPool2d(2), nn.Conv2d(3, 2, 1), nn.ReLU())
    head = nn.Sequential(nn.Flatten(), nn.Linear(32, 2))
    network = EarlyExitNetwork([stage], [head], (3, 8, 8))
    with pytest.raises(ValueError, match=r"Normalize, AvgPool2d, Conv2d, .*stands first"):
        fold_batch_norm(network)
    with pytest.raises(ValueError, match="one of each for every channel"):
        Normalize(MEAN, (1.0, 0.0, 1.0))


class Odd(nn.Module):
    """A small model around a function of its layers and an image."""

    def __init__(self, body):
        super().__init__()
        self.conv, self.other = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.act, self.fc, self.body = nn.GELU(), nn.Linear(3, 4), body

    def forward(self, x):
        return self.body(self, x)


def ending(m, x):
    return m.fc(functional.adaptive_avg_pool2d(x, 1).flatten(1))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (lambda m, x: ending(m, m.act(m.conv(x))), r"act \(GELU\) has no spiking counterpart"),
        (lambda m, x: ending(m, torch.sigmoid(m.conv(x))), "sigmoid in Odd has no spiking"),
        (lambda m, x: ending(m, torch.cat([m.conv(x), x])), "cat in Odd"),
        (lambda m, x: ending(m, m.conv(m.conv(x))), "conv .Conv2d. stands in two places"),
        (lambda m, x: ending(m, m.conv(x) * m.other(x)), "mul in Odd"),
        (lambda m, x: ending(m, m.conv(x) + 1), "adds something else than two features"),
        (lambda m, x: ending(m, m.conv(x)) if x.sum() > 0 else x, "cannot be traced"),
        (lambda m, x: m.conv(x), r"ends in Conv2d|last layers left out"),
        (lambda m, x: (m.conv(x), x), "must take one tensor and give one"),
    ],
)
def test_what_cannot_be_taken_apart_is_refused_by_name(body, told):
    with pytest.raises(ValueError, match=told):
        EarlyExitNetwork.from_torch(Odd(body), ["conv"], (3, 8, 8))


@torch.no_grad()
def test_functions_and_methods_are_layers_too():
    def body(m, x):
        x = functional.relu(m.conv(x))
        x = functional.avg_pool2d((m.other(x) + x).relu(), 2)
        x = functional.adaptive_avg_pool2d(x, 1).view(x.size(0), -1)
        return m.fc(functional.dropout(x, 0.2, m.training))

    model, images = Odd(body).eval(), photographs(3, 8)
    network = taken(model, ["conv"], 8)
    assert [type(layer).__name__ for layer in layers_of(network.stages[1])] == [
        *("ReLU", "Conv2d", "IdentitySynapse", "ReLU", "AvgPool2d", "AdaptiveAvgPool2d"),
        *("Flatten", "Dropout"),
    ]
    torch.testing.assert_close(last_exit(network, images), model(images))


@pytest.mark.parametrize(
    ("cut_at", "size", "told"),
    [
        (["layer9"], 32, "names 'layer9', which is no layer on the way; there are conv1, bn1"),
        (["layer1.0.conv1"], 32, "ends amid a residual block"),
        (["layer2", "layer1"], 32, "in the order of evaluation"),
        (["fc"], 32, "the last layers left out"),
        (["layer1"], 0, "takes no images"),
    ],
)
def test_impossible_cuts_and_images_are_refused(cut_at, size, told):
    with pytest.raises(ValueError, match=told):
        EarlyExitNetwork.from_torch(small_resnet(), cut_at, (3, size, size))


def test_relu6_fires_below_its_ceiling():
    stage = nn.Sequential(nn.Linear(2, 2), nn.ReLU6())
    network = EarlyExitNetwork([stage], [nn.Sequential(nn.Linear(2, 2))], (2,))
    with torch.no_grad():
        stage[0].weight.copy_(torch.eye(2) * 100)
    converted = convert(network, torch.ones(4, 2), 4, threshold="percentile")
    assert converted.stages[0][1].threshold == 6.0
