"""How cost grows with T, batch and depth, and how much of it the convolutions alone take."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks import products
from benchmarks.exits import THRESHOLDS, promise
from benchmarks.models import dynamic_ann, random_images, snn
from benchmarks.peers import Twin, snntorch_loop, spikingjelly_multistep
from benchmarks.timing import once
from sparq_utils.networks.conversion import convert
from sparq_utils.networks.early_exit import EarlyExitNetwork, layers_of
from sparq_utils.networks.fastest import optimize_for_inference
from sparq_utils.networks.inference import staged_inference

WAYS: dict[str, Callable[[EarlyExitNetwork], Twin]] = {
    "ours": optimize_for_inference,
    "snnTorch": snntorch_loop,
    "SpikingJelly": spikingjelly_multistep,
}


def measure(rounds: int = 3) -> list[dict]:
    """Milliseconds an image as a list of {figure, x, way, ms}."""
    rows = []
    for figure, x, network, images in _points():
        ways = {name: _ready(make, network, images) for name, make in WAYS.items()}
        for name, seconds in _in_turn(ways, rounds).items():
            rows.append({"figure": figure, "x": x, "way": name, "ms": seconds * 1e3 / len(images)})
    for name, timesteps, batch in (("lenet5", 4, 128), ("lenet5", 32, 16), ("alexnet", 4, 15)):
        label = f"{name}, T={timesteps}"
        network = optimize_for_inference(snn(name, timesteps))
        for kind, seconds in _by_kind(network, random_images(name, batch), rounds):
            rows.append({"figure": "floor", "x": label, "way": kind, "ms": seconds * 1e3 / batch})
    rows += [
        {"figure": "products", "x": layer, "way": form, "ms": seconds * 1e3}
        for layer, form, seconds in products.measure(rounds)
    ]
    for name in ("lenet5", "alexnet"):
        for batch in (1, 256):
            for way, speed_up in _staged(name, batch, 10 * rounds).items():
                label = f"{name}, batch {batch}"
                rows.append({"figure": "staged", "x": label, "way": way, "times": speed_up})
    return rows


@torch.no_grad()
def _staged(name: str, batch: int, rounds: int) -> dict[str, float]:
    """How many times as fast as the full network staged inference can be, and is.

    By its MACs, by the time of its layers alone for as many images as inference takes at once,
    and by the clock.
    """
    images = random_images(name, max(batch, 32))
    network = dynamic_ann(name, THRESHOLDS, images)
    full = network.without_exits()
    left_at = staged_inference(network, images, THRESHOLDS).exit  # [B]

    def seconds(layers: nn.Module, x: Tensor) -> float:
        return sorted(once(partial(layers, x)) for _ in range(rounds))[rounds // 2]

    piece = next(network.pieces(images[:batch]))  # [b, ...]
    spent, features = 0.0, piece
    for index, (stage, head) in enumerate(zip(network.stages, network.heads, strict=True)):
        arrived = stage(features)
        reached = (left_at >= index).double().mean().item()
        spent += reached * (seconds(stage, features) + seconds(head, arrived))
        features = arrived
    batches = images.split(batch)
    ways = {
        "staged": lambda: [staged_inference(network, x, THRESHOLDS) for x in batches],
        "full": lambda: [full(x)[0].softmax(-1).max(-1) for x in batches],
    }
    measured = _in_turn(ways, rounds // 3)
    return {
        "promised by MACs": promise(network, left_at),
        "allowed by its layers": seconds(full, piece) / spent,
        "measured": measured["full"] / measured["staged"],
    }


def _points() -> Iterator[tuple[str, int, EarlyExitNetwork, Tensor]]:
    """Figure, position on its axis, plain spiking network, images."""
    for timesteps in (1, 2, 4, 8, 16, 32):
        yield "timesteps", timesteps, snn("lenet5", timesteps), random_images("lenet5", 64)
    for batch in (1, 4, 16, 64, 256):
        yield "batch", batch, snn("lenet5", 4), random_images("lenet5", batch)
    for depth in (1, 2, 4, 8):
        yield "depth", depth, _chain(depth), random_images("lenet5", 64)


def _chain(depth: int) -> EarlyExitNetwork:
    """Convolutions of 8 channels on 14x14, one after the other, T = 4."""
    layers: list[nn.Module] = [nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
    head = nn.Sequential(nn.Flatten(), nn.Linear(8 * 14 * 14, 10))
    network = EarlyExitNetwork([nn.Sequential(*layers)], [head], (1, 28, 28))
    return convert(network, random_images("lenet5", 8), 4, threshold="percentile")


def _ready(make, network: EarlyExitNetwork, images: Tensor):
    """One way to run a network on images, without gradients."""
    return torch.no_grad()(partial(make(network), images))


def _in_turn(ways: dict, rounds: int) -> dict[str, float]:
    """The median time of each way, timed in turn after one round that warms up."""
    times = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            seconds = once(way)
            if number:
                times[name].append(seconds)
    return {name: sorted(seconds)[len(seconds) // 2] for name, seconds in times.items()}


@torch.no_grad()
def _by_kind(network: EarlyExitNetwork, images: Tensor, rounds: int) -> Iterator[tuple[str, float]]:
    """Seconds that each kind of layer takes, all layers of the kind together."""
    totals: dict[str, float] = {}
    features = network.encoder(images)
    for layer in (*layers_of(network.stages[0]), *layers_of(network.heads[0])):
        layer(features)
        seconds = min(once(partial(layer, features)) for _ in range(rounds))
        inner = getattr(layer, "neurons", getattr(layer, "layer", layer))  # what it is a form of
        kind = type(inner).__name__
        totals[kind] = totals.get(kind, 0.0) + seconds
        features = layer(features)
    yield from (
        (kind, seconds) for kind, seconds in totals.items() if kind not in ("Flatten", "Identity")
    )
