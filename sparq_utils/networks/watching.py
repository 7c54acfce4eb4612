"""What the layers of a network send on while it looks at images."""

import torch
from torch import Tensor, nn

from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.wiring import named_layers


def layers_by_name(network: EarlyExitNetwork, kind: type[nn.Module]) -> dict[str, nn.Module]:
    """The layers of one kind, by name, in the order in which they run."""
    return {name: layer for _, _, name, layer in named_layers(network) if isinstance(layer, kind)}


@torch.no_grad()
def watch(
    network: EarlyExitNetwork, images: Tensor, kind: type[nn.Module], *, every_step: bool = False
) -> tuple[Tensor, dict[str, Tensor]]:
    """Predictions [exits, B], and by name what each layer of a kind puts out, mean over time.

    Outputs are [B, ...]: of spiking neurons their spikes per timestep. With `every_step` all
    timesteps are kept, [T, B, ...], which takes T times the memory. The network runs in
    evaluation mode. Raises `ValueError` for images that do not fit it.
    """
    found: dict[str, list[Tensor]] = {}

    def note(name: str):
        def keep(_layer: nn.Module, _inputs: tuple[Tensor], output: Tensor) -> None:
            steps = output.unflatten(0, (network.timesteps, -1))  # [T, b, ...]
            found.setdefault(name, []).append(steps if every_step else steps.mean(0))

        return keep

    network.eval()
    layers = layers_by_name(network, kind).items()
    hooks = [layer.register_forward_hook(note(name)) for name, layer in layers]
    try:
        prediction = network(images).argmax(-1)  # [exits, B]
    finally:
        for hook in hooks:
            hook.remove()
    pieces = int(every_step)  # the axis along which the batch was cut
    return prediction, {name: torch.cat(parts, pieces) for name, parts in found.items()}
