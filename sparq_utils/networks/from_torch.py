"""Models written for PyTorch, such as torchvision's, taken apart into stages of known layers.

`torch.fx` writes down what a model does to an image. What it writes must be a chain: layers one
after the other, and residual blocks, whose ways part at one place and are added at another.
"""

import operator
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import fx, nn

from sparq_utils.networks.activations import ACTIVATIONS
from sparq_utils.networks.heads import Activation, exit_head
from sparq_utils.networks.normalization import Normalize
from sparq_utils.networks.pooling import AveragePool, pair
from sparq_utils.networks.residual import IdentitySynapse, Residual, swap_layers

KNOWN = (
    *(nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, *ACTIVATIONS),
    *(nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Dropout, nn.Identity),
    *(IdentitySynapse, Normalize),
)
"""Layers that are taken as they are."""

ADDITIONS = (operator.add, operator.iadd, torch.add, "add", "add_")
"""What adds the two ways of a residual block, in all the words that PyTorch has for it."""


class _Tracer(fx.Tracer):
    """Writes down layers of ours as wholes."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        """Whether a module is a layer."""
        return isinstance(module, (*KNOWN, nn.MaxPool2d)) or super().is_leaf_module(module, name)


@dataclass(frozen=True)
class Piece:
    """A layer or residual block of a model, and the paths of the modules that are in it."""

    layer: nn.Module
    paths: tuple[str, ...]


def pieces_of(model: nn.Module, max_pool: str) -> list[Piece]:
    """A copy of a model as a chain of layers and residual blocks.

    `max_pool` is "refuse" or "average". Raises `ValueError`, naming the layer, for what has no
    spiking counterpart or is no chain.
    """
    if max_pool not in ("refuse", "average"):
        raise ValueError(f"max_pool is '{max_pool}', expected 'refuse' or 'average'")
    model = deepcopy(model).eval()
    try:
        graph = _Tracer().trace(model)
    except Exception as error:  # whatever a model's own code does with what is no tensor
        raise ValueError(
            f"{type(model).__name__} cannot be traced ({' '.join(str(error).split())[:120]}): its "
            "forward must be the same for every image"
        ) from error
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    (result,) = next(node for node in graph.nodes if node.op == "output").args
    if len(inputs) != 1 or not isinstance(result, fx.Node):
        raise ValueError(f"{type(model).__name__} must take one tensor and give one")
    taken = _TakenApart(model, max_pool)
    pieces = taken.chain(result, inputs[0])
    if taken.swapped:
        warnings.warn(
            f"{', '.join(taken.swapped)}: average pooling in place of max pooling, whose features "
            "are smaller; what the model has learned no longer fits them, so train it again",
            stacklevel=4,
        )
    return pieces


class _TakenApart:
    """A model's graph, each way walked from its end to its beginning."""

    def __init__(self, model: nn.Module, max_pool: str) -> None:
        self.model, self.max_pool = model, max_pool
        self.modules = dict(model.named_modules())
        self.used: set[nn.Module] = set()
        self.swapped: list[str] = []

    def chain(self, node: fx.Node, start: fx.Node) -> list[Piece]:
        """What leads from one place of the graph, `start`, to another."""
        line = []
        while node is not start:
            line.append(node)
            node = self._before(node)
        return [self._piece(node) for node in reversed(line)]

    def _piece(self, node: fx.Node) -> Piece:
        """A layer, or the residual block that an addition ends."""
        if not _adds(node):
            return Piece(self._layer(node), (_path(node),))
        fork = self._fork(node)
        ways = sorted((self.chain(way, fork) for way in _summands(node)), key=len)
        shortcut, branch = (nn.Sequential(*(piece.layer for piece in way)) for way in ways)
        paths = (path for way in ways for piece in way for path in piece.paths)
        return Piece(Residual(branch, shortcut), (*paths, _path(node)))

    def _before(self, node: fx.Node) -> fx.Node:
        """Where a layer's input, or what arrives at a residual block, comes from."""
        if _adds(node):
            return self._fork(node)
        if not node.args or not isinstance(node.args[0], fx.Node):
            raise ValueError(f"{self._name(node)} does not work on features")
        return node.args[0]

    def _fork(self, addition: fx.Node) -> fx.Node:
        """Where the two ways part that meet in an addition."""
        one, other = ([way] for way in _summands(addition))
        for line in (one, other):
            while line[-1].op != "placeholder":
                line.append(self._before(line[-1]))
        return next(node for node in one if node in set(other))

    def _layer(self, node: fx.Node) -> nn.Module:
        """The layer that a node of the graph is."""
        layer = self.modules[node.target] if node.op == "call_module" else _as_module(node)
        if isinstance(layer, nn.MaxPool2d):
            return self._average(layer, self._name(node))
        if not isinstance(layer, KNOWN):
            raise ValueError(
                f"{self._name(node)} has no spiking counterpart here: use convolutions, linear "
                "layers, batch norm, ReLU, average pooling and sums of two"
            )
        if layer in self.used:
            if any(True for _ in layer.parameters()):
                raise ValueError(f"{self._name(node)} stands in two places, or in ways that cross: "
                                 "give each place its own module")  # fmt: skip
            layer = deepcopy(layer)
        self.used.add(layer)
        return layer

    def _average(self, layer: nn.MaxPool2d, name: str) -> nn.Module:
        """The average pooling that stands in for max pooling."""
        if self.max_pool == "refuse":
            raise ValueError(
                f"{name}: a maximum of spikes is not the spikes of a maximum; train with average "
                "pooling, or pass max_pool='average' to swap it and train again"
            )
        self.swapped.append(name)
        stride = pair(layer.stride)
        kernel, padding = pair(layer.kernel_size), pair(layer.padding)
        # windows of 3x3, two apart, overlap by a border; those of 2x2 end up in the same places
        alike = all((k, p) == (s + 1, 1) for k, p, s in zip(kernel, padding, stride, strict=True))
        if (kernel == stride and padding == (0, 0)) or alike:
            return AveragePool(stride, ceil_mode=layer.ceil_mode)
        return nn.AvgPool2d(kernel, stride, padding, ceil_mode=layer.ceil_mode)

    def _name(self, node: fx.Node) -> str:
        """A node in words."""
        if node.op == "call_module":
            return f"{node.target} ({type(self.modules[node.target]).__name__})"
        what = node.target if isinstance(node.target, str) else node.target.__name__
        return f"{what} in {_path(node) or type(self.model).__name__}"


