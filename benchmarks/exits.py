"""Staged inference beside the full network, INT8 beside FP32, recording beside inference."""

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.limit import products_of
from benchmarks.models import ann, dynamic_ann, random_images, snn
from benchmarks.timing import Case, Contest
from sparq_utils.data import Images
from sparq_utils.networks.conversion import convert
from sparq_utils.networks.counting import static_counts
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.fastest import optimize_for_inference
from sparq_utils.networks.inference import Answers, staged_inference
from sparq_utils.networks.quantization import calibrate, quantize_aware, to_int8
from sparq_utils.networks.recording import record

THRESHOLDS = (0.6, 0.7)


def cases() -> Iterator[Case]:
    """Rows that compare the package with itself."""
    for batch in (1, 256):
        yield Case(
            f"staged inference at 0.6/0.7, alexnet, batch {batch}: share of the promised gain",
            "our full network",
            0.9,
            lambda b=batch: staged("alexnet", b),
        )
    for batch, floor in ((1, 2), (64, 1.2)):
        yield Case(
            f"INT8 inference, alexnet, T=4, batch {batch}",
            "our FP32 network",
            floor,
            lambda b=batch: int8(b),
        )
    for name, count in (("lenet5", 2000), ("alexnet", 64)):
        yield Case(
            f"recording with exact counts, {name}, T=4",
            "plain inference",
            1 / 1.3,
            lambda n=name, c=count: recording(n, c),
        )


def staged(name: str, batch: int) -> Contest:
    """Images one at a time or together; the promise is dense MACs of all over MACs spent."""
    count = max(batch, 32)
    images = random_images(name, count)
    network = dynamic_ann(name, THRESHOLDS, images)
    full = network.without_exits()
    batches = images.split(batch)

    @torch.no_grad()
    def ours() -> Tensor:
        return torch.stack([_columns(staged_inference(network, x, THRESHOLDS)) for x in batches])

    @torch.no_grad()
    def theirs() -> None:
        for x in batches:
            full(x)[0].softmax(-1).max(-1)

    def check(answers: Tensor, _: None) -> None:
        logits = network(images)  # [exits, B, classes]
        sure, best = logits.softmax(-1).max(-1)  # [exits, B]
        prediction, left_at = answers.movedim(1, 0).flatten(1)  # [B]
        here = torch.arange(count)
        assert (best[left_at, here] == prediction).double().mean() >= 0.99
        limits = torch.tensor([*THRESHOLDS, 0.0])
        assert (sure[left_at, here] >= limits[left_at] - 1e-3).all(), "left too early"

    with torch.no_grad():
        left_at = staged_inference(network, images, THRESHOLDS).exit
    return Contest(ours, theirs, check, promise(network, left_at), products_of(network, ours))


def _columns(answers: Answers) -> Tensor:
    """Prediction and exit [2, B]."""
    return torch.stack([answers.prediction, answers.exit])


def promise(network: EarlyExitNetwork, left_at: Tensor) -> float:
    """MACs of the plain network over the mean MACs of images that leave at these exits."""
    counts = static_counts(network)
    macs = {part: count.dense_macs for part, count in counts.items()}
    cumulative, spent = [], 0
    for index in range(network.exits):
        spent += macs["stage", index] + macs["head", index]
        cumulative.append(spent)
    full = sum(macs["stage", index] for index in range(network.exits))
    full += macs["head", network.exits - 1]
    return full / torch.tensor(cumulative, dtype=torch.float64)[left_at].mean().item()


def int8(batch: int) -> Contest:
    """AlexNet on FBGEMM's kernels and in floating point, both layer by layer over T = 4."""
    network, images = snn("alexnet", 4), random_images("alexnet", batch)
    prepared = quantize_aware(network)
    calibrate(prepared, random_images("alexnet", 8, seed=2))
    quantised = optimize_for_inference(to_int8(prepared))

    def run(which: EarlyExitNetwork):
        @torch.no_grad()
        def forward() -> Tensor:
            return which(images)[0]

        return forward

    def check(ours: Tensor, _: Tensor) -> None:
        with torch.no_grad():
            simulated = prepared.eval()(images)[0]
        related = torch.corrcoef(torch.stack([ours.flatten(), simulated.flatten()]))[0, 1]
        assert related > 0.99, f"INT8 and its simulation are related by {related:.3f} only"

    ours = run(quantised)
    return Contest(ours, run(network), check, limit=products_of(quantised, ours))


def recording(name: str, count: int) -> Contest:
    """A trace of the dynamic spiking network, and the bare logits of the same images."""
    network = convert(ann(name), random_images(name, 32, seed=2), 4, threshold="percentile")
    pixels = (random_images(name, count) * 255).to(torch.uint8)
    images = Images(pixels, torch.arange(count) % 10, "noise", "test", "random pixels")

    @torch.no_grad()
    def theirs() -> Tensor:
        batches = (slice(at, at + 250) for at in range(0, count, 250))
        return torch.cat([network(images.floats(batch)) for batch in batches], 1)

    def check(trace, logits: Tensor) -> None:
        prediction = torch.from_numpy(trace.prediction).long()
        assert (prediction == logits.argmax(-1)).double().mean() >= 0.99
        assert (trace.count("acs") > 0).all()

    return Contest(lambda: record(network, images, "snn"), theirs, check)
