from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make_trace import make_trace
from small import pictures, tiny
from torch import nn
from torch.nn.functional import cross_entropy

from sparq_utils.networks import early_exit
from sparq_utils.networks.conversion import convert
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.inference import staged_inference
from sparq_utils.networks.losses import joint_loss
from sparq_utils.traces.company import in_company
from sparq_utils.traces.policies import Oracle, Table, Thresholds

ANN = tiny().double()
SPIKING = convert(ANN, pictures(40, dtype=torch.float64), timesteps=3)
RATE = convert(ANN, pictures(40, dtype=torch.float64), timesteps=3, encoding="latency")


def every_exit(network, images, thresholds):
    """All exits computed for everybody, then the leaving rule: (prediction, confidence, exit)."""
    with torch.no_grad():
        sure, best = network(images).float().softmax(-1).max(-1)  # [exits, B]
    bars = [*thresholds, -np.inf]
    leaving = np.argmax(sure.numpy().astype(np.float64) >= np.array(bars)[:, None], axis=0)
    people = np.arange(len(images))
    return best.numpy()[leaving, people], sure.numpy()[leaving, people], leaving


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 25),
    seed=st.integers(0, 999),
    thresholds=st.tuples(st.floats(0, 0.4), st.floats(0, 0.4)),
    network=st.sampled_from([ANN, SPIKING, RATE]),
)
def test_a_shrinking_batch_gives_the_answers_of_the_full_one(count, seed, thresholds, network):
    images = pictures(count, seed, torch.float64)
    answers = staged_inference(network, images, thresholds)
    prediction, confidence, leaving = every_exit(network, images, thresholds)
    np.testing.assert_array_equal(answers.exit, leaving)
    np.testing.assert_array_equal(answers.prediction, prediction)
    np.testing.assert_allclose(answers.confidence, confidence, rtol=1e-6)


def middle_thresholds(network, images):
    """Thresholds that part the images about in the middle, at exits 1 and 2."""
    with torch.no_grad():
        return network(images).softmax(-1).amax(-1).median(1).values[:-1].tolist()


@pytest.mark.parametrize("network", [ANN, SPIKING])
def test_who_left_costs_nothing_more(network):
    images = pictures(60, dtype=torch.float64)
    thresholds = middle_thresholds(network, images)
    rows, hooks = [], []
    for kind, index, part in network.parts():

        def count(_part, inputs, kind=kind, index=index):
            rows.append((kind, index, len(inputs[0])))

        hooks.append(part.register_forward_pre_hook(count))
    answers = staged_inference(network, images, thresholds)
    for hook in hooks:
        hook.remove()
    inside = [int((answers.exit >= index).sum()) for index in range(3)]
    assert inside[0] == 60 > inside[1] > inside[2] > 0
    steps = network.timesteps
    assert rows == [
        # a direct-coded image meets the first stage once, not T times
        ("stage", 0, 60), ("head", 0, 60 * steps),
        ("stage", 1, inside[1] * steps), ("head", 1, inside[1] * steps),
        ("stage", 2, inside[2] * steps), ("head", 2, inside[2] * steps),
    ]  # fmt: skip


@pytest.mark.parametrize(("thresholds", "stages"), [((0, 1), 1), ((1, 0), 2), ((1, 1), 3)])
def test_a_stage_after_everyone_left_is_never_called(thresholds, stages):
    called, hooks = [], []
    for index, stage in enumerate(ANN.stages):
        hooks.append(stage.register_forward_hook(lambda *_, index=index: called.append(index)))
    answers = staged_inference(ANN, pictures(9, dtype=torch.float64), thresholds)
    for hook in hooks:
        hook.remove()
    assert called == list(range(stages))
    assert (answers.exit == stages - 1).all()


def fixed(*logits):
    """A network whose exit i always answers with logits[i]."""

    class Constant(nn.Module):
        def __init__(self, row):
            super().__init__()
            self.row = torch.tensor(row)

        def forward(self, x):
            return self.row.expand(len(x), -1)

    stages = [nn.Identity() for _ in logits]
    return EarlyExitNetwork(stages, [Constant(row) for row in logits], (4,)).eval()


