"""What training minimises: the exits' joint loss, and what neurons spike."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import isfinite

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from sparq_utils.networks.spiking import LIF


def check_exit_weights(weights: Sequence[float] | None) -> None:
    """Raise `ValueError` unless a weighted mean can be taken."""
    if weights is not None and not (
        all(isfinite(weight) and weight >= 0 for weight in weights) and sum(weights) > 0
    ):
        raise ValueError(
            f"exit weights are {tuple(weights)}, expected numbers from 0, not all of them 0"
        )


def joint_loss(
    logits: Tensor,
    targets: Tensor,
    weights: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
    distillation: float = 0.0,
) -> Tensor:
    """Weighted mean of the cross-entropies of all exits (BranchyNet, Teerapittayanon 2016).

    `logits` [exits, B, classes]; `targets` int64 [B]; `weights` one per exit, all equal for None.
    With `distillation` the last exit teaches the others: their target is the label, mixed with
    that share of the last exit's answer (self-distillation, Phuong and Lampert, 2019).
    """
    check_exit_weights(weights)
    weights = [1.0] * len(logits) if weights is None else weights
    if len(weights) != len(logits):
        raise ValueError(f"{len(weights)} exit weights for {len(logits)} exits: need one an exit")
    classes = logits.shape[-1]
    label = one_hot(targets, classes).to(logits.dtype)  # [B, classes]
    label = label * (1 - label_smoothing) + label_smoothing / classes
    teacher = logits[-1].detach().softmax(-1)
    wanted = [label.lerp(teacher, distillation)] * (len(logits) - 1) + [label]
    losses = [
        weight * cross_entropy(exit_logits, target)
        for weight, exit_logits, target in zip(weights, logits, wanted, strict=True)
    ]
    return torch.stack(losses).sum() / sum(weights)


@contextmanager
def spikes_of(network: nn.Module) -> Iterator[list[Tensor]]:
    """While in use, the spikes of every LIF layer that runs: [T*B, ...] each, with gradients."""
    spikes: list[Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda _layer, _inputs, fired: spikes.append(fired))
        for layer in network.modules()
        if isinstance(layer, LIF)
    ]
    try:
        yield spikes
    finally:
        for hook in hooks:
            hook.remove()


def mean_spikes(spikes: Sequence[Tensor]) -> Tensor:
    """Spikes per neuron and timestep, a mean over the neurons of all layers alike.

    It is what :func:`~sparq_utils.traces.rivals.spike_rate` counts, but for output units, which
    never spike. Its gradient goes through the neurons' surrogates.
    """
    fired = torch.stack([layer.sum(dtype=torch.float32) for layer in spikes]).sum()
    return fired / sum(layer.numel() for layer in spikes)
