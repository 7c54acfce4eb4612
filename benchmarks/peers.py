"""The same spiking network, run as users of snnTorch and SpikingJelly run theirs.

Both twins share the weights of the network they are made of, start their membranes at the same
potential, reset by subtraction, and answer with the mean of the logits over time.
"""

from collections.abc import Callable

import snntorch
import torch
from snntorch import surrogate as snntorch_surrogate
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

from sparq_utils.networks.early_exit import EarlyExitNetwork, layers_of
from sparq_utils.networks.spiking import LIF

Twin = Callable[[Tensor], Tensor]


def _layers(network: EarlyExitNetwork) -> list[nn.Module]:
    """The layers of a plain network (one head), in order."""
    if network.exits != 1:
        raise ValueError("a twin is made of a plain network: use network.without_exits()")
    return [*layers_of(network.stages[0]), *layers_of(network.heads[0])]


def snntorch_loop(network: EarlyExitNetwork) -> Twin:
    """The whole network once a timestep, `snntorch.Leaky` neurons: images to logits [B, classes].

    Gradients are snnTorch's fast sigmoid, slope 25.
    """
    steps, timesteps = [], network.timesteps
    for module in _layers(network):
        if isinstance(module, LIF):
            gradient = snntorch_surrogate.fast_sigmoid(slope=25)
            leaky = snntorch.Leaky(module.beta, module.threshold, spike_grad=gradient)
            steps.append((leaky, module.start * module.threshold))
        else:
            steps.append((module, None))

    def run(images: Tensor) -> Tensor:
        membranes: list[Tensor | None] = [None] * len(steps)
        total = []
        for _ in range(timesteps):
            x = images
            for index, (module, start) in enumerate(steps):
                if start is None:
                    x = module(x)
                else:
                    if membranes[index] is None:
                        membranes[index] = torch.full_like(x, start)
                    x, membranes[index] = module(x, membranes[index])
            total.append(x)
        return torch.stack(total).mean(0)  # [B, classes]

    return run


def spikingjelly_multistep(network: EarlyExitNetwork) -> Twin:
    """Layer by layer over all timesteps, `IFNode` in multi-step mode: images to logits.

    Gradients are a triangle of half-width theta (SpikingJelly's piecewise quadratic surrogate).
    """
    modules, starts, timesteps = [], [], network.timesteps
    for module in _layers(network):
        if not isinstance(module, LIF):
            modules.append(layer.SeqToANNContainer(module))
            continue
        if module.beta != 1:
            raise ValueError(f"IFNode does not leak, these neurons do (beta={module.beta})")
        triangle = surrogate.PiecewiseQuadratic(alpha=1 / module.threshold)
        node = neuron.IFNode(
            module.threshold, None, triangle, detach_reset=True, step_mode="m"
        )  # fmt: skip
        starts.append((node, module.start * module.threshold))
        modules.append(node)
    twin = nn.Sequential(*modules)

    def run(images: Tensor) -> Tensor:
        functional.reset_net(twin)
        for node, start in starts:
            node.v = start
        steps = images.unsqueeze(0).repeat(timesteps, *[1] * images.ndim)  # [T, B, ...]
        return twin(steps).mean(0)  # [B, classes]

    return run
