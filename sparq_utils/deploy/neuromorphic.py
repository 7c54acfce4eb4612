"""Spiking networks as NIR, which simulators and neuromorphic chips read.

NIR (Pedersen et al., Nature Communications, 2024) describes neurons by equations in continuous
time; readers take steps of DT. One of its graphs has one way through, so a network with exits is a
folder of them, one per stage and per head, and `network.json`, which says what the graphs alone do
not: how many steps, what an answer is, and who leaves where.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from sparq_utils.files import write_json
from sparq_utils.networks.early_exit import EarlyExitNetwork, layers_of
from sparq_utils.networks.encoding import coding_of
from sparq_utils.networks.pooling import pair
from sparq_utils.networks.quantized_synapse import QuantizedSynapse
from sparq_utils.networks.residual import IdentitySynapse, Residual, blocks_of
from sparq_utils.networks.shapes import Shapes, shapes
from sparq_utils.networks.spiking import LIF
from sparq_utils.traces.policies import Table, Thresholds

DT = 1e-4
"""Seconds a timestep, by which snnTorch, SpikingJelly and others read NIR."""

OTHER_WAYS = "to_onnx() and to_snntorch() take it as it is"


def to_nir(
    network: EarlyExitNetwork, folder: str | Path, policy: Thresholds | Table | None = None
) -> Path:
    """Write a floating-point spiking network as NIR graphs into a folder; gives the folder.

    `stage0.nir`, `head0.nir`, ... and `network.json` with the policy. A stage's graph takes the
    spikes (or, direct-coded, the image, once a step) that the one before it gave, a head's graph
    those of its stage; an exit's logits are the mean of its head's outputs over the steps.

    NIR's neurons start at 0, fire strictly above their threshold and reset to 0: those of
    `convert(reset="zero", start=0.0)`. Its leak is that of Euler steps of :data:`DT`, so tau is
    DT / (1 - beta). Raises `ValueError`, naming the layer, for what it cannot say, and
    `ModuleNotFoundError` without nir (`sparq-utils[deploy]`).
    """
    try:
        import nir
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "nir is missing: install sparq-utils[deploy]", name="nir"
        ) from error
    if not any(isinstance(module, LIF) for module in network.modules()):
        raise ValueError(f"{network.name} has no spiking neurons: use convert() first")
    described = _described(network, policy)
    known = shapes(network)
    graphs = {f"{kind}{index}": _Graph(known, f"{kind}{index}", part).whole()
              for kind, index, part in network.parts()}  # fmt: skip
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, graph in graphs.items():
        nir.write(folder / f"{name}.nir", graph)
    write_json(folder / "network.json", described)
    return folder


def _described(network: EarlyExitNetwork, policy: Thresholds | Table | None) -> dict:
    """What the graphs do not say."""
    found = {
        "name": network.name,
        "input_shape": list(network.input_shape),
        "encoding": coding_of(network.encoder),
        "timesteps": network.timesteps,
        "dt": DT,
        "exits": [{"stage": f"stage{i}.nir", "head": f"head{i}.nir"} for i in range(network.exits)],
        "logits": "the mean over the timesteps of a head's outputs",
        "confidence": "the largest of the logits' softmax",
    }
    if policy is None:
        return found
    if not isinstance(policy, (Thresholds, Table)):
        raise ValueError(f"a {type(policy).__name__} cannot be written down; give Thresholds or a "
                         "Table")  # fmt: skip
    policy.check(network.exits)
    if isinstance(policy, Thresholds):
        return found | {"policy": {"leave_at_confidence": list(policy)}}
    said = {"bin_edges": list(policy.bin_edges), "leave_in_bin": policy.leave.tolist()}
    return found | {"policy": said}


class _Graph:
    """One stage or head as a graph: nodes by name, and edges from where signals come from."""

    def __init__(self, known: Shapes, name: str, part: nn.Module) -> None:
        import nir

        self.nir, self.known, self.name, self.part = nir, known, name, part
        self.nodes, self.edges = {}, []

    def whole(self) -> object:
        """The graph from its input to its output."""
        layers = list(layers_of(self.part))
        self._add("input", self.nir.Input(np.array(self.known[layers[0]][0])), [])
        ends = self._through(blocks_of(self.part), ["input"])
        self._add("output", self.nir.Output(np.array(self.known[layers[-1]][1])), ends)
        return self.nir.NIRGraph(self.nodes, self.edges)

    def _through(self, blocks: Iterable[nn.Module], ends: list[str]) -> list[str]:
        """Add blocks behind these nodes; those whose outputs, added up, come out."""
        for block in blocks:
            if isinstance(block, Residual):  # what arrives at a node by two edges is added
                ways = [self._through(blocks_of(w), ends)
                        for w in (block.branch, block.shortcut)]  # fmt: skip
                ends = [*ways[0], *ways[1]]
            else:
                name = f"{type(block).__name__.lower()}{len(self.nodes)}"
                self._add(name, self._node(block, f"{self.name}_{name}"), ends)
                ends = [name]
        return ends

    def _add(self, name: str, node: object, ends: list[str]) -> None:
        self.nodes[name] = node
        self.edges += [(end, name) for end in ends]

    def _node(self, layer: nn.Module, name: str) -> object:
        """A layer as NIR's node; raises `ValueError` where it would become another one."""
        arriving, leaving = self.known[layer]
        if isinstance(layer, nn.Conv2d):
            return self.nir.Conv2d(
                tuple(arriving[1:]), _array(layer.weight), layer.stride, layer.padding,
                layer.dilation, layer.groups, _bias(layer),
            )  # fmt: skip
        if isinstance(layer, nn.Linear):
            return self.nir.Affine(_array(layer.weight), _bias(layer))
        if isinstance(layer, IdentitySynapse):
            return self.nir.Scale(np.full(leaving, layer.amplitude, np.float32))
        if isinstance(layer, nn.Flatten):
            return self.nir.Flatten({"input": np.array(arriving)}, 0, -1)
        if isinstance(layer, nn.AvgPool2d) and not (layer.ceil_mode or any(pair(layer.padding))):
            sizes = (pair(layer.kernel_size), pair(layer.stride), pair(layer.padding))
            return self.nir.AvgPool2d(*map(np.array, sizes))
        if type(layer) is LIF:
            return self._neurons(layer, name, leaving)
        if isinstance(layer, QuantizedSynapse):
            raise ValueError(f"{name}: NIR holds floats, not INT8 synapses; to_onnx() and the C "
                             "file hold those, or give the network before to_int8()")  # fmt: skip
        raise ValueError(f"{name}: NIR has no node for a {type(layer).__name__} as it is here")

    def _neurons(self, layer: LIF, name: str, shape: tuple[int, ...]) -> object:
        """LIF neurons, or IF where nothing leaks."""
        if layer.reset != "zero":
            raise ValueError(
                f"{name}: its neurons reset by subtraction, NIR's to a value: "
                f"convert(reset='zero', start=0.0) and tune with train(); {OTHER_WAYS}"
            )
        if layer.start:
            raise ValueError(
                f"{name}: its neurons start at {layer.start} of their threshold, NIR's at rest: "
                f"convert(start=0.0) and tune with train(); {OTHER_WAYS}"
            )

        def full(value: float) -> np.ndarray:
            return np.full(shape, value)

        if layer.beta == 1:  # dv/dt = r I, in a step of DT: v + I
            return self.nir.IF(full(1 / DT), full(layer.threshold), full(0))
        # tau dv/dt = I - v, in a step of DT: beta v + (1 - beta) I, so all potentials are smaller
        threshold = layer.threshold * (1 - layer.beta)
        return self.nir.LIF(full(DT / (1 - layer.beta)), full(1), full(0), full(threshold), full(0))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _bias(layer: nn.Conv2d | nn.Linear) -> np.ndarray:
    """A layer's bias; zeros if it has none."""
    if layer.bias is None:
        return np.zeros(len(layer.weight), np.float32)
    return _array(layer.bias)
