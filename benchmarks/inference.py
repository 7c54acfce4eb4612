"""Spiking inference and training beside snnTorch's loop and SpikingJelly's multi-step mode."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks.limit import products_of
from benchmarks.models import ann, random_images, snn
from benchmarks.peers import Twin, snntorch_loop, spikingjelly_multistep
from benchmarks.timing import Case, Contest
from sparq_utils.networks.conversion import convert
from sparq_utils.networks.fastest import optimize_for_inference
from sparq_utils.networks.spiking import LIF, fast_sigmoid, triangular

SNNTORCH, SPIKINGJELLY = "snnTorch, step loop", "SpikingJelly 2.0, multi-step"
TWINS = {SNNTORCH: snntorch_loop, SPIKINGJELLY: spikingjelly_multistep}

FLOORS = {
    # network, T, batch: at least so many times as fast as snnTorch and as SpikingJelly
    ("lenet5", 32, 256): (4, 4),
    ("lenet5", 4, 256): (3, 2.5),
    ("lenet5", 32, 1): (3, 2),
    ("lenet5", 4, 1): (2, 1.5),
    ("alexnet", 4, 16): (2, 1.6),
    ("alexnet", 32, 4): (2, 1.6),
}


def cases() -> Iterator[Case]:
    """Inference of both networks, and a training step of LeNet-5."""
    for (name, timesteps, batch), floors in FLOORS.items():
        for peer, floor in zip(TWINS, floors, strict=True):
            yield Case(
                f"SNN inference, {name}, T={timesteps}, batch {batch}",
                peer,
                floor,
                lambda n=name, t=timesteps, b=batch, p=peer: inference(n, t, b, p),
            )
    for peer, floor in ((SNNTORCH, 2), (SPIKINGJELLY, 1.5)):
        yield Case(
            "SNN training step, lenet5, T=4, batch 256", peer, floor, lambda p=peer: training(p)
        )


def inference(name: str, timesteps: int, batch: int, peer: str) -> Contest:
    """The plain network and its twin on the same images."""
    plain, images = snn(name, timesteps), random_images(name, batch)
    network, twin = optimize_for_inference(plain), TWINS[peer](plain)

    @torch.no_grad()
    def ours() -> Tensor:
        return network(images)[0]  # [B, classes]

    @torch.no_grad()
    def theirs() -> Tensor:
        return twin(images)

    return Contest(ours, theirs, same_logits, limit=products_of(network, ours))


def same_logits(ours: Tensor, theirs: Tensor) -> None:
    """The same predictions and nearly the same logits [B, classes].

    SpikingJelly fires at the threshold, we above it, and sums are rounded in another order: of
    the many spikes of a batch, a few differ.
    """
    off = (ours - theirs).abs()
    scale = ours.std()
    assert off.median() <= 2e-3 * scale, f"logits differ by {off.median():.2g} of {scale:.2g}"
    agree = (ours.argmax(-1) == theirs.argmax(-1)).double().mean()
    assert agree >= 0.99, f"only {agree:.1%} of the predictions agree"


def training(peer: str, timesteps: int = 4, batch: int = 256) -> Contest:
    """Forward, loss and backward of one batch: the loss and all weights' gradients."""
    images = random_images("lenet5", batch)
    network = convert(
        ann("lenet5"), random_images("lenet5", 32, seed=2), timesteps, threshold="percentile"
    ).without_exits()
    network.train().requires_grad_(True)
    for module in network.modules():
        if isinstance(module, LIF):
            module.surrogate = fast_sigmoid if peer == SNNTORCH else triangular
    weights = list(network.parameters())
    labels = torch.arange(batch) % 10
    twin = TWINS[peer](network)

    def step(run: Twin) -> Tensor:
        loss = cross_entropy(run(images), labels)
        gradients = torch.autograd.grad(loss, weights)
        return torch.cat([loss.detach()[None], *(g.flatten() for g in gradients)])

    return Contest(lambda: step(lambda x: network(x)[0]), lambda: step(twin), same_gradients)


def same_gradients(ours: Tensor, theirs: Tensor) -> None:
    """Loss and gradients in one vector, up to rounding and the few spikes that it changes."""
    off = (ours - theirs).norm() / theirs.norm()
    assert off < 1e-2, f"gradients differ by {off:.2%}"
