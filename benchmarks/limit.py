"""The limit of a network on the machine at hand: its convolutions and products alone."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.ao.nn import quantized as nnq

from sparq_utils.networks.fastest import FastestSynapse

PRODUCTS = (nn.Conv2d, nn.Linear, nnq.Conv2d, nnq.Linear, FastestSynapse)


def products_of(network: nn.Module, run: Callable[[], object]) -> Callable[[], None]:
    """All that `run` multiplies: every synapse of a network again on the inputs it saw.

    A synapse runs in the form and the precision that the network runs it in.
    """
    seen: list[tuple[nn.Module, Tensor]] = []

    def note(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        seen.append((layer, inputs[0].clone(memory_format=torch.preserve_format)))

    run()  # forms are chosen
    hooks = [m.register_forward_pre_hook(note) for m in network.modules() if type(m) in PRODUCTS]
    run()
    for hook in hooks:
        hook.remove()

    @torch.no_grad()
    def limit() -> None:
        for layer, x in seen:
            layer(x)

    return limit
