"""What shapes pass through a network, layer by layer."""

import torch
from torch import Tensor, nn

from sparq_utils.networks.early_exit import EarlyExitNetwork, layers_of

Shapes = dict[nn.Module, tuple[torch.Size, torch.Size]]
"""Input and output shape of each layer, without the batch."""


@torch.no_grad()
def shapes(network: EarlyExitNetwork) -> Shapes:
    """Input and output shape of every layer and of the encoder, without the batch.

    The network runs once on zeros; an encoder's random numbers are put back.
    """
    image = torch.Size(network.input_shape)
    found: Shapes = {}

    def note(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        found[layer] = (inputs[0].shape[1:], output.shape[1:])

    layers = [layer for _, _, part in network.parts() for layer in layers_of(part)]
    hooks = [layer.register_forward_hook(note) for layer in (network.encoder, *layers)]
    was_training = network.training
    generator = getattr(network.encoder, "generator", None)
    drawn = generator.get_state() if generator else None
    try:
        like = next(network.parameters(), torch.zeros(0))  # its precision and its device
        network.eval()(like.new_zeros(1, *image))
    finally:
        network.train(was_training)
        if generator:
            generator.set_state(drawn)
        for hook in hooks:
            hook.remove()
    return found


def device_of(network: nn.Module) -> torch.device:
    """Where a network computes; an INT8 one, which has no parameters, on the CPU."""
    return next((p.device for p in network.parameters()), torch.device("cpu"))
