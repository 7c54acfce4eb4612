"""Residual blocks in the C file: every form answers as the reference does, image by image."""

import ctypes
import importlib.util
import shutil

import numpy as np
import pytest
import torch
from small import branched, patterns, pictures
from test_deploy import synapse

from sparq_utils import reference
from sparq_utils.deploy import c_file, constants, native, wasm
from sparq_utils.deploy.c_watched import watched_layers
from sparq_utils.deploy.cortex import Cortex
from sparq_utils.deploy.plan import plan
from sparq_utils.networks.architectures import resnet20
from sparq_utils.networks.conversion import ClipFloorShift, convert
from sparq_utils.networks.int8 import export_int8
from sparq_utils.networks.quantization import calibrate, quantize_aware, to_int8
from sparq_utils.toolchain import build_once

pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("ziglang") or shutil.which("cc")), reason="no C compiler"
)
BLOCKS = np.random.default_rng(5).integers(0, 256, (40, 2, 3, 2)).astype(np.uint8)
IMAGES = BLOCKS.repeat(3, axis=2).repeat(5, axis=3)  # [40, 2, 9, 10]
SIDE = {"stride": [1, 1], "padding": [1, 1]}


def network(timesteps, levels=0, beta=1.0, seed=0):
    """Two exits: a block that hands on what arrives, pooled before, and one of another shape."""
    rng, most = np.random.default_rng(seed), levels or 1

    def neurons(part):
        if levels:
            return {"part": part, "kind": "levels", "threshold": 1.3, "levels": levels}
        return {"part": part, "kind": "lif", "threshold": 1.3, "beta": beta, "start": 0.5,
                "constant_input": False}  # fmt: skip

    def block(part, inputs, outputs, shared, stride, shortcut):
        down = {"stride": [stride] * 2, "padding": [1, 1]}
        return [
            {"part": part, "kind": "branch"},
            synapse(part, (outputs, inputs, 3, 3), rng, shared, **down),
            neurons(part),
            synapse(part, (outputs, outputs, 3, 3), rng, most, **SIDE),
            {"part": part, "kind": "shortcut"},
            shortcut,
            {"part": part, "kind": "add"},
            neurons(part),
        ]

    narrow = {"stride": [2, 2], "padding": [0, 0], "louder": 0.7}
    layers = [
        synapse("stage0", (9, 2, 3, 3), rng, pixels=True, **SIDE),
        neurons("stage0"),
        {"part": "stage0", "kind": "avgpool", "kernel": [1, 2]},
        *block("stage0", 9, 9, 2 * most, 1, {"part": "stage0", "kind": "identity",
                                             "amplitude": 1.25}),
        {"part": "head0", "kind": "avgpool", "kernel": [3, 2]},
        {"part": "head0", "kind": "flatten"},
        synapse("head0", (7, 9 * 3 * 2), rng, 6 * most),
        *block("stage1", 9, 12, most, 2, synapse("stage1", (12, 9, 1, 1), rng, most, **narrow)),
        {"part": "stage1", "kind": "avgpool", "kernel": [5, 3]},
        {"part": "stage1", "kind": "flatten"},
        synapse("head1", (7, 12), rng, 15 * most, louder=2),
    ]  # fmt: skip
    return {"name": "made_up", "input_shape": [2, 9, 10], "timesteps": timesteps,
            "encoding": "direct", "layers": layers}  # fmt: skip


def expected(described, images=IMAGES):
    return reference.run(described, images.astype(np.float32) / np.float32(255))


def agrees(described, images=IMAGES, **how):
    """Assert that the C file answers as the reference does, with thresholds and without."""
    answers, built = expected(described, images), native(described, **how)
    for thresholds in (None, np.median(answers.confidence[:-1], 1).tolist()):
        leaving = reference.exits_at(answers, thresholds or (1.5,) * (len(answers.logits) - 1))
        at = leaving, np.arange(len(images))
        replies = built(images, thresholds)
        np.testing.assert_array_equal(replies.exit, leaving)
        np.testing.assert_array_equal(replies.prediction, answers.prediction[at])
        np.testing.assert_allclose(replies.logits, answers.logits[at], atol=1e-6)
    return answers


CASES = {
    "four steps": {"timesteps": 4},
    "nine steps": {"timesteps": 9},
    "leaky": {"timesteps": 4, "beta": 0.9},
    "one step": {"timesteps": 1},
    "levels": {"timesteps": 1, "levels": 4},
    "three levels": {"timesteps": 1, "levels": 3},
    "more levels than a byte holds when pooled": {"timesteps": 1, "levels": 20},
}


@pytest.mark.parametrize("dense", [False, True], ids=["events", "dense"])
@pytest.mark.parametrize("case", CASES)
def test_it_answers_as_the_reference_does(case, dense):
    answers = agrees(network(**CASES[case]), dense=dense)
    assert len({*answers.prediction[-1]}) > 1


@pytest.mark.parametrize("case", ["four steps", "levels"])
def test_whole_numbers_are_the_network_without_rounding(case, monkeypatch):
    def unrounded(layer, x):
        unit = np.float32(layer["input_scale"]) * np.float32(layer["weight_scale"])
        q = np.clip(np.rint(x / np.float32(layer["input_scale"])), 0, 255)
        sums = sum(np.tensordot(w, seen, (1, 2)) for w, seen in reference.taps(layer, q))
        bias = layer["bias"].reshape(-1, *[1] * (sums.ndim - 1))
        return np.moveaxis((sums * unit + bias).astype(np.float32), 0, 2)

    described = network(**CASES[case])
    monkeypatch.setattr(reference, "synapse", unrounded)
    answers, replies = expected(described), native(described, whole=True)(IMAGES)
    # thresholds and shortcuts are whole numbers too: here and there a spike moves, and moves others
    assert (replies.prediction == answers.prediction[-1]).mean() > 0.8
    np.testing.assert_allclose(replies.confidence, answers.confidence[-1], atol=0.06)


