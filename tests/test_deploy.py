import importlib.util
import shutil

import numpy as np
import pytest

from sparq_utils import reference
from sparq_utils.deploy import CompilerError, c_file, deploy, native
from sparq_utils.deploy.host import in_c

pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("ziglang") or shutil.which("cc")), reason="no C compiler"
)


def synapse(part, weight, rng, shared=1, pixels=False, **more):
    """A layer with weights of this shape, whose currents reach the thresholds now and then."""
    fan = int(np.prod(weight[1:]))
    scale = 3 / (fan**0.5 * 60)
    return {
        "part": part,
        "kind": "conv" if len(weight) == 4 else "linear",
        "weight": rng.integers(-127, 128, weight).astype(np.int8),
        "weight_scale": scale * (more.pop("louder", 1)),
        "bias": rng.normal(0.1, 0.1, weight[0]).astype(np.float32),
        "input_scale": 1 / 255 if pixels else 1 / shared,
        "input_zero_point": 0,
        "output_scale": 0.037,
        "output_zero_point": 117,
    } | more


def network(timesteps, levels=0, stride=1, pool_head=True, seed=0):
    """Three exits on 2 x 9 x 10 images: convolutions, poolings, a head that pools what it got."""
    rng = np.random.default_rng(seed)

    def neurons(part, lasting=False):
        if levels:
            return {"part": part, "kind": "levels", "threshold": 1.3, "levels": levels}
        return {"part": part, "kind": "lif", "threshold": 1.3, "beta": 1.0, "start": 0.5,
                "constant_input": lasting}  # fmt: skip

    most = levels or 1
    down = -(-9 // stride) // 2, -(-10 // stride) // 2
    pooled = (down[0] // 2, down[1] // 2) if pool_head else down
    window = {"stride": [1, 1], "padding": [1, 1]}
    layers = [
        synapse("stage0", (6, 2, 3, 3), rng, pixels=True, stride=[stride] * 2, padding=[1, 1]),
        neurons("stage0", lasting=True),
        {"part": "stage0", "kind": "avgpool", "kernel": [2, 2]},
        *([{"part": "head0", "kind": "avgpool", "kernel": [2, 2]}] if pool_head else []),
        {"part": "head0", "kind": "flatten"},
        synapse("head0", (7, 6 * pooled[0] * pooled[1]), rng, most * (16 if pool_head else 4)),
        synapse("stage1", (5, 6, 3, 3), rng, most * 4, **window),
        neurons("stage1"),
        {"part": "head1", "kind": "flatten"},
        synapse("head1", (11, 5 * down[0] * down[1]), rng, most),
        neurons("head1"),
        synapse("head1", (7, 11), rng, most),
        {"part": "stage2", "kind": "flatten"},
        synapse("stage2", (9, 5 * down[0] * down[1]), rng, most),
        neurons("stage2"),
        synapse("head2", (7, 9), rng, most),
    ]
    return {"name": "made_up", "input_shape": [2, 9, 10], "timesteps": timesteps,
            "encoding": "direct", "layers": layers}  # fmt: skip


def loud(described):
    """The same network with weights of a size that 16 bits do not hold the sums of."""
    for layer in described["layers"]:
        if layer["part"] == "stage1" and "weight" in layer:
            layer["weight"] = np.where(layer["weight"] < 0, -127, 127).astype(np.int8)
            layer["weight"] = np.tile(layer["weight"], (1, 12, 1, 1))
        if layer["part"] == "stage0" and "weight" in layer:
            layer["weight"] = np.tile(layer["weight"], (12, 1, 1, 1))
            layer["bias"] = np.tile(layer["bias"], 12)
        if layer["part"] == "head0" and "weight" in layer:
            layer["weight"] = np.tile(layer["weight"], (1, 12))
    return described


IMAGES = np.random.default_rng(5).integers(0, 256, (60, 2, 9, 10)).astype(np.uint8)
IMAGES[:20] = IMAGES[:20] // 160 * 80  # many are zero


def expected(described, company=None):
    return reference.run(described, IMAGES.astype(np.float32) / np.float32(255), company)


def leaky(described):
    """The same network with neurons that forget."""
    for layer in described["layers"]:
        if layer["kind"] == "lif":
            layer["beta"] = 0.9
    return described


def few(described):
    """The same network with a channel in its second stage, whose five positions share a window."""
    for layer in described["layers"]:
        if layer["part"] == "stage1" and "weight" in layer:
            layer["weight"], layer["bias"] = layer["weight"][:1], layer["bias"][:1]
        if (
            layer["part"] in ("head1", "stage2")
            and layer.get("weight", np.ones((1, 1))).shape[1] > 11
        ):
            layer["weight"] = layer["weight"][:, : layer["weight"].shape[1] // 5]
    return described


CASES = {
    "four steps": lambda: network(4),
    "six steps, stride 2": lambda: network(6, stride=2),
    "one step": lambda: network(1, pool_head=False),
    "32 bits": lambda: loud(network(4)),
    "nine steps": lambda: network(9),
    "leaky": lambda: leaky(network(4)),
    "one output": lambda: few(network(4)),
    "one output, levels": lambda: few(network(1, levels=4)),
    "levels": lambda: network(1, levels=4),
    "levels, 32 bits, stride 2": lambda: loud(network(1, levels=4, stride=2)),
}


@pytest.mark.parametrize(
    ("case", "dense"),
    [
        *((case, False) for case in CASES),
        *((case, True) for case in ("four steps", "levels", "nine steps", "32 bits", "leaky")),
    ],
)
def test_it_answers_as_the_reference_does(case, dense):
    described = CASES[case]()
    answers, built = expected(described), native(described, dense=dense)
    assert (
        0.05 < (answers.prediction[-1] == np.bincount(answers.prediction[-1]).argmax()).mean() < 1
    )
    middle = np.median(answers.confidence[:-1], 1).tolist()
    for thresholds in (None, middle):
        leaving = reference.exits_at(answers, thresholds or (1.5, 1.5))
        at = leaving, np.arange(len(IMAGES))
        replies = built(IMAGES, thresholds)
        np.testing.assert_array_equal(replies.exit, leaving)
        np.testing.assert_array_equal(replies.prediction, answers.prediction[at])
        np.testing.assert_allclose(replies.logits, answers.logits[at], atol=1e-6)
        np.testing.assert_allclose(replies.confidence, answers.confidence[at], atol=1e-6)


def test_exits_in_company():
    weights = np.array([[1, 0, 0], [0.5, 1.25, 0], [0.25, 0.5, 1]])
    answers, built = expected(network(4), weights), native(network(4), company=weights)
    replies = built(IMAGES)
    np.testing.assert_array_equal(replies.prediction, answers.prediction[-1])
    np.testing.assert_allclose(replies.confidence, answers.confidence[-1], atol=1e-6)
    np.testing.assert_allclose(replies.logits, answers.logits[-1], atol=1e-6)  # its own, not theirs


@pytest.mark.parametrize("case", ["four steps", "levels", "one step"])
def test_whole_numbers_are_the_network_without_rounding(case, monkeypatch):
    def unrounded(layer, x):
        unit = layer["input_scale"] * layer["weight_scale"]
        sums = sum(
            np.tensordot(w, seen, (1, 2))
            for w, seen in reference.taps(layer, np.rint(x / layer["input_scale"]))
        )
        bias = np.rint(layer["bias"].astype(float) / unit)
        return np.moveaxis((sums + bias.reshape(-1, *[1] * (sums.ndim - 1))) * unit, 0, 2)

    described = CASES[case]()
    monkeypatch.setattr(reference, "synapse", unrounded)
    answers, replies = expected(described), native(described, whole=True)(IMAGES)
    same = replies.prediction == answers.prediction[-1]
    assert same.mean() > 0.95  # thresholds are whole numbers too: a spike may move
    np.testing.assert_allclose(replies.confidence[same], answers.confidence[-1][same], atol=0.03)


def test_pixels_on_another_grid_are_rounded_first():
    described = network(4)
    described["layers"][0]["input_scale"] = 1 / 200  # as if no pixel had been brighter than 200
    replies = native(described)(IMAGES)
    np.testing.assert_array_equal(replies.prediction, expected(described).prediction[-1])


def test_a_file_lies_in_the_folder(tmp_path):
    path = deploy(network(4), tmp_path / "new")
    assert sorted(p.name for p in path.parent.iterdir()) == ["made_up.c", "made_up.h"]
    code = path.read_text()
    assert "#include <stdint.h>" not in code and code.count("#include") == 2
    assert "malloc" not in code and "head1_linear3_weights" in code


def without(kind, described):
    return described | {"layers": [x for x in described["layers"] if x["kind"] != kind]}


def changed(position, **new):
    described = network(4)
    described["layers"][position] = described["layers"][position] | new
    return described


REFUSED = {
    "use encoding='direct'": network(4) | {"encoding": "rate"},
    "stage0_conv0 is followed by no neurons": without("lif", network(4)),
    "stage1_conv0 cannot take": changed(6, weight=np.zeros((5, 9, 3, 3), np.int8)),
    "no layer of kind 'maxpool'": changed(2, kind="maxpool"),
    "its input is no byte": changed(0, input_zero_point=3),
    "rounds the spikes that arrive": changed(6, input_scale=0.1),
    "32 bits do not hold": changed(6, weight_scale=1e5),
    "has a scale per channel": changed(0, weight_scale=[0.01] * 6),
    "convolution in groups": changed(6, groups=5),
    "reset to zero": changed(1, reset="zero"),
    "takes 40 timesteps, the C file 32 at most": network(40),
}


@pytest.mark.parametrize("told", REFUSED)
def test_what_it_has_no_code_for_is_refused_in_a_line(told):
    with pytest.raises(ValueError, match=told) as error:
        c_file(REFUSED[told])
    assert "\n" not in str(error.value)


def test_company_has_a_shape_and_needs_fractions():
    with pytest.raises(ValueError, match=r"expected \[3, 3\]"):
        c_file(network(4), company=np.eye(2))
    with pytest.raises(ValueError, match="without whole"):
        c_file(network(4), company=np.eye(3), whole=True)


def test_bad_input_is_told_in_a_line():
    built = native(network(4))
    with pytest.raises(ValueError, match=r"expected uint8 \[N, 2, 9, 10\]"):
        built(IMAGES.astype(np.float32))
    with pytest.raises(ValueError, match=r"need 2 in \[0, 1\]"):
        built(IMAGES, (0.5,))


def test_thresholds_never_round_down():
    (bound,) = in_c((0.7,), 2, whole=False)
    assert float(np.float32(bound)) >= 0.7 > float(np.float32(0.7))
    assert in_c((0.5, 1), 3, whole=True) == [32768, 65536]


def test_without_a_compiler_there_is_a_way_out(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(CompilerError, match=r"pip install 'sparq-utils\[deploy\]'"):
        native(network(4))
