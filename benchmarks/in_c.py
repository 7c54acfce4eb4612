"""Staged inference where layers are small: a network as a C file beside itself and PyTorch."""

from collections.abc import Iterator
from functools import cache

import numpy as np
import torch

from benchmarks.exits import THRESHOLDS, promise
from benchmarks.timing import Case, Contest
from sparq_utils import data
from sparq_utils.deploy.host import Native, native
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.fastest import optimize_for_inference
from sparq_utils.networks.inference import staged_inference
from sparq_utils.networks.int8 import load_int8
from sparq_utils.results.files import results_dir

DIGITS = 256


def cases() -> Iterator[Case]:
    """What leaving early is worth in C, and C beside PyTorch, one digit at a time and together."""
    for batch in (1, 256):
        name = f"staged inference at 0.6/0.7, lenet5 as a C file, T=4, batch {batch}"
        yield Case(
            f"{name}: share of the promised gain",
            "its full network",
            0.8,
            lambda b=batch: leaving(b),
        )
        yield Case(name, "our staged INT8 network", 1.0, lambda b=batch: beside_pytorch(b))


@cache
def recorded() -> tuple[EarlyExitNetwork, Native]:
    """The INT8 spiking network with exits, as it was recorded, and its C file."""
    network = load_int8(results_dir() / "lenet-mnist/seed-0/qdsnn.safetensors")
    return network, native(network)


def leaving(batch: int) -> Contest:
    """With exits and through the whole network; the promise is that of the dense MACs."""
    network, in_c = recorded()
    digits = data.load("MNIST").test.take(DIGITS)
    batches = np.split(digits.pixels.numpy(), DIGITS // batch)
    left_at = staged_inference(network, digits.floats(), THRESHOLDS).exit
    return Contest(
        lambda: [in_c(x, THRESHOLDS) for x in batches],
        lambda: [in_c(x) for x in batches],
        lambda ours, _: _same(ours, left_at.numpy()),
        promise(network, left_at),
    )


def beside_pytorch(batch: int) -> Contest:
    """The same network and digits on FBGEMM's kernels."""
    network, in_c = recorded()
    network, digits = optimize_for_inference(network), data.load("MNIST").test.take(DIGITS)
    return Contest(
        lambda: [in_c(x, THRESHOLDS) for x in np.split(digits.pixels.numpy(), DIGITS // batch)],
        lambda: [staged_inference(network, x, THRESHOLDS) for x in digits.floats().split(batch)],
        lambda ours, theirs: _same(ours, torch.cat([a.exit for a in theirs]).numpy()),
    )


def _same(replies: list, left_at: np.ndarray) -> None:
    """The exits that images left at."""
    np.testing.assert_array_equal(np.concatenate([reply.exit for reply in replies]), left_at)
