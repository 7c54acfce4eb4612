"""The pipeline's end beside its start: AlexNet in INT8 with exits, and as it came."""

from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor

from benchmarks.exits import THRESHOLDS
from benchmarks.limit import products_of
from benchmarks.models import ann, snn
from benchmarks.timing import Case, Contest
from sparq_utils import data
from sparq_utils.networks.conversion import fold_batch_norm
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.fastest import optimize_for_inference
from sparq_utils.networks.inference import Answers, staged_inference
from sparq_utils.networks.int8 import load_int8
from sparq_utils.results.files import results_dir

PEERS = {
    "plain FP32 ANN": lambda: fold_batch_norm(ann("alexnet")).without_exits(),
    "plain FP32 SNN, T=32": lambda: snn("alexnet", 32),
}


def cases() -> Iterator[Case]:
    """What exits, few timesteps and eight bits together are worth on the clock."""
    for peer in PEERS:
        for batch in (1, 64):
            name = f"staged INT8 inference at 0.6/0.7, alexnet, T=4, batch {batch}"
            yield Case(name, peer, 1.0, lambda p=peer, b=batch: staged_int8(p, b))


@cache
def recorded() -> EarlyExitNetwork:
    """The INT8 spiking network with exits, as it was recorded."""
    network = load_int8(results_dir() / "alexnet-cifar10/seed-0/qdsnn.safetensors")
    return optimize_for_inference(network)


def staged_int8(peer: str, batch: int) -> Contest:
    """64 test images, `batch` at a time. What the peer's weights are makes no difference here."""
    network, plain = recorded(), PEERS[peer]()
    images = data.load("CIFAR-10").test.take(64).floats()  # [64, 3, 32, 32]
    batches = images.split(batch)

    def ours() -> list[Answers]:
        return [staged_inference(network, x, THRESHOLDS) for x in batches]

    @torch.no_grad()
    def theirs() -> list[Tensor]:
        return [plain(x) for x in batches]

    def check(answers: list[Answers], _: list[Tensor]) -> None:
        with torch.no_grad():
            sure, best = network(images).softmax(-1).max(-1)  # [exits, B]
        left_at = torch.cat([a.exit for a in answers])
        leaves = sure >= torch.tensor([*THRESHOLDS, 0.0], dtype=torch.float64)[:, None]
        assert torch.equal(left_at, leaves.int().argmax(0)), "left elsewhere than it should"
        expected = best.gather(0, left_at[None])[0]
        assert torch.equal(torch.cat([a.prediction for a in answers]), expected)

    return Contest(ours, theirs, check, limit=products_of(network, ours))
