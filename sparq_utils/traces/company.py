"""Exits that answer in company: each weighs what it says with what the exits before it said.

The answer of exit e is the weighted product of the experts 0 to e (Hinton, 2002): the softmax of
the weighted sum of their log-probabilities. Its weights are those under which the labels of the
validation images are most likely.

**What it costs.** An image that leaves at exit e has had e earlier answers turned into
log-probabilities and added up: about 2 (e + 1) operations per class, 60 for three exits and ten
classes, in floating point and outside the network. They are no synaptic operations: no count of
a trace and no modelled energy holds them.
"""

from dataclasses import replace

import numpy as np

from sparq_utils.traces.trace import ExitTrace

MOST_STEPS = 50
"""Newton steps at most; a handful suffices unless the exits make no mistake at all."""

SETTLED = 1e-12
"""The fit ends when a step lowers the mean negative log-likelihood by no more than this."""


def fit_company(validation: ExitTrace) -> np.ndarray:
    """How exits weigh one another, from a trace of *validation* data: float64 [exits, exits].

    Row e weighs the log-probabilities of exits 0 to e; beyond, it is zero. The first exit answers
    alone and as it is: row 0 is [1, 0, ...]. Every other row minimises the mean negative
    log-likelihood of the labels, a convex function, by damped Newton steps from the exit alone:
    it is never less likely than that. Raises `TraceError` for a trace without logits.
    """
    weights = np.eye(validation.exits)
    if validation.exits > 1:
        said = validation.log_probabilities  # [exits, samples, classes]
        for index in range(1, validation.exits):
            weights[index, : index + 1] = _fit(said[: index + 1], validation.labels)
    return weights


def in_company(trace: ExitTrace, weights: np.ndarray) -> ExitTrace:
    """The same trace with the confidences and predictions of the company.

    `weights` [exits, exits] come from :func:`fit_company`. Costs stay what they are (see above);
    logits are left out, for they are those of the exits alone. Raises `ValueError` for weights of
    another shape or of exits that come later, `TraceError` for a trace without logits.
    """
    weights = np.asarray(weights)
    if weights.shape != (trace.exits, trace.exits) or np.triu(weights, 1).any():
        raise ValueError(f"weights {weights.shape} for {trace.exits} exits: need a lower "
                         "triangular matrix, one row and one column per exit")  # fmt: skip
    if not np.isfinite(weights).all():
        raise ValueError("weights must be finite numbers")
    if trace.exits == 1:
        return trace
    said, alone = trace.log_probabilities, np.eye(trace.exits)  # [exits, samples, classes]
    confidence, prediction = trace.confidence.copy(), trace.prediction.copy()
    for index, row in enumerate(weights):
        if (row != alone[index]).any():  # else it says what was recorded, to the last bit
            sure = np.exp(_log_softmax(np.tensordot(row, said, 1)))  # [samples, classes]
            confidence[index] = sure.max(axis=-1).clip(0, 1)
            prediction[index] = sure.argmax(axis=-1)
    return replace(
        trace, confidence=confidence, prediction=prediction, logits=None, logit_scale=None
    )


def nll(said: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Mean negative log-likelihood of labels [samples] under a company.

    `said` are log-probabilities [exits, samples, classes], `weights` [exits].
    """
    mixed = _log_softmax(np.tensordot(weights, said, 1))  # [samples, classes]
    return float(-mixed[np.arange(labels.size), labels].mean())


def slopes(
    said: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient [exits] and Hessian [exits, exits] of :func:`nll` in the weights."""
    sure = np.exp(_log_softmax(np.tensordot(weights, said, 1)))  # [samples, classes]
    mean = (said * sure).sum(axis=-1)  # [exits, samples]: expected under the company
    right = said[:, np.arange(labels.size), labels]
    around = said - mean[..., None]  # [exits, samples, classes]
    hessian = np.einsum("inc,jnc->ij", around * sure, around) / labels.size
    return (mean - right).mean(axis=-1), hessian


def _fit(said: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The weights [exits] of least :func:`nll`, starting from the last of these exits alone."""
    weights = np.eye(len(said))[-1]
    loss = nll(said, labels, weights)
    for _ in range(MOST_STEPS):
        gradient, hessian = slopes(said, labels, weights)
        hessian += 1e-9 * max(hessian.trace(), 1e-9) * np.eye(len(said))  # exits that agree
        step = np.linalg.solve(hessian, gradient)
        shorter = (weights - scale * step for scale in 0.5 ** np.arange(30))
        better = next((one for one in shorter if nll(said, labels, one) < loss - SETTLED), None)
        if better is None:
            break
        weights, loss = better, nll(said, labels, better)
    return weights


def _log_softmax(values: np.ndarray) -> np.ndarray:
    """Logarithm of the softmax over the last axis."""
    values = values - values.max(axis=-1, keepdims=True)
    return values - np.log(np.exp(values).sum(axis=-1, keepdims=True))
