"""The steps of an INT8 network on a machine with little memory, and the maps between them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(eq=False)
class Map:
    """Features [height, width, channels] as they lie in memory, numbers from 0 to `most`.

    `kind` "pixels": an image, bytes. "bits": bytes of eight channels, for each of `lanes` and each
    bit of a number. "numbers": a byte for each channel, for each of `lanes`. Around them lies a
    `rim` of rows and columns of zeros. `place` is an offset into the arena in bytes; None is the
    caller's image itself. Where pooled sums may not fit a byte, up to `sums`, each is `rounded`
    uint8 [sums + 1] to what the synapse behind takes it for.
    """

    height: int
    width: int
    channels: int
    most: int
    kind: str
    lanes: int = 1
    rim: tuple[int, int] = (0, 0)
    place: int | None = None
    sums: int = 0
    rounded: np.ndarray | None = None

    @property
    def position(self) -> int:
        """Bytes of a position."""
        return -(-self.channels // 8) if self.kind == "bits" else self.channels

    @property
    def row(self) -> int:
        """Bytes from one row to the next."""
        return (self.width + 2 * self.rim[1]) * self.position

    @property
    def plane(self) -> int:
        """Bytes from one plane to the next."""
        return (self.height + 2 * self.rim[0]) * self.row

    @property
    def planes(self) -> int:
        """Planes of a lane."""
        return self.most.bit_length() if self.kind == "bits" else 1

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self.lanes * self.planes * self.plane

    def corner(self, padding: tuple[int, int] = (0, 0)) -> int:
        """Where the first row and column lie, or the padding before them."""
        down, right = (rim - pad for rim, pad in zip(self.rim, padding, strict=True))
        return down * self.row + right * self.position


@dataclass
class Step:
    """A synapse with the neurons (or the exit) behind it, or a pooling.

    `kind` "conv", "linear", "identity" or "avgpool". `weights` int8 [outputs, rows, columns,
    channels]; those of a linear layer form a window over all of its input, an identity has none.
    `beside` is the other way of a residual block, which leads to the same neurons. A step without
    `target` is an exit, or leads beside another.
    """

    part: str
    name: str
    kind: str
    layer: Mapping
    source: Map
    target: Map | None
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    weights: np.ndarray | None = None
    neurons: Mapping | None = None
    beside: "Step | None" = None

    @property
    def is_exit(self) -> bool:
        """Whether an image may leave here."""
        return self.target is None

    @property
    def ways(self) -> "list[Step]":
        """What brings something to its neurons: the step, and what leads beside it before."""
        return [self] if self.beside is None else [self.beside, self]

    @property
    def outputs(self) -> tuple[int, int, int]:
        """Height, width and channels of what comes out."""
        sizes = zip((self.source.height, self.source.width), self.kernel, self.padding, self.stride,
                    strict=True)  # fmt: skip
        channels = self.source.channels if self.weights is None else len(self.weights)
        return *((size + 2 * pad - k) // step + 1 for size, k, pad, step in sizes), channels


@dataclass
class Plan:
    """The steps of a network and what they need. `arena` counts bytes.

    `pixels` uint8 [256] is what the network takes a pixel for, None if that is the pixel.
    """

    name: str
    image: Map
    timesteps: int
    exits: int
    classes: int
    dense: bool
    steps: list[Step] = field(default_factory=list)
    arena: int = 0
    pixels: np.ndarray | None = None

    @property
    def synapses(self) -> list[Step]:
        """All that has weights, those that lead beside others included."""
        return [way for step in self.steps for way in step.ways if way.weights is not None]
