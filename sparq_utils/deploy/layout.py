"""How a layer's window and weights lie for the kernels of the C file, and what its sums need."""

from dataclasses import dataclass

import numpy as np

from sparq_utils.deploy.steps import Plan, Step

FITS = np.iinfo(np.int16)
ROWS = 2**16
"""Rows of weights that can be told apart."""

GROUPED = 8
"""Neurons of positions side by side that share a window."""


@dataclass
class Layout:
    """A window as the kernels see it, and the weights for what arrives in it.

    The window covers `group` output positions side by side, so that it has that many times as many
    `outputs`; a row of it is met in `pieces` of so many `bytes`. `together` are the pieces whose
    sums surely fit 16 bits, 0 if everything does. `words` are the weights, four to a uint32;
    `parts` and `arrivals` are what must be kept of a lane, `twos` pairs of numbers.
    """

    group: int
    outputs: int
    block: int
    rows: int
    pieces: int
    bytes: int
    together: int
    words: np.ndarray
    parts: int = 1
    arrivals: int = 0
    twos: int = 0
    narrow: bool = False


def layout(made: Plan, step: Step) -> Layout:
    """The layout of a synapse. Raises `ValueError`, naming it, if its window is too large."""
    weights = step.weights
    if step.source.kind != "bits":
        outputs, rows = weights.shape[:2]
        flat = weights.reshape(outputs, rows, -1)  # [outputs, rows, bytes]
        at_once = max(2, 8 // step.source.lanes // 2 * 2)
        at_once = _block(outputs, at_once, 2)
        words, twos = _by_twos(flat, at_once)
        return Layout(1, outputs, at_once, rows, 1, flat.shape[2], 0, words, twos=twos)
    group = _group(step)
    spread = _side_by_side(weights, group, step.stride[1])  # [group * outputs, rows, columns, ...]
    padded = np.pad(spread, [(0, 0)] * 3 + [(0, -spread.shape[3] % 8)])
    outputs, rows = padded.shape[:2]
    flat = padded.reshape(outputs, rows, -1)  # [outputs, rows, bits]
    if flat[0].size > ROWS:
        raise ValueError(f"{step.name} has {flat[0].size} inputs, the C file at most {ROWS}")
    pieces, together = _pieces(flat, step.source.most)
    parts = rows * pieces // together if together else 1
    planes, block = step.source.planes, _block(outputs, 16, 4)
    return Layout(
        *(group, outputs, block, rows, pieces, flat.shape[2] // 8 // pieces, together),
        words=_by_spikes(flat.reshape(outputs, -1), block),
        parts=planes * parts,
        arrivals=planes * spread[0].size,
        narrow=not together,
    )


def _group(step: Step) -> int:
    """Output positions that share a window: as many as fit, all groups alike."""
    alone = step.target is None or step.beside is not None
    outputs, width = len(step.weights), 1 if alone else step.target.width
    return max(n for n in range(1, width + 1) if n == 1 or not (n * outputs > GROUPED or width % n))


def _side_by_side(weights: np.ndarray, group: int, stride: int) -> np.ndarray:
    """Weights [outputs, rows, columns, channels] for several positions: [group * outputs, ...]."""
    outputs, rows, columns, channels = weights.shape
    shape = (group, outputs, rows, columns + (group - 1) * stride, channels)
    spread = np.zeros(shape, np.int8)
    for position in range(group):
        first = position * stride
        spread[position, :, :, first : first + columns] = weights
    return spread.reshape(-1, *shape[2:])


def _block(outputs: int, most: int, word: int) -> int:
    """Neurons that are summed at once: the fewest blocks, and in these the fewest to fill up."""
    blocks = -(-outputs // most)
    return -(-outputs // blocks // word) * word


def _by_twos(weights: np.ndarray, block: int) -> tuple[np.ndarray, int]:
    """Weights [outputs, rows, bytes] as [a block of outputs][two bytes][words]; how many twos.

    A word: the first byte to an output and to the next, the second byte to both.
    """
    padded = np.pad(weights, [(0, -len(weights) % block), (0, 0), (0, weights.shape[2] % 2)])
    pairs = padded.reshape(len(padded) // 2, 2, -1, 2)  # [two outputs, 2, two bytes, 2]
    fours = np.ascontiguousarray(pairs.transpose(0, 2, 3, 1)).reshape(*pairs.shape[::2], 4)
    words = fours.view("<u4")[..., 0]  # [two outputs, two bytes]
    blocks = words.reshape(-1, block // 2, words.shape[1]).transpose(0, 2, 1)
    return blocks.ravel(), words.shape[1]


def _by_spikes(weights: np.ndarray, block: int) -> np.ndarray:
    """Weights [outputs, inputs] as [a block of outputs][input][words], four outputs to a word.

    In a word the second and the third have changed places: where two sums share a register, the
    first and third byte are added to one, the second and fourth to the other.
    """
    padded = np.pad(weights, [(0, -len(weights) % block), (0, 0)])
    fours = padded.T.reshape(padded.shape[1], -1, 4)[:, :, [0, 2, 1, 3]]
    words = np.ascontiguousarray(fours).view("<u4")[..., 0]  # [inputs, words]
    return words.reshape(len(words), -1, block // 4).transpose(1, 0, 2).ravel()


def _pieces(weights: np.ndarray, most: int) -> tuple[int, int]:
    """Into how many pieces a row of [outputs, rows, bits] is cut, and how many go together.

    Sums of 16 bits are exact as long as the last one fits: no input whatsoever, numbers up to
    `most`, may lead beyond. Else every plane, of ones and zeros, is added for itself, in parts that
    are as large as possible. A piece of 256 inputs always fits.
    """
    outputs, rows, bits = weights.shape
    wide = weights.astype(np.int32).reshape(outputs, -1, 8)
    up, down = np.maximum(wide, 0).sum(2), np.minimum(wide, 0).sum(2)  # [outputs, bytes]
    if up.sum(1).max() * most <= FITS.max and down.sum(1).min() * most >= FITS.min:
        return 1, 0
    for pieces in (n for n in range(1, bits // 8 + 1) if bits // 8 % n == 0):
        number = rows * pieces
        for together in (n for n in range(number, 0, -1) if number % n == 0):
            parts = (outputs, number // together, -1)
            highest, lowest = up.reshape(parts).sum(2).max(), down.reshape(parts).sum(2).min()
            if highest <= FITS.max and lowest >= FITS.min:
                return pieces, together
    raise AssertionError("a byte of spikes fits 16 bits")
