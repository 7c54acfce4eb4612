"""What the products of a layer take in every form there is, on the spikes that reach it."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from benchmarks.models import random_images, snn
from benchmarks.timing import once
from sparq_utils.networks.early_exit import layers_of
from sparq_utils.networks.events import EventSynapse, can_skip_zeros
from sparq_utils.networks.integer import IntegerSynapse, can_add_bytes
from sparq_utils.networks.wiring import synapses

TIMESTEPS, IMAGES = 4, 16


@torch.no_grad()
def measure(rounds: int) -> Iterator[tuple[str, str, float]]:
    """Layer of AlexNet, form, and the least seconds of so many rounds.

    "bfloat16" is one product of rounded weights, which is not exact; an exact one takes two.
    """
    network = snn("alexnet", TIMESTEPS)
    levels = {synapse.layer: synapse.levels for synapse in synapses(network)}
    x = network.encoder(random_images("alexnet", IMAGES))
    number = 0
    for layer in (*layers_of(network.stages[0]), *layers_of(network.heads[0])):
        if levels.get(layer) and layer.weight.numel() > 2**16:
            number += 1
            busy = (x != 0).double().mean().item()
            name = f"{type(layer).__name__} {number}, {100 * busy:.0f} % not zero"
            ways = dict(_forms(layer, levels[layer], x))
            for way in ways.values():
                way()
            best = dict.fromkeys(ways, float("inf"))
            for _ in range(rounds):
                best |= {form: min(best[form], once(way)) for form, way in ways.items()}
            yield from ((name, form, seconds) for form, seconds in best.items())
        x = layer(x)


def _forms(layer, levels: int, x: Tensor) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """Forms by name, ready to run on an input."""
    yield "float32", partial(layer, x)
    geometry = {} if layer.weight.ndim == 2 else {"stride": layer.stride, "padding": layer.padding}
    product = torch.nn.functional.linear if layer.weight.ndim == 2 else torch.conv2d
    narrow = [part.bfloat16() for part in (x, layer.weight, layer.bias)]
    yield "bfloat16", partial(product, *narrow, **geometry)
    if can_add_bytes(layer, levels):
        yield "three bytes", partial(IntegerSynapse(layer, levels), x)
    if can_skip_zeros(layer):
        yield "events, step by step", partial(EventSynapse(layer, TIMESTEPS, 1), x)
        yield "events, four steps at once", partial(EventSynapse(layer, TIMESTEPS, 4), x)