def test_a_confidence_equal_to_the_threshold_leaves():
    network = fixed([0.0, 0.0], [0.0, 9.0])  # confidence exactly 1/2, then nearly 1
    images = torch.zeros(1, 4)
    assert staged_inference(network, images, [0.5]).exit.tolist() == [0]
    above = float(np.nextafter(0.5, 1))  # compared in float64: the next number up is missed
    answers = staged_inference(network, images, [above])
    assert (answers.exit.tolist(), answers.prediction.tolist()) == ([1], [1])


def test_the_last_exit_takes_who_is_never_sure():
    answers = staged_inference(fixed([0.0, 0.0], [torch.nan] * 2), torch.zeros(3, 4), [0.9])
    assert answers.exit.tolist() == [1, 1, 1]
    assert answers.confidence.isnan().all()


def test_a_plain_network_has_one_exit_and_no_thresholds():
    answers = staged_inference(ANN.without_exits(), pictures(4, dtype=torch.float64), [])
    assert answers.exit.tolist() == [0] * 4


def test_nobody_is_a_batch_too():
    answers = staged_inference(SPIKING, pictures(0, dtype=torch.float64), [0.5, 0.5])
    assert len(answers.prediction) == len(answers.confidence) == len(answers.exit) == 0


def test_batch_norm_does_not_depend_on_who_is_left():
    network, images = tiny(), pictures(30)
    expected = staged_inference(network, images, [0.2, 0.2])
    answers = staged_inference(network.train(), images, [0.2, 0.2])
    assert torch.equal(answers.confidence, expected.confidence)


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ([0.5], "1 thresholds for 3 exits: need 2"),
        ([0.5, 0.5, 0.5], "3 thresholds for 3 exits"),
        ([0.5, 1.01], r"1\.01 is outside \[0, 1\]"),
        ([-0.1, 0.5], r"-0\.1 is outside"),
        ([float("nan"), 0.5], "nan is outside"),
    ],
)
def test_bad_thresholds_are_refused(thresholds, message):
    with pytest.raises(ValueError, match=message):
        staged_inference(ANN, pictures(2, dtype=torch.float64), thresholds)


def test_bad_images_are_refused():
    with pytest.raises(ValueError, match="takes images"):
        staged_inference(ANN, torch.zeros(2, 3, 8, 8), [0.5, 0.5])
    with pytest.raises(ValueError, match="NaN"):
        staged_inference(ANN, torch.full((2, 1, 8, 8), torch.nan).double(), [0.5, 0.5])


def test_the_last_exit_teaches_the_others():
    logits = torch.randn(3, 8, 10, generator=torch.Generator().manual_seed(0)).requires_grad_()
    targets = torch.arange(8)
    label = torch.eye(10)[targets]
    target = 0.6 * label + 0.4 * logits[-1].detach().softmax(-1)
    wanted = [cross_entropy(logits[i], target) for i in (0, 1)]
    wanted = torch.stack([*wanted, cross_entropy(logits[2], targets)]).mean()
    found = joint_loss(logits, targets, distillation=0.4)
    torch.testing.assert_close(found, wanted)
    (grad,) = torch.autograd.grad(found, logits)  # the teacher is not taught by its pupils
    (alone,) = torch.autograd.grad(cross_entropy(logits[2], targets) / 3, logits)
    torch.testing.assert_close(grad[2], alone[2])


