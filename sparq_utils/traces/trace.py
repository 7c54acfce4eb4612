"""The contract between the torch half of the package and everything that reads results.

An :class:`ExitTrace` holds, for every sample and every exit, what a policy needs to decide
(confidence, prediction) and what a decision costs (cumulative operation counts).
"""

import json
import zipfile
import zlib
from dataclasses import asdict, dataclass, fields
from math import prod
from numbers import Integral
from pathlib import Path

import numpy as np

from sparq_utils.files import write_whole

COUNTS = {
    "macs": "multiply-accumulates of analog-driven synapses, borders excluded",
    "acs": "accumulates triggered by spikes, one per connection the spike reaches (and one per "
    "analog value at the identity shortcut of a residual block)",
    "spikes": "spikes that neurons (and a spike-coded input) emit: Eq. 8 as printed",
    "dense_macs": "Eq. 6-7 as printed: dense synapses, padding counted, one pass",
    "lif_updates": "membrane updates: neurons x timesteps (half of Eq. 9)",
    "neurons": "neurons, output layer included, each counted once",
    "weights": "distinct parameters of the synapses that were evaluated",
    "weight_passes": "parameters x the timesteps their synapse ran",
}
"""What each count means. All are per image and cumulative: the cost of leaving at that exit."""

ADDED_COUNTS = {
    "current_reads": "constant currents of a direct-coded first layer x the timesteps they last",
    "mac_weights": "MACs and biases read, each times the parameters of its layer",
    "ac_weights": "accumulates, each times the parameters of its layer",
    "update_neurons": "membrane updates, each times the neurons of its layer",
    "ac_neurons": "accumulates, each times the neurons of its layer",
}
"""Counts that traces recorded before they were counted lack.

The last four say how large a memory an access goes to, where each layer has one of its own.
"""

CAUSED_BY_SPIKES = ("acs", "spikes", "ac_weights", "ac_neurons")
"""Counts that are proportional to the spikes, and 0 in silence."""

ENCODINGS = ("analog", "direct", "rate", "latency", "events")

CLASS_DTYPES = (np.uint8, np.uint16)
"""Types of labels and predictions, and so the largest numbers of classes: 256 and 65,536."""

MOST_DEFLATED = 1_032
"""How many times its size a deflated file can hold, at most."""

LOGIT_TOLERANCE = 1e-4
"""How far logits and confidence may differ: the network's softmax rounds to float32."""


class TraceError(ValueError):
    """A trace that is damaged, foreign or inconsistent."""


@dataclass(frozen=True)
class MeasuredOn:
    """What a trace was measured on. `encoding` is "analog" for an ANN.

    `levels` are the steps that its activations can take above zero; None for floats and spikes.
    """

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
    levels: int | None = None


@dataclass(frozen=True)
class ExitTrace:
    """Confidence, prediction and cumulative cost of every sample at every exit.

    Shapes: `confidence` float32 [exits, samples] in [0, 1]; `prediction` [exits, samples] and
    `labels` [samples], uint8 (uint16 where there are more than 256 classes); each of `counts`
    (keys of :data:`COUNTS`) int64, [exits, samples] or [exits, 1] where it does not depend on
    the sample.

    `logits` [exits, samples, classes] are what confidence and prediction come from, or None
    where they were not kept: float32, or whole numbers int16 that `logit_scale` float64 [exits]
    makes logits of (an INT8 head answers in steps of its scale; summed over time they stay whole).

    Raises :class:`TraceError` if a shape, a dtype, a range or a count is wrong, or if the logits
    say anything else than prediction and confidence.
    """

    confidence: np.ndarray
    prediction: np.ndarray
    labels: np.ndarray
    counts: dict[str, np.ndarray]
    measured_on: MeasuredOn
    logits: np.ndarray | None = None
    logit_scale: np.ndarray | None = None

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
    def log_probabilities(self) -> np.ndarray:
        """Logarithm of the softmax of every exit's logits: float64 [exits, samples, classes].

        Raises :class:`TraceError` if the trace keeps no logits.
        """
        if self.logits is None:
            raise TraceError("this trace keeps no logits; record it again with record()")
        logits = self.logits.astype(np.float64)  # [exits, samples, classes]
        if self.logit_scale is not None:
            logits *= self.logit_scale[:, None, None]
        logits -= logits.max(axis=-1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))

    @property
    def correct(self) -> np.ndarray:
        """Whether each exit's prediction is right: bool [exits, samples]."""
        return self.prediction == self.labels

    @property
    def synaptic_ops(self) -> np.ndarray:
        """MACs plus ACs, cumulative: int64 [exits, samples]."""
        return np.broadcast_to(self.counts["macs"] + self.counts["acs"], self.confidence.shape)

    def count(self, name: str) -> np.ndarray:
        """One count for every exit and sample: int64 [exits, samples], read-only.

        Raises :class:`TraceError` for a count that was added since the trace was recorded.
        """
        if name in ADDED_COUNTS and name not in self.counts:
            if name != "current_reads" or self.measured_on.encoding == "direct":
                raise TraceError(f"this trace lacks the count '{name}'; record it again")
            return np.broadcast_to(np.int64(0), self.confidence.shape)
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
    if prediction.shape != (exits, samples) or prediction.dtype not in CLASS_DTYPES:
        found.append(f"prediction is {prediction.dtype} {prediction.shape}, expected uint8 or "
                     f"uint16 {(exits, samples)}")  # fmt: skip
    if labels.shape != (samples,) or labels.dtype not in CLASS_DTYPES:
        found.append(f"labels are {labels.dtype} {labels.shape}, expected uint8 or uint16 "
                     f"{(samples,)}")  # fmt: skip
    odd = sorted((set(trace.counts) ^ set(COUNTS)) - set(ADDED_COUNTS))
    if odd:
        found.append(f"counts missing or unknown: {', '.join(odd)}")
    for name, count in trace.counts.items():
        if count.dtype != np.int64 or count.shape not in {(exits, samples), (exits, 1)}:
            found.append(f"count '{name}' is {count.dtype} {count.shape}, expected int64 "
                         f"[{exits}, {samples} or 1]")  # fmt: skip
        elif count.min() < 0 or (np.diff(count, axis=0) < 0).any():
            found.append(f"count '{name}' is negative or falls from one exit to the next")
    if trace.measured_on.encoding not in ENCODINGS:
        found.append(f"unknown encoding '{trace.measured_on.encoding}'")
    numbers = {"timesteps": (1, 2**31), "weight_bits": (1, 64), "seed": (0, 2**63)}
    if trace.measured_on.levels is not None:
        numbers["levels"] = (1, 2**31)
    for name, value in asdict(trace.measured_on).items():
        if name in numbers:
            low, high = numbers[name]
            whole = isinstance(value, Integral) and not isinstance(value, bool)
            if not whole or not low <= value <= high:
                found.append(f"{name} is {value!r}, expected a whole number of at least {low}")
        elif name != "levels" and not isinstance(value, str):
            found.append(f"{name} is {value!r}, expected text")
    return found or _logit_problems(trace)


