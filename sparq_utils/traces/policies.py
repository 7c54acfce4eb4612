"""When to leave: policies, and what they achieve.

A policy has one verb, `leaving(trace)`: int64 [samples], the exit at which each sample leaves.
Everywhere a sample leaves at the first exit that lets it go, and the last exit takes the rest.
Those of :class:`ByConfidence` rule live inference as well. Thresholds are chosen on validation
data by :mod:`sparq_utils.traces.sweeps`, tables by :mod:`~sparq_utils.traces.qlearning` and
:mod:`~sparq_utils.traces.optimum`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sparq_utils.traces.trace import COUNTS, ExitTrace

BIN_EDGES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
"""Where one confidence bin ends and the next begins: 13 bins, fine near 1, where softmax
confidences pile up. Bin k holds confidences in [edge k-1, edge k)."""


class Policy(Protocol):
    """Anything that says when the samples of a trace leave."""

    def leaving(self, trace: ExitTrace) -> np.ndarray:
        """The exit at which each sample leaves: int64 [samples]."""
        ...


class ByConfidence(ABC):
    """A policy that asks an exit's confidence alone, so it needs no trace to be used."""

    @abstractmethod
    def check(self, exits: int) -> None:
        """Raise `ValueError` unless this policy is one for a network of so many exits."""

    @abstractmethod
    def lets_go(self, exit: int, confidence: np.ndarray) -> np.ndarray:
        """Whether each of these confidences [n] may leave at an exit but the last: bool [n]."""

    def leaving(self, trace: ExitTrace) -> np.ndarray:
        """The exit at which each sample leaves: int64 [samples]."""
        self.check(trace.exits)
        rows = [self.lets_go(exit, sure) for exit, sure in enumerate(trace.confidence[:-1])]
        return _first(np.array(rows, dtype=bool).reshape(trace.exits - 1, trace.samples))


@dataclass(frozen=True)
class Thresholds(ByConfidence):
    """Leave at the first exit whose confidence reaches its threshold.

    `values`, in [0, 1], are one per exit but the last. Confidence is compared in float64. Raises
    `ValueError` for a value outside [0, 1] and, once it meets an exit too few or too many, there.
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse what is no threshold."""
        object.__setattr__(self, "values", tuple(checked_thresholds(self.values).tolist()))

    def __iter__(self) -> Iterator[float]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def __str__(self) -> str:
        return "thresholds " + "/".join(f"{value:g}" for value in self)

    def check(self, exits: int) -> None:
        """Raise `ValueError` unless there is one threshold per exit but the last."""
        if len(self) != exits - 1:
            raise ValueError(f"{len(self)} thresholds for {exits} exits: need {exits - 1}, the "
                             "last exit takes whoever is left")  # fmt: skip

    def lets_go(self, exit: int, confidence: np.ndarray) -> np.ndarray:
        """Whether each confidence [n] reaches the threshold of an exit: bool [n]."""
        return np.asarray(confidence, dtype=np.float64) >= self.values[exit]


@dataclass(frozen=True, eq=False)
class Table(ByConfidence):
    """Leave where a table over (exit, confidence bin) says so.

    `leave` is bool [exits, bins]; its last row is not read, since everybody leaves there.
    Raises `ValueError` for a table of another shape or edges that do not rise within (0, 1).
    """

    leave: np.ndarray
    bin_edges: Sequence[float] = BIN_EDGES

    def __post_init__(self) -> None:
        """Refuse what is no table over these bins."""
        bins = len(checked_edges(self.bin_edges)) + 1
        object.__setattr__(self, "leave", np.asarray(self.leave))
        if self.leave.dtype != bool or self.leave.ndim != 2 or self.leave.shape[1] != bins:
            raise ValueError(f"the table is {self.leave.dtype} {self.leave.shape}; expected bool "
                             f"[exits, {bins}]")  # fmt: skip

    def __str__(self) -> str:
        return "table over {} exits and {} confidence bins".format(*self.leave.shape)

    def check(self, exits: int) -> None:
        """Raise `ValueError` unless the table has one row per exit."""
        if len(self.leave) != exits:
            raise ValueError(f"the table is for {len(self.leave)} exits, not for {exits}")

    def lets_go(self, exit: int, confidence: np.ndarray) -> np.ndarray:
        """Whether the table leaves in the bin of each confidence [n]: bool [n]."""
        return self.leave[exit][_bins(confidence, self.bin_edges)]


