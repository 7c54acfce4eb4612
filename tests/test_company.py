"""Exits in company: the fit against brute force and finite differences, the answers by hand."""

from dataclasses import replace

import numpy as np
import pytest
from make_trace import make_trace, with_logits

from sparq_utils.traces import company
from sparq_utils.traces.company import fit_company, in_company
from sparq_utils.traces.policies import Thresholds
from sparq_utils.traces.trace import TraceError


def loss(trace, index, row):
    """Mean negative log-likelihood of exit `index` under weights [exits], in plain loops."""
    total = 0.0
    for sample, label in enumerate(trace.labels):
        mixed = sum(row[e] * trace.log_probabilities[e, sample] for e in range(index + 1))
        total += np.log(np.exp(mixed).sum()) - mixed[label]
    return total / trace.samples


def test_the_fit_is_the_best_of_a_grid():
    trace = with_logits(exits=2, samples=60)
    weights = fit_company(trace)
    best = loss(trace, 1, weights[1])
    grid = np.linspace(-1, 3, 17)
    tried = {(a, b): loss(trace, 1, (a, b)) for a in grid for b in grid}
    assert best <= min(tried.values())
    nearest = min(tried, key=tried.get)
    assert np.abs(weights[1] - nearest).max() <= 0.25  # one cell: the function is convex


@pytest.mark.parametrize("whole", [False, True])
def test_no_small_change_of_a_weight_helps(whole):
    trace = with_logits(exits=3, samples=80, whole=whole)
    weights = fit_company(trace)
    assert weights[0].tolist() == [1, 0, 0] and not np.triu(weights, 1).any()
    for index in (1, 2):
        fitted = loss(trace, index, weights[index])
        for e in range(index + 1):
            for change in (1e-3, -1e-3):
                moved = weights[index].copy()
                moved[e] += change
                assert loss(trace, index, moved) > fitted


def test_slopes_are_those_of_finite_differences():
    trace = with_logits(exits=3, samples=40)
    said, labels, at = trace.log_probabilities, trace.labels, np.array([0.4, -0.2, 1.3])
    gradient, hessian = company.slopes(said, labels, at)
    for e, step in enumerate(1e-5 * np.eye(3)):
        ahead, behind = (company.nll(said, labels, at + side * step) for side in (1, -1))
        assert gradient[e] == pytest.approx((ahead - behind) / 2e-5, rel=1e-6, abs=1e-9)
        ahead, behind = (company.slopes(said, labels, at + side * step)[0] for side in (1, -1))
        np.testing.assert_allclose(hessian[e], (ahead - behind) / 2e-5, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_company_is_never_less_likely_than_the_exit_alone(seed):
    trace = with_logits(exits=3, samples=50, seed=seed, sharpness=seed)
    weights = fit_company(trace)
    for index in (1, 2):
        assert loss(trace, index, weights[index]) <= loss(trace, index, np.eye(3)[index]) + 1e-12


def test_the_fit_finds_the_weights_that_labels_were_drawn_with():
    trace = with_logits(exits=2, samples=40_000)
    true = np.array([0.7, 0.5])
    mixed = np.tensordot(true, trace.log_probabilities, 1)
    chance = np.exp(mixed) / np.exp(mixed).sum(-1, keepdims=True)
    drawn = np.random.default_rng(1).random((40_000, 1))
    labels = (drawn > chance.cumsum(-1)).sum(-1).clip(0, 9).astype(np.uint8)
    np.testing.assert_allclose(fit_company(replace(trace, labels=labels))[1], true, atol=0.03)


def test_exits_that_agree_and_exits_that_never_err_are_fitted_too():
    trace = with_logits(exits=2, samples=30)
    same = {name: getattr(trace, name)[[1, 1]] for name in ("logits", "confidence", "prediction")}
    assert np.isfinite(fit_company(replace(trace, **same))).all()
    certain = replace(trace, labels=trace.prediction[1])
    assert np.isfinite(fit_company(certain)).all()


def test_answers_by_hand():
    trace = with_logits(exits=2, samples=5)
    weights = np.array([[1.0, 0.0], [0.5, 2.0]])
    found = in_company(trace, weights)
    np.testing.assert_array_equal(found.confidence[0], trace.confidence[0])
    np.testing.assert_array_equal(found.prediction[0], trace.prediction[0])
    chance = np.exp(trace.log_probabilities)  # [exits, samples, classes]
    product = chance[0] ** 0.5 * chance[1] ** 2
    product /= product.sum(-1, keepdims=True)
    np.testing.assert_allclose(found.confidence[1], product.max(-1), rtol=1e-6)
    assert found.prediction[1].tolist() == product.argmax(-1).tolist()
    assert found.prediction.dtype == trace.prediction.dtype
    assert found.counts is trace.counts and found.measured_on == trace.measured_on
    assert found.logits is None  # those of the exits alone would contradict it


def test_weights_of_one_change_nothing():
    trace = with_logits(exits=3, samples=20)
    found = in_company(trace, np.eye(3))
    np.testing.assert_array_equal(found.confidence, trace.confidence)
    np.testing.assert_array_equal(found.prediction, trace.prediction)
    for policy in (Thresholds((0.5, 0.6)), Thresholds((0.9, 0.9))):
        assert policy.leaving(found).tolist() == policy.leaving(trace).tolist()


def test_one_exit_has_no_company():
    trace = make_trace(exits=1)
    assert fit_company(trace).tolist() == [[1.0]]
    assert in_company(trace, np.eye(1)) is trace


def test_bad_input_is_named():
    trace = with_logits(exits=3, samples=10)
    with pytest.raises(TraceError, match="keeps no logits"):
        fit_company(make_trace())
    with pytest.raises(TraceError, match="keeps no logits"):
        in_company(make_trace(), np.eye(3))
    for wrong in (np.eye(2), np.ones((3, 3))):
        with pytest.raises(ValueError, match="lower triangular"):
            in_company(trace, wrong)
    with pytest.raises(ValueError, match="finite"):
        in_company(trace, np.diag([1, np.nan, 1]))
