"""From rates to spikes: swap each ReLU-like activation for LIF neurons with the right threshold.

Copying the weights alone leaves every neuron with a threshold of 1, whatever its input current.
Balancing sets the threshold to (nearly) the largest activation seen on data (Diehl et al., 2015);
training with the clip-floor-shift activation learns it (QCFS, Bu et al., ICLR 2022).
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from sparq_utils.networks.activations import ACTIVATIONS, ClipFloorShift
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.encoding import CODINGS
from sparq_utils.networks.levels import LevelActivation
from sparq_utils.networks.normalization import Frame, Normalize, take_over
from sparq_utils.networks.pooling import AveragePool
from sparq_utils.networks.residual import IdentitySynapse, Residual, blocks_of
from sparq_utils.networks.shapes import Shapes, shapes
from sparq_utils.networks.spiking import LIF, check_timesteps

Threshold = float | Literal["copy", "percentile", "clip-floor-shift", "auto"]


SYNAPSES = (nn.Conv2d, nn.Linear)


def convert(
    network: EarlyExitNetwork,
    images: Tensor | None = None,
    timesteps: int = 32,
    beta: float = 1.0,
    threshold: Threshold = "auto",
    encoding: str = "direct",
    percentile: float = 99.9,
    neurons: str = "lif",
    levels: int | None = None,
    reset: str = "subtract",
    start: float = 0.5,
) -> EarlyExitNetwork:
    """A spiking copy of a trained network; the original is left as it was.

    Batch normalisation is folded into the synapses; every activation becomes LIF neurons that
    emit binary spikes (the next synapse carries the amplitude).
    With `neurons` "levels" the copy is the spiking network's rival instead: an ANN whose
    activations have `levels` steps (:class:`~sparq_utils.networks.levels.LevelActivation`).

    Parameters
    ----------
    images
        Floats [B, *input_shape] to balance thresholds on; needed for "percentile".
    timesteps, beta
        T, and the membrane's decay a step, in (0, 1]; 1 is integrate-and-fire.
    threshold
        A number for all neurons, "copy" (1, the naive copy of weights), "percentile" (of each
        layer's activations on `images`), "clip-floor-shift" (the thresholds trained with
        :class:`~sparq_utils.networks.activations.ClipFloorShift`), or "auto": the trained
        thresholds if there are any.
    encoding
        "direct" (the image is a constant input current), "rate" or "latency" (spike trains), or
        "events": the copy takes counts of events already in time, [B, T, *input_shape].
    neurons, levels
        "lif", or "levels" with their number; those know no time: T, beta and encoding must be 1,
        1 and "direct", and neither `reset` nor `start`.
    reset, start
        Of :class:`~sparq_utils.networks.spiking.LIF`: "subtract" or "zero", and the first
        potential as a fraction of the threshold; a half rounds spike counts to the nearest.

    Raises
    ------
    ValueError
        For T < 1, beta outside (0, 1], an unknown threshold, encoding, reset or kind of neurons,
        missing images, a layer that has no spiking counterpart, by name, or a first stage without
        neurons.
    """
    check_timesteps(timesteps)
    if encoding not in CODINGS:
        raise ValueError(f"unknown encoding '{encoding}', expected one of {', '.join(CODINGS)}")
    _check_neurons(neurons, levels, (timesteps, beta, encoding, reset, start))
    converted = fold_batch_norm(network)
    thresholds = _thresholds(converted, images, threshold, percentile)
    if neurons == "lif":
        converted.encoder = CODINGS[encoding](timesteps)
    if encoding == "events":
        converted.input_shape = (timesteps, *converted.input_shape)
    converted.timesteps = timesteps

    def neuron(threshold: float, constant_input: bool) -> nn.Module:
        if levels is not None:
            return LevelActivation(threshold, levels)
        return LIF(threshold, timesteps, beta, start, constant_input, reset=reset)

    arriving = _Arriving(1.0, constant=encoding == "direct")
    for kind, _, part in converted.parts():
        left = _to_neurons(part, arriving, thresholds, neuron)
        if kind == "stage":
            arriving = left
            if arriving.constant:
                raise ValueError(
                    "the first stage has no activation: direct coding needs neurons there"
                )
    return converted.eval()


IN_TIME = (1, 1.0, "direct", "subtract", 0.5)
"""T, beta, encoding, reset and start of a network that knows no time."""


def _check_neurons(neurons: str, levels: int | None, in_time: tuple) -> None:
    """Refuse unknown neurons, and levels with anything that happens in time."""
    if neurons not in ("lif", "levels"):
        raise ValueError(f"unknown neurons '{neurons}', expected 'lif' or 'levels'")
    if (neurons == "levels") != (levels is not None):
        raise ValueError(
            f"neurons='{neurons}' with levels={levels}: levels go with neurons='levels'"
        )
    if neurons == "levels" and in_time != IN_TIME:
        raise ValueError(
            "levels know no time: timesteps={}, beta={}, encoding='{}', reset='{}' and start={} "
            "must be {}, {:g}, '{}', '{}' and {}".format(*in_time, *IN_TIME)
        )


def fold_batch_norm(network: EarlyExitNetwork) -> EarlyExitNetwork:
    """An evaluation copy with batch norm folded into synapses, dropout gone, pooling fixed.

    The first synapse takes over an input normalisation
    (:class:`~sparq_utils.networks.normalization.Normalize`). Raises `ValueError` where it cannot.
    """
    folded = deepcopy(network).eval()
    known = shapes(folded)
    for _, _, part in folded.parts():
        if not isinstance(part, nn.Sequential):
            raise ValueError(f"a {type(part).__name__} cannot be taken apart: use nn.Sequential")
        flat = _without_normalization(_folded(part, known))
        while len(part):
            del part[-1]
        part.extend(flat)
    return folded


def _folded(part: nn.Sequential, known: Shapes) -> list[nn.Module]:
    """A part's layers and blocks with batch norm folded."""
    flat: list[nn.Module] = []
    for layer in blocks_of(part):
        before = flat[-1] if flat else None
        if isinstance(layer, Residual):
            ways = (_folded(way, known) for way in (layer.branch, layer.shortcut))
            flat.append(Residual(*(nn.Sequential(*way) for way in ways)))
        elif isinstance(layer, nn.BatchNorm2d) and isinstance(before, nn.Conv2d):
            flat[-1] = fuse_conv_bn_eval(before, layer)
        elif isinstance(layer, nn.BatchNorm1d) and isinstance(before, nn.Linear):
            flat[-1] = fuse_linear_bn_eval(before, layer)
        elif isinstance(layer, nn.AdaptiveAvgPool2d):
            flat.extend(_fixed_pool(layer, known[layer][0]))
        elif not isinstance(layer, (nn.Dropout, nn.Identity)):
            flat.append(layer)
    return flat