def test_the_joint_loss_is_a_weighted_mean():
    logits = torch.randn(3, 8, 10, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(8)
    single = torch.stack([cross_entropy(exit_logits, targets) for exit_logits in logits])
    torch.testing.assert_close(joint_loss(logits, targets), single.mean())
    weighted = (0.3 * single[0] + 0.5 * single[1] + single[2]) / 1.8
    torch.testing.assert_close(joint_loss(logits, targets, (0.3, 0.5, 1.0)), weighted)
    smooth = cross_entropy(logits[0], targets, label_smoothing=0.1)
    torch.testing.assert_close(joint_loss(logits[:1], targets, label_smoothing=0.1), smooth)


def test_a_weight_for_each_exit():
    with pytest.raises(ValueError, match="2 exit weights for 3 exits"):
        joint_loss(torch.zeros(3, 2, 10), torch.zeros(2, dtype=torch.int64), (1.0, 1.0))


def traced(network, images, labels=0):
    """The trace of a network on double-precision images, without counts that matter."""
    with torch.no_grad():
        logits = network(images).float()  # [exits, B, classes]
    sure, best = logits.softmax(-1).max(-1)
    plain = make_trace(3, len(images))
    return replace(
        plain,
        confidence=sure.numpy(),
        prediction=best.numpy().astype(np.uint8),
        labels=np.full(len(images), labels, np.uint8),
        logits=logits.numpy(),
    )


@pytest.mark.parametrize("network", [ANN, SPIKING, RATE])
def test_a_table_decides_live_as_on_a_trace(network):
    images = pictures(40, dtype=torch.float64)
    trace = traced(network, images)
    ranked = np.unique(trace.confidence[:2].astype(np.float64))
    edges = [(ranked[k] + ranked[k + 1]) / 2 for k in len(ranked) * np.arange(1, 5) // 5 - 1]
    leave = np.array([[1, 0, 0, 1, 0], [0, 1, 0, 0, 1], [0, 0, 0, 0, 0]], dtype=bool)
    policy = Table(leave, edges)
    answers = staged_inference(network, images, policy)
    leaving = policy.leaving(trace)
    assert len(set(leaving.tolist())) > 1
    np.testing.assert_array_equal(answers.exit, leaving)
    np.testing.assert_array_equal(answers.prediction, trace.prediction[leaving, np.arange(40)])
    by_hand = staged_inference(network, images, policy.lets_go)  # any function will do
    assert torch.equal(by_hand.exit, answers.exit)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 99),
    pieces=st.integers(3_000, 200_000),
    network=st.sampled_from([ANN, SPIKING]),
)
def test_a_company_answers_live_as_on_a_trace(seed, pieces, network):
    rng, images = np.random.default_rng(seed), pictures(30, seed, torch.float64)
    weights = np.tril(rng.uniform(0, 1.5, (3, 3)))
    weights[0, 0] = 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(early_exit, "PIECE_BYTES", pieces)
        company = in_company(traced(network, images), weights)
        policy = Thresholds(tuple(np.median(company.confidence, axis=1)[:-1]))
        answers = staged_inference(network, images, policy, weights)
    leaving = policy.leaving(company)
    close = np.abs(company.confidence[:-1] - np.array(policy.values)[:, None]).min(0) < 1e-6
    people = np.arange(30)[~close]  # rounding may decide for who lies on a threshold
    np.testing.assert_array_equal(answers.exit[people], leaving[people])
    expected = company.prediction[leaving, np.arange(30)]
    np.testing.assert_array_equal(answers.prediction[people], expected[people])
    expected = company.confidence[leaving, np.arange(30)]
    np.testing.assert_allclose(answers.confidence[people], expected[people], rtol=1e-5)


def test_policies_that_cannot_decide_live_are_refused():
    images = pictures(2, dtype=torch.float64)
    with pytest.raises(ValueError, match="Oracle does not decide by confidence"):
        staged_inference(ANN, images, Oracle())
    with pytest.raises(ValueError, match=r"expected one bool for each"):
        staged_inference(ANN, images, lambda exit, sure: sure)
    with pytest.raises(ValueError, match="is for 2 exits, not for 3"):
        staged_inference(ANN, images, Table(np.zeros((2, 13), bool)))
    with pytest.raises(ValueError, match=r"company weights \(2, 2\) for 3 exits"):
        staged_inference(ANN, images, (0.5, 0.5), np.eye(2))