@dataclass(frozen=True)
class LastExit:
    """Never leave early: everybody goes on to the last exit."""

    def leaving(self, trace: ExitTrace) -> np.ndarray:
        """The last exit for every sample: int64 [samples]."""
        return np.full(trace.samples, trace.exits - 1)


@dataclass(frozen=True)
class Oracle:
    """Leave at the first exit that is right, at the last if none is.

    It knows the labels: the best accuracy any policy can have, not a policy to deploy.
    """

    def leaving(self, trace: ExitTrace) -> np.ndarray:
        """The first exit that is right about each sample: int64 [samples]."""
        return _first(trace.correct[:-1])


@dataclass(frozen=True)
class Outcome:
    """What a policy achieves: fractions, and mean cumulative counts per image.

    `mean_counts` has the keys of :data:`sparq_utils.traces.trace.COUNTS` and "synaptic_ops".
    """

    accuracy: float
    exit_shares: tuple[float, ...]
    mean_counts: dict[str, float]


def outcome(trace: ExitTrace, leaving: np.ndarray) -> Outcome:
    """What it gives when sample i leaves at exit `leaving[i]`.

    Raises `ValueError` unless `leaving` names an exit for every sample.
    """
    counts = {name: trace.count(name) for name in COUNTS} | {"synaptic_ops": trace.synaptic_ops}
    return Outcome(
        accuracy=float(at_exit(trace.correct, leaving).mean()),
        exit_shares=tuple((np.bincount(leaving, minlength=trace.exits) / trace.samples).tolist()),
        mean_counts={name: float(at_exit(n, leaving).mean()) for name, n in counts.items()},
    )


def at_exit(values: np.ndarray, leaving: np.ndarray) -> np.ndarray:
    """What `values` [exits, samples] are at each sample's exit: [samples].

    Raises `ValueError` unless `leaving` [samples] names an exit for every sample.
    """
    check_leaving(leaving, *values.shape)
    return values[leaving, np.arange(leaving.size)]


def check_leaving(leaving: np.ndarray, exits: int, samples: int, name: str = "leaving") -> None:
    """Raise `ValueError` unless `leaving` [samples] names one of the exits for every sample."""
    whole = leaving.shape == (samples,) and leaving.dtype.kind in "iu"
    if not whole or leaving.min() < 0 or leaving.max() >= exits:
        raise ValueError(
            f"'{name}' is {leaving.dtype} {leaving.shape}: it must name one of {exits} exits for "
            f"each of {samples} samples"
        )


def confidence_bins(trace: ExitTrace, bin_edges: Sequence[float] = BIN_EDGES) -> np.ndarray:
    """The confidence bin of every sample at every exit: int64 [exits, samples].

    Raises `ValueError` if the edges do not rise strictly within (0, 1).
    """
    checked_edges(bin_edges)
    return _bins(trace.confidence, bin_edges)


def checked_thresholds(thresholds: Sequence[float] | np.ndarray) -> np.ndarray:
    """Thresholds as float64 [n]. Raises `ValueError` for one outside [0, 1] or NaN."""
    limits = np.asarray(thresholds, dtype=np.float64)
    if limits.ndim != 1:
        raise ValueError(f"thresholds {thresholds} must be a list of numbers in [0, 1]")
    for value in limits[~((limits >= 0) & (limits <= 1))]:
        raise ValueError(f"threshold {value:g} is outside [0, 1]")
    return limits


def checked_edges(bin_edges: Sequence[float]) -> np.ndarray:
    """Bin edges as float64 [n]. Raises `ValueError` unless they rise strictly within (0, 1)."""
    edges = np.asarray(bin_edges, dtype=np.float64)
    if edges.ndim != 1 or not (np.diff(np.concatenate([[0.0], edges, [1.0]])) > 0).all():
        raise ValueError(f"bin edges {tuple(bin_edges)} do not rise strictly between 0 and 1")
    return edges


def _bins(confidence: np.ndarray, bin_edges: Sequence[float]) -> np.ndarray:
    """The bin of each confidence: int64, of the same shape."""
    return np.searchsorted(bin_edges, np.asarray(confidence, dtype=np.float64), side="right")


def _first(leaves: np.ndarray) -> np.ndarray:
    """First exit that lets a sample go, given bool [exits - 1, samples]: int64 [samples]."""
    everybody = np.ones((1, leaves.shape[1]), dtype=bool)
    return np.concatenate([leaves, everybody]).argmax(axis=0)