def _without_normalization(layers: list[nn.Module]) -> list[nn.Module]:
    """The same layers, with a normalisation of the input taken over by the first synapse."""
    if not any(isinstance(layer, Normalize) for layer in layers):
        return layers
    normalize, *rest = layers
    flatten = [rest.pop(0)] if rest and isinstance(rest[0], nn.Flatten) else []
    kind = nn.Linear if flatten else nn.Conv2d
    if not isinstance(normalize, Normalize) or not rest or not isinstance(rest[0], kind):
        names = ", ".join(type(layer).__name__ for layer in layers[:3])
        raise ValueError(
            f"{names}, ...: a normalisation stands first, followed by a convolution, or by Flatten "
            "and a linear layer, which takes it over"
        )
    return [*flatten, *take_over(normalize, rest[0]), *rest[1:]]


def _fixed_pool(layer: nn.AdaptiveAvgPool2d, shape: torch.Size) -> list[nn.Module]:
    """The average pooling that an adaptive one does at this shape; none if it changes nothing."""
    size = layer.output_size
    target = (size, size) if isinstance(size, int) else tuple(size)
    if shape[1] % target[0] or shape[2] % target[1]:
        raise ValueError(f"adaptive pooling from {list(shape[1:])} to {list(target)}: windows "
                         "overlap, choose a divisor, or images of another size")  # fmt: skip
    kernel = (shape[1] // target[0], shape[2] // target[1])
    return [] if kernel == (1, 1) else [AveragePool(kernel)]


@torch.no_grad()
def _thresholds(
    network: EarlyExitNetwork, images: Tensor | None, threshold: Threshold, percentile: float
) -> dict[nn.Module, float]:
    """The firing threshold that replaces each activation."""
    activations = [m for m in network.modules() if isinstance(m, ACTIVATIONS)]
    trained = [a for a in activations if isinstance(a, ClipFloorShift)]
    if threshold == "auto":
        threshold = "clip-floor-shift" if len(trained) == len(activations) else "percentile"
    if threshold == "copy":
        threshold = 1.0
    if isinstance(threshold, (int, float)):
        if threshold <= 0:
            raise ValueError(f"threshold is {threshold}, expected a positive number")
        return dict.fromkeys(activations, float(threshold))
    if threshold == "clip-floor-shift":
        if len(trained) < len(activations):
            raise ValueError("this network was not trained with ClipFloorShift activations; "
                             "use threshold='percentile'")  # fmt: skip
        return {a: float(a.threshold.detach().abs()) for a in activations}
    if threshold != "percentile":
        raise ValueError(
            f"unknown threshold '{threshold}', expected a number, 'copy', 'percentile', "
            "'clip-floor-shift' or 'auto'"
        )
    if images is None or not len(images):
        raise ValueError("threshold='percentile' needs images to balance on")
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile is {percentile}, expected a number in (0, 100]")
    network.check_input(images)
    found: dict[nn.Module, float] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        ceiling = 6.0 if isinstance(layer, nn.ReLU6) else None
        positive = inputs[0].flatten().clamp(0, ceiling)
        rank = max(1, round(positive.numel() * percentile / 100))
        found[layer] = max(float(positive.kthvalue(rank).values), 1e-3)

    hooks = [a.register_forward_pre_hook(note) for a in activations]
    network(images)
    for hook in hooks:
        hook.remove()
    return found


@dataclass(frozen=True)
class _Arriving:
    """What a layer receives: what a spike, or the last level, stands for.

    `constant` says that it is the same at every step, as long as no neurons came; `spikes`, that
    no synapse has made currents of what neurons said.
    """

    amplitude: float
    constant: bool
    spikes: bool = False


def _to_neurons(
    part: nn.Sequential,
    arriving: _Arriving,
    thresholds: dict[nn.Module, float],
    neuron: Callable[[float, bool], nn.Module],
) -> _Arriving:
    """Swap a part's activations in place; what leaves it.

    `neuron` makes a layer from a threshold and whether its input is the same at every step.
    """
    for position, layer in enumerate(part):
        if isinstance(layer, SYNAPSES):
            layer.weight.data *= arriving.amplitude
            arriving = _Arriving(1.0, arriving.constant)
        elif isinstance(layer, IdentitySynapse):
            layer.amplitude *= arriving.amplitude
            arriving = _Arriving(1.0, arriving.constant)
        elif isinstance(layer, Residual):
            ways = (layer.branch, layer.shortcut)
            ends = {_to_neurons(way, arriving, thresholds, neuron) for way in ways}
            if len(ends) > 1:
                raise ValueError(
                    "a residual block adds the image itself to what neurons say of it: put a "
                    "convolution and an activation before the first block"
                )
            arriving = ends.pop()
        elif isinstance(layer, ACTIVATIONS):
            if arriving.spikes:
                raise ValueError(
                    f"{type(layer).__name__} follows another activation without a synapse between "
                    "them: leave one of the two out"
                )
            part[position] = neuron(thresholds[layer], arriving.constant)
            arriving = _Arriving(thresholds[layer], constant=False, spikes=True)
        elif isinstance(layer, Frame):
            if not arriving.constant:
                raise ValueError(
                    "a normalised image needs a border of its mean, which is no spike: use direct "
                    "coding, or train without normalisation"
                )
        elif not isinstance(layer, (nn.AvgPool2d, nn.Flatten)):
            advice = "; use average pooling" if isinstance(layer, nn.MaxPool2d) else ""
            raise ValueError(f"{type(layer).__name__} has no spiking counterpart here{advice}")
    return arriving
