"""The C file as WebAssembly: a network that a page runs, and shows at work.

The page once had the same arithmetic in JavaScript as well. Against that, for LeNet-5 in headless
Chromium: a page of 171 kB instead of 177 kB (102 instead of 101 kB where it travels compressed),
the first digit, which JavaScript still interprets, in 8 ms instead of 56, later ones in about half
the time. So the arithmetic exists once.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from sparq_utils.deploy.c_code import c_file, described_as
from sparq_utils.deploy.c_watched import watched_layers
from sparq_utils.toolchain import build_once

if TYPE_CHECKING:
    from sparq_utils.networks.early_exit import EarlyExitNetwork

EXPORTS = ("classify", "watched", "answers", "spent", "image", "thresholds", "answer")
"""What the module shows of itself, beside its `memory`: a function and places."""

BUFFERS = """
uint8_t image[IMAGE_BYTES];
float thresholds[EXITS];
answer_t answer;
"""


def wasm(network: "EarlyExitNetwork | Mapping", company: np.ndarray | None = None) -> dict:
    """A network as a WebAssembly module without imports, and what a page needs to run it.

    Keys: `code` (bytes, the module), `name`, `input_shape`, `timesteps`, `encoding`, `exits`,
    `classes`, and `layers`, one for each layer of neurons (below). A module that was built before
    is used again.

    Write the pixels (uint8, [height][width][channels]) at `image.value` of `memory`, float32
    thresholds at `thresholds.value` (one for each exit but the last; 2 for never), call
    `classify(image.value, thresholds.value, answer.value)`, and read, little-endian:

    - `answer.value`: int32 exit, int32 prediction, float32 confidence, float32 logits [classes];
    - `answers.value`: the same for every exit that was reached, one after the other;
    - `spent.value`: uint32 [exits][2], additions (ACs) and multiplications (MACs) until there,
      heads on the way included; multiplications of pixels that are zero are not made;
    - `watched.value`: uint8, what every neuron did at every step. A layer has its `part`, its
      `shape` [height, width, channels] ([1, 1, outputs] if linear), `start`, `stride`, `steps`:
      neuron (y, x, c) at step t lies at start + ((y * width + x) * channels + c) * stride + t.
      For levels there is one step, whose number is the level.

    Raises `CompilerError` without ziglang, `ValueError` for what the C file has no code for.
    """
    described = described_as(network)
    header, code = c_file(described, company)
    exports = [f"-Wl,--export={name}" for name in EXPORTS]
    flags = ["-Os", "-DWATCHED", "-nostdlib", "-Wl,--no-entry", *exports, "-Wl,--strip-all"]
    built = build_once(
        described["name"], header, code + BUFFERS, flags, ".wasm", target="wasm32-freestanding"
    )
    heads = [layer for layer in described["layers"] if layer["part"].startswith("head")]
    return {
        "code": built.read_bytes(),
        "name": described["name"],
        "input_shape": list(described["input_shape"]),
        "timesteps": described["timesteps"],
        "encoding": described["encoding"],
        "exits": len({layer["part"] for layer in heads}),
        "classes": len(heads[-1]["weight"]),
        "layers": watched_layers(described),
    }
