"""The C file as WebAssembly, for a page that shows a network at work."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from sparq_utils.deploy.c_code import deploy, described_as, watched_layers
from sparq_utils.deploy.toolchain import build

if TYPE_CHECKING:
    from sparq_utils.networks.early_exit import EarlyExitNetwork

EXPORTS = ("classify", "watched", "answers", "spent", "image", "thresholds", "answer")


def wasm(network: "EarlyExitNetwork | Mapping", company: np.ndarray | None = None) -> bytes:
    """A network's C file as a WebAssembly module for wasm32-freestanding, without imports.

    Write the pixels (uint8, [height][width][channels]) at `image.value` of `memory`, float32
    thresholds at `thresholds.value` (one for each exit but the last; 2 for never), call
    `classify(image.value, thresholds.value, answer.value)`, and read, little-endian:

    - `answer.value`: int32 exit, int32 prediction, float32 confidence, float32 logits [classes];
    - `answers.value`: the same for every exit that was reached, one after the other;
    - `spent.value`: uint32 [exits][2], additions (ACs) and multiplications (MACs) until there,
      heads on the way included; multiplications of pixels that are zero are not made;
    - `watched.value`: uint8, what every neuron did at every step, where :func:`watched_in` says.

    Raises `CompilerError` without ziglang, `ValueError` for what the C file has no code for.
    """
    with TemporaryDirectory() as folder:
        source = deploy(network, folder, company)
        source.write_text(f"{source.read_text('utf-8')}\n{_BUFFERS}", "utf-8")
        exports = [f"-Wl,--export={name}" for name in EXPORTS]
        flags = ["-DWATCHED", "-nostdlib", "-Wl,--no-entry", *exports, "-Wl,--strip-all"]
        built = build(source, "wasm32-freestanding", flags, Path(folder) / "network.wasm")
        return built.read_bytes()


_BUFFERS = """\
uint8_t image[IMAGE_BYTES];
float thresholds[EXITS];
answer_t answer;
"""


def watched_in(network: "EarlyExitNetwork | Mapping") -> list[dict]:
    """Where `watched` holds what: `part`, `shape` [height, width, channels], `start` and `steps`.

    Neuron (y, x, c) at step t lies at start + ((y * width + x) * channels + c) * stride + t,
    `stride` bytes for a neuron. A linear layer's shape is [1, 1, outputs]. For levels there is one
    step, whose number is the level.
    """
    return watched_layers(described_as(network))