def test_bounds_of_currents_are_where_a_level_begins():
    neurons = {"kind": "levels", "threshold": 1.3, "levels": 4}
    bounds = constants.current_bounds(neurons)
    below = np.nextafter(bounds, np.float32(0))
    np.testing.assert_array_equal(reference.nearest_level(neurons, bounds) * 4, [1, 2, 3, 4])
    np.testing.assert_array_equal(reference.nearest_level(neurons, below) * 4, [0, 1, 2, 3])


def test_a_page_is_shown_what_the_reference_does():
    described = network(4)
    header, code = c_file(described)
    flags = ["-DWATCHED", "-shared", "-fPIC", "-nostdlib"]
    opened = ctypes.CDLL(str(build_once(described["name"], header, code, flags, ".so")))
    last = watched_layers(described)[-1]
    size = last["start"] + last["stride"] * int(np.prod(last["shape"]))
    answers, never = expected(described), (ctypes.c_float * 1)(2)
    for number in (0, 30):
        image = np.ascontiguousarray(IMAGES[number].transpose(1, 2, 0))
        opened.classify(image.ctypes.data_as(ctypes.c_void_p), never, (ctypes.c_uint32 * 10)())
        shown = np.frombuffer((ctypes.c_uint8 * size).in_dll(opened, "watched"), np.uint8)
        spent = np.frombuffer((ctypes.c_uint32 * 4).in_dll(opened, "spent"), np.uint32)
        np.testing.assert_array_equal(spent[::2], answers.counts["acs"][:, number])
        assert shown.sum() == answers.counts["spikes"][-1, number]


def described_int8(network, images):
    """A network as INT8 plain data, its observers having seen images."""
    prepared = quantize_aware(network)
    calibrate(prepared, images)
    found = export_int8(to_int8(prepared))
    for layer in found["layers"]:
        layer |= {key: layer[key].numpy() for key in ("weight", "bias") if key in layer}
    return found


HOW = [{"timesteps": 4}, {"timesteps": 1, "neurons": "levels", "levels": 4}]


@pytest.mark.parametrize("how", HOW, ids=["spikes", "levels"])
def test_converted_blocks(how):
    described = described_int8(convert(branched(lambda: ClipFloorShift(4)), **how), pictures(50, 1))
    agrees(described, patterns(40, 2).pixels.numpy())


@pytest.fixture(scope="module")
def untrained():
    """A ResNet-20 with batch norms that have seen images, and some images."""
    images = torch.rand(24, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    images = (images + images.mean((2, 3), keepdim=True) + images[..., :1]) / 3
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = resnet20(lambda: ClipFloorShift(4))
    with torch.no_grad():
        for _ in range(3):
            network(images)
    return network.eval(), images


@pytest.mark.parametrize("how", HOW, ids=["spikes", "levels"])
def test_resnet20_has_all_that_a_c_file_needs(untrained, how):
    network, images = untrained
    described = described_int8(convert(network, **how), images)
    pixels = (images[:4] * 255).to(torch.uint8).numpy()
    agrees(described, pixels)
    agrees(described, pixels[:2], dense=True)
    assert plan(described).arena < 48_000  # bytes of features, whole maps of bits
    assert "set_aside(" in c_file(described, whole=True)[1]


@pytest.mark.skipif(not importlib.util.find_spec("ziglang"), reason="needs the extra [deploy]")
def test_a_page_runs_it_too():
    built = wasm(network(4))
    assert built["code"][:8] == b"\0asm\1\0\0\0" and b"env" not in built["code"]
    assert [layer["part"] for layer in built["layers"]] == ["stage0"] * 3 + ["stage1"] * 2


@pytest.mark.skipif(not importlib.util.find_spec("unicorn"), reason="needs the extra [deploy]")
@pytest.mark.parametrize("case", ["four steps", "levels"])
def test_the_core_answers_alike(case):
    described = network(**CASES[case])
    runs, here = Cortex(described)(IMAGES[:4]), native(described)(IMAGES[:4])
    np.testing.assert_array_equal(runs.replies.logits, here.logits)
    small = Cortex(described, core="cortex-m0+", whole=True)(IMAGES[:4])
    whole = native(described, whole=True)(IMAGES[:4])
    np.testing.assert_array_equal(small.replies.logits, whole.logits)


def changed(**new):
    """A network whose layers of a name are others."""
    described = network(4)
    described["layers"] = [
        layer for old in described["layers"] for layer in new.get(old["kind"], [old])
    ]
    return described


POOL = {"part": "stage0", "kind": "avgpool", "kernel": [1, 1]}
ADD = {"part": "stage0", "kind": "add"}
REFUSED = {
    "stage0_add9: a way of this block ends in no synapse": changed(identity=[POOL]),
    "stage0_conv6 is followed by no neurons": changed(
        add=[ADD, {"part": "stage0", "kind": "flatten"}]
    ),
}


@pytest.mark.parametrize("told", REFUSED)
def test_what_it_has_no_code_for_is_refused_in_a_line(told):
    with pytest.raises(ValueError, match=told) as error:
        c_file(REFUSED[told])
    assert "\n" not in str(error.value)