def _logit_problems(trace: ExitTrace) -> list[str]:
    """What is wrong with the logits of a trace that is right otherwise."""
    logits, scale = trace.logits, trace.logit_scale
    if logits is None:
        return [] if scale is None else ["logit_scale without logits"]
    if logits.ndim != 3 or logits.shape[:2] != trace.confidence.shape:
        expected = "[{}, {}, classes]".format(*trace.confidence.shape)
        return [f"logits have shape {logits.shape}, expected {expected}"]
    if logits.dtype == np.int16:
        if scale is None or scale.dtype != np.float64 or scale.shape != (trace.exits,):
            return ["whole-numbered logits need a logit_scale, float64, one per exit"]
        if not (np.isfinite(scale).all() and (scale > 0).all()):
            return [f"logit_scale {scale.tolist()} must be positive"]
    elif logits.dtype != np.float32 or scale is not None:
        return [f"logits are {logits.dtype}, expected float32, or int16 with a logit_scale"]
    if not np.isfinite(logits).all():
        return ["logits hold NaN or infinite values"]
    if int(trace.prediction.max()) >= logits.shape[2]:
        return [f"prediction {trace.prediction.max()} among {logits.shape[2]} classes of logits"]
    sure = np.exp(trace.log_probabilities)  # [exits, samples, classes]
    said = np.take_along_axis(sure, trace.prediction[..., None].astype(np.int64), -1)[..., 0]
    if (said < sure.max(axis=-1) * (1 - LOGIT_TOLERANCE)).any():
        return ["logits favour another class than prediction"]
    if (np.abs(said - trace.confidence) > LOGIT_TOLERANCE).any():
        return ["the softmax of the logits is not the confidence"]
    return []


def _smallest(count: np.ndarray) -> np.ndarray:
    """The same integers in the smallest unsigned type that holds them."""
    return count.astype(np.min_scalar_type(int(count.max())))


def save_trace(trace: ExitTrace, path: str | Path) -> None:
    """Write a trace to `path` (.npz), whole or not at all."""
    arrays = {f"count_{name}": _smallest(count) for name, count in trace.counts.items()}
    kept = {"logits": trace.logits, "logit_scale": trace.logit_scale}
    arrays |= {name: values for name, values in kept.items() if values is not None}
    arrays |= {
        "confidence": trace.confidence,
        "prediction": trace.prediction,
        "labels": trace.labels,
        "measured_on": np.frombuffer(json.dumps(asdict(trace.measured_on)).encode(), np.uint8),
    }
    write_whole(path, lambda file: np.savez_compressed(file, **arrays))


def load_trace(path: str | Path) -> ExitTrace:
    """Read and validate a trace.

    Raises `FileNotFoundError` if there is none and :class:`TraceError`, naming the file and
    what is wrong with it, if it is truncated, foreign or inconsistent.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no trace at {path}; record it with 'python -m sparq_utils run'")
    try:
        _check_sizes(path)
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        measured_on = json.loads(arrays.pop("measured_on").tobytes())
        known = {field.name for field in fields(MeasuredOn)}
        if not isinstance(measured_on, dict) or set(measured_on) | {"levels"} != known:
            raise TraceError(f"its provenance has not the fields {', '.join(sorted(known))}")
        for name, array in arrays.items():
            if name.startswith("count_") and array.dtype.kind not in "iu":
                raise TraceError(f"its {name} are {array.dtype}, expected whole numbers")
        counts = {
            name.removeprefix("count_"): arrays.pop(name).astype(np.int64)
            for name in list(arrays)
            if name.startswith("count_")
        }
        return ExitTrace(counts=counts, measured_on=MeasuredOn(**measured_on), **arrays)
    except (
        *(KeyError, TypeError, ValueError, OSError, EOFError),
        *(RuntimeError, MemoryError, zlib.error, zipfile.BadZipFile),  # of damaged archives
    ) as error:
        raise TraceError(
            f"{path} is no usable exit trace ({error}); delete it and record it again"
        ) from error


def _check_sizes(path: Path) -> None:
    """Raise :class:`TraceError` where an array claims more than its file holds."""
    headers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                shape, _, dtype = headers[np.lib.format.read_magic(file)](file)
                size = prod(shape) * dtype.itemsize + file.tell()
            if size != member.file_size or size > MOST_DEFLATED * member.compress_size + 1_024:
                raise TraceError(f"its {member.filename} claims {size:,} bytes and has them not")
