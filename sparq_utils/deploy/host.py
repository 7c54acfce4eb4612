"""The C file on this machine: built once, called from NumPy."""

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sparq_utils.deploy.c_code import c_file, described_as
from sparq_utils.toolchain import build_once

if TYPE_CHECKING:
    from sparq_utils.networks.early_exit import EarlyExitNetwork

WHOLE_ONE = 65536
"""What a probability of 1 is in a file of whole numbers."""


@dataclass(frozen=True)
class Replies:
    """What the C file answers to images.

    `exit` and `prediction` int64 [N], `confidence` float64 [N] in [0, 1], `logits` float64 [N,
    classes] (those of a file of whole numbers in its own units).
    """

    exit: np.ndarray
    prediction: np.ndarray
    confidence: np.ndarray
    logits: np.ndarray


class Native:
    """A network built for this machine; call it with images and thresholds."""

    def __init__(self, library: Path, network: Mapping, whole: bool) -> None:
        self.input_shape = tuple(network["input_shape"])
        heads = [layer for layer in network["layers"] if layer["part"].startswith("head")]
        self.exits = len({layer["part"] for layer in heads})
        self.whole = whole
        real = ctypes.c_uint32 if whole else ctypes.c_float

        class Answer(ctypes.Structure):
            _fields_ = (
                ("exit", ctypes.c_int32),
                ("prediction", ctypes.c_int32),
                ("confidence", real),
                (
                    "logits",
                    (ctypes.c_int32 if whole else ctypes.c_float) * len(heads[-1]["weight"]),
                ),
            )

        self._answer, self._thresholds = Answer, real * max(self.exits - 1, 1)
        self._classify = ctypes.CDLL(str(library)).classify
        self._classify.argtypes = [ctypes.c_void_p, ctypes.POINTER(real), ctypes.POINTER(Answer)]
        self._classify.restype = None

    def __call__(self, images: np.ndarray, thresholds: Sequence[float] | None = None) -> Replies:
        """Classify images uint8 [N, C, H, W], one after the other, each leaving when sure enough.

        Without thresholds all go through the whole network. Raises `ValueError` for images of
        another kind and thresholds that are not one for each exit but the last.
        """
        images = checked_bytes(images, self.input_shape)
        bounds = self._thresholds(*in_c(thresholds, self.exits, self.whole))
        if images.ndim == 4:
            images = images.transpose(0, 2, 3, 1)  # [N, H, W, C]
        images = np.ascontiguousarray(images).reshape(len(images), -1)
        answers = (self._answer * len(images))()
        size = images.shape[1]
        for number in range(len(images)):
            self._classify(images.ctypes.data + number * size, bounds, answers[number])
        told = [(a.exit, a.prediction, a.confidence, *a.logits) for a in answers]
        return replies_of(told, self.whole)


def checked_bytes(images: np.ndarray, input_shape: tuple[int, ...]) -> np.ndarray:
    """Images as an array; raises `ValueError` unless they are uint8 [N, *input_shape]."""
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.shape[1:] != input_shape:
        raise ValueError(
            f"images are {images.dtype} {images.shape}, expected uint8 [N, "
            f"{', '.join(map(str, input_shape))}]"
        )
    return images


def in_c(thresholds: Sequence[float] | None, exits: int, whole: bool) -> list:
    """Thresholds as the C file compares them: the smallest of its numbers that is not below.

    Raises `ValueError` unless there is one in [0, 1] for each exit but the last.
    """
    if thresholds is None:
        return [2 * WHOLE_ONE if whole else 2.0] * (exits - 1)
    given = np.array(thresholds, float)
    if given.shape != (exits - 1,) or not ((given >= 0) & (given <= 1)).all():
        raise ValueError(f"thresholds {list(thresholds)}: need {exits - 1} in [0, 1]")
    if whole:
        return [int(bound) for bound in np.ceil(given * WHOLE_ONE)]
    near = given.astype(np.float32)
    return np.where(near < given, np.nextafter(near, np.float32(2)), near).tolist()


def replies_of(answers: Sequence[tuple], whole: bool) -> Replies:
    """Answers (exit, prediction, confidence, logits ...) of the C file as arrays."""
    exits, predictions, confidences, *logits = zip(*answers, strict=True)
    return Replies(
        exit=np.array(exits, np.int64),
        prediction=np.array(predictions, np.int64),
        confidence=np.array(confidences, float) / (WHOLE_ONE if whole else 1),
        logits=np.array(logits, float).T,
    )


def native(
    network: "EarlyExitNetwork | Mapping",
    company: np.ndarray | None = None,
    whole: bool = False,
    dense: bool = False,
) -> Native:
    """Build a network's C file for this machine; a library that was built before is used again.

    Arguments as :func:`~sparq_utils.deploy.c_code.deploy`; `dense` meets every weight. Raises
    `CompilerError` without a C compiler, `ValueError` for what the file has no code for.
    """
    described = described_as(network)
    header, code = c_file(described, company, whole, dense)
    flags = ["-shared", "-fPIC", "-nostdlib"]
    library = build_once(described["name"], header, code, flags, ".so")
    return Native(library, described, whole)
