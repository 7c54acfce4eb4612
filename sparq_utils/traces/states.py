"""Richer states for a learner: what a table may know of an image beside its confidence."""

from dataclasses import replace

import numpy as np

from sparq_utils.traces.policies import BIN_EDGES, confidence_bins
from sparq_utils.traces.trace import ExitTrace

RUNNER_UP_EDGES = (0.1, 0.3, 0.6)
"""Where one bin of :func:`runner_up` ends and the next begins: four bins."""


def runner_up(trace: ExitTrace) -> np.ndarray:
    """The second-largest probability as a share of what the largest leaves over, in [0, 1].

    1 where two classes alone compete, small where many do; float64 [exits, samples]. Confidence
    less this much of the rest is the margin between the two. Raises `TraceError` for a trace
    without logits.
    """
    second, first = np.sort(np.exp(trace.log_probabilities), axis=-1)[..., -2:].transpose(2, 0, 1)
    rest = np.maximum(1 - first, np.finfo(np.float64).tiny)
    return second / np.maximum(rest, second)  # rounding may leave less over than the second has


def with_runner_up(trace: ExitTrace) -> tuple[ExitTrace, tuple[float, ...]]:
    """The trace for a learner that knows confidence and runner-up, and the edges of its bins.

    The state of an image, its pair of bins, stands in the place of its confidence. So whatever
    takes a trace and `bin_edges` learns, scores and leaves by pairs: 13 x 4 states per exit.
    """
    finer = len(RUNNER_UP_EDGES) + 1
    states = (len(BIN_EDGES) + 1) * finer
    pairs = confidence_bins(trace) * finer + np.digitize(runner_up(trace), RUNNER_UP_EDGES)
    middle = ((pairs + 0.5) / states).astype(np.float32)  # [exits, samples], between its edges
    edges = tuple(np.arange(1, states) / states)
    return replace(trace, confidence=middle, logits=None, logit_scale=None), edges
