"""What only a fresh process shows: the time of an import, the peak of the memory."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.timing import Case, Contest

MEGABYTE = 2**20


def cases() -> Iterator[Case]:
    """Imports beside torch's own, and memory beside what must not make it grow."""
    for module in ("sparq_utils", "sparq_utils.networks.inference"):
        yield Case(f"import {module}", "import torch", 1 / 1.1, lambda m=module: importing(m))
    yield Case(
        "peak memory (MB for ms), SNN of 12 layers, T=32, batch 64",
        "the same with 3 layers",
        0.9,
        lambda: peak((12, 64), (3, 64)),
    )
    yield Case(
        "peak memory (MB for ms), SNN of 3 layers, T=32, batch 4096",
        "the same at batch 256",
        0.9,
        lambda: peak((3, 4096), (3, 256)),
    )


def importing(module: str) -> Contest:
    """A new interpreter that imports a module, and one that imports torch."""

    def start(name: str) -> None:
        subprocess.run([sys.executable, "-c", f"import {name}"], check=True)

    return Contest(lambda: start(module), lambda: start("torch"), lambda *_: None)


def peak(ours: tuple[int, int], theirs: tuple[int, int]) -> Contest:
    """Peak memory of inference at (depth, batch), as if a megabyte were a millisecond.

    Fresh processes: a process never forgets its peak.
    """

    def measure(depth: int, batch: int) -> float:
        command = [sys.executable, "-m", "benchmarks.process", str(depth), str(batch)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return float(done.stdout) / 1000

    return Contest(measure(*ours), measure(*theirs), lambda *_: None)


def peak_of_inference(depth: int, batch: int, timesteps: int = 32) -> float:
    """Peak megabytes of this process, all of it, once a network has seen a batch.

    The network has `depth` convolutions of 8 channels on 28x28 images: the neurons of one layer
    emit 0.8 MB an image.
    """
    from torch import nn

    from sparq_utils.networks.conversion import convert
    from sparq_utils.networks.early_exit import EarlyExitNetwork

    blocks = [
        nn.Sequential(nn.Conv2d(1 if i == 0 else 8, 8, 3, padding=1), nn.ReLU())
        for i in range(depth)
    ]
    head = nn.Sequential(nn.Flatten(), nn.Linear(8 * 28 * 28, 10))
    network = convert(
        EarlyExitNetwork([nn.Sequential(*(layer for block in blocks for layer in block))], [head],
                         (1, 28, 28)),
        torch.rand(4, 1, 28, 28), timesteps, threshold="percentile",
    )  # fmt: skip
    images = torch.rand(batch, 1, 28, 28)
    with torch.no_grad():
        network(images)
    return _peak_bytes() / MEGABYTE


def _peak_bytes() -> int:
    """This process's peak; where there is no /proc, its parent's if that was larger."""
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    print(peak_of_inference(int(sys.argv[1]), int(sys.argv[2])))
