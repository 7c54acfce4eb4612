"""The contract between the torch half of the package and everything that reads results.

An :class:`ExitTrace` holds, for every sample and every exit, what a policy needs to decide
(confidence, prediction) and what a decision costs (cumulative operation counts).
"""

import json
import zipfile
import zlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

COUNTS = {
    "macs": "multiply-accumulates of analog-driven synapses, borders excluded",
    "acs": "accumulates triggered by spikes, one per connection the spike reaches",
    "spikes": "spikes that neurons (and a spike-coded input) emit: Eq. 8 as printed",
    "dense_macs": "Eq. 6-7 as printed: dense synapses, padding counted, one pass",
    "lif_updates": "membrane updates: neurons x timesteps (half of Eq. 9)",
    "neurons": "neurons, output layer included, each counted once",
    "weights": "distinct parameters of the synapses that were evaluated",
    "weight_passes": "parameters x the timesteps their synapse ran",
}
"""What each count means. All are per image and cumulative: the cost of leaving at that exit."""

ENCODINGS = ("analog", "direct", "rate", "latency")


class TraceError(ValueError):
    """A trace that is damaged, foreign or inconsistent."""


@dataclass(frozen=True)
class MeasuredOn:
    """What a trace was measured on. `encoding` is "analog" for an ANN."""

    network: str
    variant: str
    timesteps: int
    encoding: str
    weight_bits: int
    seed: int
    data: str
    split: str
    provenance: str
    version: str
    hardware: str = "not recorded"


@dataclass(frozen=True)
class ExitTrace:
    """Confidence, prediction and cumulative cost of every sample at every exit.

    Shapes: `confidence` float32 [exits, samples] in [0, 1]; `prediction` uint8
    [exits, samples]; `labels` uint8 [samples]; each of `counts` (keys of :data:`COUNTS`)
    int64, [exits, samples] or [exits, 1] where it does not depend on the sample.

    Raises :class:`TraceError` if a shape, a dtype, a range or a count is wrong.
    """

    confidence: np.ndarray
    prediction: np.ndarray
    labels: np.ndarray
    counts: dict[str, np.ndarray]
    measured_on: MeasuredOn

    def __post_init__(self) -> None:
        """Refuse what no recording can have produced."""
        for problem in _problems(self):
            raise TraceError(f"not a valid exit trace: {problem}")

    @property
    def exits(self) -> int:
        """Number of exits, the last one included."""
        return self.confidence.shape[0]

    @property
    def samples(self) -> int:
        """Number of samples."""
        return self.confidence.shape[1]

    @property
    def correct(self) -> np.ndarray:
        """Whether each exit's prediction is right: bool [exits, samples]."""
        return self.prediction == self.labels

    @property
    def synaptic_ops(self) -> np.ndarray:
        """MACs plus ACs, cumulative: int64 [exits, samples]."""
        return np.broadcast_to(self.counts["macs"] + self.counts["acs"], self.confidence.shape)

    def count(self, name: str) -> np.ndarray:
        """One count for every exit and sample: int64 [exits, samples], read-only."""
        return np.broadcast_to(self.counts[name], self.confidence.shape)


def _problems(trace: ExitTrace) -> list[str]:
    """What is wrong with a trace, in plain words; empty if nothing is."""
    confidence, prediction, labels = trace.confidence, trace.prediction, trace.labels
    if confidence.ndim != 2 or 0 in confidence.shape:
        return [f"confidence has shape {confidence.shape}, expected [exits, samples]"]
    exits, samples = confidence.shape
    found = []
    if confidence.dtype != np.float32:
        found.append(f"confidence is {confidence.dtype}, expected float32")
    if not (np.isfinite(confidence).all() and confidence.min() >= 0 and confidence.max() <= 1):
        found.append("confidence has values outside [0, 1]")
    if prediction.shape != (exits, samples) or prediction.dtype != np.uint8:
        found.append(f"prediction is {prediction.dtype} {prediction.shape}, expected uint8 "
                     f"{(exits, samples)}")  # fmt: skip
    if labels.shape != (samples,) or labels.dtype != np.uint8:
        found.append(f"labels are {labels.dtype} {labels.shape}, expected uint8 {(samples,)}")
    if set(trace.counts) != set(COUNTS):
        odd = sorted(set(trace.counts) ^ set(COUNTS))
        found.append(f"counts missing or unknown: {', '.join(odd)}")
    for name, count in trace.counts.items():
        if count.dtype != np.int64 or count.shape not in {(exits, samples), (exits, 1)}:
            found.append(f"count '{name}' is {count.dtype} {count.shape}, expected int64 "
                         f"[{exits}, {samples} or 1]")  # fmt: skip
        elif count.min() < 0 or (np.diff(count, axis=0) < 0).any():
            found.append(f"count '{name}' is negative or falls from one exit to the next")
    if trace.measured_on.encoding not in ENCODINGS:
        found.append(f"unknown encoding '{trace.measured_on.encoding}'")
    if trace.measured_on.timesteps < 1:
        found.append(f"timesteps is {trace.measured_on.timesteps}, expected at least 1")
    return found


def _smallest(count: np.ndarray) -> np.ndarray:
    """The same integers in the smallest unsigned type that holds them."""
    return count.astype(np.min_scalar_type(int(count.max())))


def save_trace(trace: ExitTrace, path: str | Path) -> None:
    """Write a trace to `path` (.npz); an interrupted write leaves the old file whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    arrays = {f"count_{name}": _smallest(count) for name, count in trace.counts.items()}
    with partial.open("wb") as file:
        np.savez_compressed(
            file,
            confidence=trace.confidence,
            prediction=trace.prediction,
            labels=trace.labels,
            measured_on=np.frombuffer(json.dumps(asdict(trace.measured_on)).encode(), np.uint8),
            **arrays,
        )
    partial.replace(path)


def load_trace(path: str | Path) -> ExitTrace:
    """Read and validate a trace.

    Raises `FileNotFoundError` if there is none and :class:`TraceError`, naming the file and
    what is wrong with it, if it is truncated, foreign or inconsistent.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no trace at {path}; record it with 'python -m sparq_utils run'")
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        measured_on = json.loads(arrays.pop("measured_on").tobytes())
        known = {field.name for field in fields(MeasuredOn)}
        if not isinstance(measured_on, dict) or set(measured_on) != known:
            raise TraceError(f"its provenance has not the fields {', '.join(sorted(known))}")
        counts = {
            name.removeprefix("count_"): arrays.pop(name).astype(np.int64)
            for name in list(arrays)
            if name.startswith("count_")
        }
        return ExitTrace(counts=counts, measured_on=MeasuredOn(**measured_on), **arrays)
    except (
        *(KeyError, TypeError, ValueError, OSError, EOFError),
        *(RuntimeError, zlib.error, zipfile.BadZipFile),  # what damaged archives raise
    ) as error:
        raise TraceError(
            f"{path} is no usable exit trace ({error}); delete it and record it again"
        ) from error