def _adds(node: fx.Node) -> bool:
    """Whether a node of the graph is an addition."""
    return node.op in ("call_function", "call_method") and node.target in ADDITIONS


def _summands(addition: fx.Node) -> tuple[fx.Node, fx.Node]:
    """What an addition adds, two tensors; raises `ValueError` for anything else."""
    terms = addition.args
    if len(terms) != 2 or addition.kwargs or not all(isinstance(t, fx.Node) for t in terms):
        raise ValueError(f"{_path(addition) or 'the model'} adds something else than two features")
    return terms


def _path(node: fx.Node) -> str:
    """The path of the module whose code a node is."""
    if node.op == "call_module":
        return node.target
    stack = node.meta.get("nn_module_stack") or {"": None}
    return next(reversed(stack)).partition("@")[0]


def _as_module(node: fx.Node) -> nn.Module | None:
    """The layer that a function or a tensor's method stands for, if there is one."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    rest, named = node.args[1:], node.kwargs
    if name in ("relu", "relu_"):
        return nn.ReLU()
    if name == "relu6":
        return nn.ReLU6()
    if name == "adaptive_avg_pool2d":
        return nn.AdaptiveAvgPool2d(*rest, **named)
    if name == "avg_pool2d":
        return nn.AvgPool2d(*rest, **named)
    if name in ("max_pool2d", "boolean_dispatch"):
        return nn.MaxPool2d(*rest, **{k: v for k, v in named.items() if k != "return_indices"})
    if name == "dropout":
        return nn.Dropout(*rest[:1], **{"p": named["p"]} if "p" in named else {})
    if name == "flatten" and (*rest, *named.values()) == (1,):
        return nn.Flatten()
    if name in ("view", "reshape") and len(rest) == 2 and rest[-1] == -1:
        return nn.Flatten()
    return None


def cut(pieces: Sequence[Piece], after: Sequence[str]) -> list[list[nn.Module]]:
    """The layers of each stage of a model that is cut after these modules, last layers included.

    Raises `ValueError` for modules that are not there, in the wrong order, or amid a block.
    """
    ends = []
    for name in after:
        own = [
            [path == name or path.startswith(f"{name}.") for path in piece.paths]
            for piece in pieces
        ]
        there = [number for number, inside in enumerate(own) if any(inside)]
        if not there:
            known = list(dict.fromkeys(path for piece in pieces for path in piece.paths))
            raise ValueError(
                f"cut_at names '{name}', which is no layer on the way; there are "
                f"{', '.join(known[:3])}, ..., {known[-1]}, and what holds them"
            )
        if not all(own[there[-1]]):
            raise ValueError(f"cut_at names '{name}', which ends amid a residual block: cut after "
                             "the whole block")  # fmt: skip
        ends.append(there[-1] + 1)
    if ends != sorted({*ends}) or (ends and ends[-1] >= len(pieces)):
        raise ValueError(f"cut_at is {list(after)}: name modules in the order of evaluation, the "
                         "last layers left out")  # fmt: skip
    bounds = [0, *ends, len(pieces)]
    layers = [piece.layer for piece in pieces]
    return [layers[start:stop] for start, stop in pairwise(bounds)]


@torch.no_grad()
def take_apart(
    model: nn.Module,
    cut_at: Sequence[str],
    input_shape: Sequence[int],
    head: Callable[[Sequence[int], int], nn.Module] | None,
    activation: Activation | None,
    max_pool: str,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> tuple[list[nn.Sequential], list[nn.Module]]:
    """The stages and heads of :meth:`~sparq_utils.networks.early_exit.EarlyExitNetwork.from_torch`.

    Raises as it does.
    """
    *stages, last = cut(pieces_of(model, max_pool), cut_at)
    classifier = last[-1]
    if not isinstance(classifier, nn.Linear) or len(last) < 2:
        raise ValueError(
            f"{type(model).__name__} ends in {type(classifier).__name__}: its last layers must be "
            "some that work on features, and a linear one"
        )
    stages = [nn.Sequential(*layers) for layers in (*stages, last[:-1])]
    if activation is not None:
        for stage in stages:
            old = [layer for layer in stage.modules() if isinstance(layer, ACTIVATIONS)]
            swap_layers(stage, {layer: activation() for layer in old})
    if mean is not None or std is not None:
        stages[0].insert(0, Normalize(mean or (), std or ()))
    head = head or partial(default_head, activation=activation or nn.ReLU)
    features, heads = torch.zeros(2, *input_shape), []
    try:
        for stage in stages:
            features = stage.eval()(features)
            heads.append(head(tuple(features.shape[1:]), classifier.out_features))
        classifier(features)
    except RuntimeError as error:
        raise ValueError(
            f"{type(model).__name__} takes no images {list(input_shape)}: "
            f"{' '.join(str(error).split())[:120]}"
        ) from error
    return stages, [*heads[:-1], nn.Sequential(classifier)]


def default_head(
    shape: Sequence[int], classes: int, activation: Activation = nn.ReLU
) -> nn.Sequential:
    """:func:`~sparq_utils.networks.heads.exit_head` with 128 hidden neurons, pooled to 4 x 4.

    Or to the nearest smaller size of which the features' is a multiple.
    """
    pool_to = max(n for n in (1, 2, 3, 4) if all(side % n == 0 for side in shape[1:]))
    return exit_head(shape, activation, hidden=128, pool_to=pool_to, classes=classes)
