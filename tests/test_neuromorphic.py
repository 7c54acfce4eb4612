"""NIR graphs, read back by snnTorch, and by NIR's own equations in NumPy."""

import json

import nir
import numpy as np
import pytest
import torch
from small import pictures, tiny
from snntorch.import_nir import import_from_nir
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d

from sparq_utils.deploy.neuromorphic import DT, to_nir
from sparq_utils.networks.conversion import convert
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.quantization import calibrate, quantize_aware, to_int8
from sparq_utils.networks.residual import Residual
from sparq_utils.traces.optimum import BIN_EDGES
from sparq_utils.traces.policies import LastExit, Table, Thresholds

IMAGES = pictures(8, seed=3)


def spiking(network=None, beta=0.9, timesteps=6, **how):
    how = {"reset": "zero", "start": 0.0} | how
    return convert(network or tiny(), pictures(40), timesteps, beta, **how)


def residual():
    """A block whose shortcut hands on what arrives, in the only stage."""
    torch.manual_seed(0)
    block = Residual(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1)), nn.Sequential())
    stage = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), block, nn.ReLU())
    head = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(16, 5))
    return EarlyExitNetwork([stage], [head], (1, 8, 8), "residual").eval()


class Equations:
    """A graph run as NIR's documentation has it: Euler steps of DT, spikes strictly above."""

    def __init__(self, path):
        self.graph, self.potential = nir.read(path), {}

    def __call__(self, x):
        """One step: what arrives [B, ...] to what comes out [B, ...]."""
        signals = {"input": x}

        def signal(name):
            if name not in signals:
                into = [signal(first) for first, second in self.graph.edges if second == name]
                signals[name] = self.node(name, self.graph.nodes[name], sum(into))
            return signals[name]

        return signal("output")

    def node(self, name, node, x):
        if isinstance(node, nir.Output):
            return x
        if isinstance(node, nir.Affine):
            return x @ torch.tensor(node.weight).T + torch.tensor(node.bias)
        if isinstance(node, nir.Conv2d):
            how = (node.stride, node.padding, node.dilation)
            how = (tuple(int(n) for n in pair) for pair in how)
            return conv2d(x, torch.tensor(node.weight), torch.tensor(node.bias), *how)
        if isinstance(node, nir.AvgPool2d):
            return avg_pool2d(x, tuple(node.kernel_size.tolist()), tuple(node.stride.tolist()))
        if isinstance(node, nir.Flatten):
            return x.flatten(1)
        if isinstance(node, nir.Scale):
            return x * torch.tensor(node.scale)
        v = self.potential.get(name, torch.zeros_like(x))
        if isinstance(node, nir.LIF):
            leak = (torch.tensor(node.v_leak) - v + torch.tensor(node.r) * x) / torch.tensor(
                node.tau
            )
            v = v + DT * leak
        else:
            assert isinstance(node, nir.IF)
            v = v + DT * torch.tensor(node.r) * x
        spikes = v > torch.tensor(node.v_threshold)
        self.potential[name] = torch.where(spikes, torch.tensor(node.v_reset).to(v), v)
        return spikes.to(x)


def answers(folder, images, read=Equations):
    """Logits [exits, B, classes], from the files alone."""
    described = json.loads((folder / "network.json").read_text())
    graphs = [(read(folder / e["stage"]), read(folder / e["head"])) for e in described["exits"]]
    steps = []
    for _ in range(described["timesteps"]):
        features, said = images, []
        for stage, head in graphs:
            features = stage(features)
            said.append(head(features))
        steps.append(torch.stack(said))
    return torch.stack(steps).mean(0)


@pytest.mark.parametrize("beta", [0.9, 0.5, 1.0])
def test_nirs_equations_give_the_same_answers(tmp_path, beta):
    network = spiking(beta=beta).double()
    to_nir(network, tmp_path)
    with torch.no_grad():
        expected = network(IMAGES.double())
        torch.testing.assert_close(answers(tmp_path, IMAGES.double()), expected)
        assert (expected[0] != expected[-1]).any()


def test_residual_blocks_are_edges_that_meet(tmp_path):
    network = spiking(residual()).double()
    to_nir(network, tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(answers(tmp_path, IMAGES.double()), network(IMAGES.double()))


class SnnTorch:
    """A graph as snnTorch reads it, an image at a time: its Flatten flattens the batch too."""

    def __init__(self, path):
        self.network, self.state = import_from_nir(nir.read(path)), None

    def __call__(self, image):
        features, self.state = self.network(image, self.state)
        return features


def test_snntorch_reads_it_and_gives_the_same_answers(tmp_path):
    network = spiking()
    to_nir(network, tmp_path)
    with torch.no_grad():
        for image in IMAGES:
            found = answers(tmp_path, image[None], SnnTorch)
            torch.testing.assert_close(found.squeeze(), network(image[None]).squeeze())


def test_the_policy_travels_beside_the_graphs(tmp_path):
    network = spiking()
    told = json.loads((to_nir(network, tmp_path) / "network.json").read_text())
    assert "policy" not in told
    assert (told["timesteps"], told["encoding"], told["input_shape"]) == (6, "direct", [1, 8, 8])
    to_nir(network, tmp_path, Thresholds((0.5, 0.75)))
    told = json.loads((tmp_path / "network.json").read_text())
    assert told["policy"] == {"leave_at_confidence": [0.5, 0.75]}
    leave = np.zeros((3, len(BIN_EDGES) + 1), bool)
    leave[:, -2:] = True
    to_nir(network, tmp_path, Table(leave))
    told = json.loads((tmp_path / "network.json").read_text())["policy"]
    assert np.array_equal(told["leave_in_bin"], leave) and told["bin_edges"] == list(BIN_EDGES)


def int8():
    prepared = quantize_aware(spiking())
    calibrate(prepared, pictures(20))
    return to_int8(prepared)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (tiny, "tiny has no spiking neurons: use convert"),
        (lambda: spiking(reset="subtract"), r"stage0_lif2: .*reset by subtraction.*reset='zero'"),
        (lambda: spiking(start=0.5), r"start at 0\.5 of their threshold.*convert\(start=0\.0\)"),
        (int8, r"stage0_quantizedsynapse1: NIR holds floats, not INT8.*to_onnx"),
    ],
)
def test_what_nir_cannot_say_is_refused_and_nothing_is_written(tmp_path, network, message):
    with pytest.raises(ValueError, match=message):
        to_nir(network(), tmp_path / "none")
    assert not list(tmp_path.iterdir())


def test_a_policy_that_cannot_be_written_down_is_refused(tmp_path):
    with pytest.raises(ValueError, match="1 thresholds for 3 exits"):
        to_nir(spiking(), tmp_path, Thresholds((0.5,)))
    with pytest.raises(ValueError, match="a LastExit cannot be written down"):
        to_nir(spiking(), tmp_path, LastExit())
