import importlib.util

import numpy as np
import pytest
from test_deploy import IMAGES, expected, network

from sparq_utils import reference
from sparq_utils.deploy import native
from sparq_utils.deploy.cortex import Cortex, _count
from sparq_utils.files import read_json
from sparq_utils.results.files import results_dir

pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("ziglang") and importlib.util.find_spec("unicorn")),
    reason="needs the extra [deploy]",
)
FEW = IMAGES[18:24]


@pytest.fixture(scope="module")
def core():
    return Cortex(network(4))


def test_the_core_answers_as_the_reference_does(core):
    answers = expected(network(4))
    middle = np.median(answers.confidence[:-1], 1).tolist()
    runs, leaving = core(FEW, middle), reference.exits_at(answers, middle)[18:24]
    assert len(set(leaving)) > 1
    np.testing.assert_array_equal(runs.replies.exit, leaving)
    right = answers.prediction[leaving, np.arange(18, 24)]
    np.testing.assert_array_equal(runs.replies.prediction, right)
    full = core(FEW)
    stayed = leaving == 2
    np.testing.assert_array_equal(runs.instructions[stayed], full.instructions[stayed])
    assert (runs.instructions[~stayed] < full.instructions[~stayed]).all()


def test_counts_are_the_same_every_time_and_layers_add_up(core):
    once, again = core(FEW[:2]), core(FEW[:2], accesses=True)
    np.testing.assert_array_equal(once.instructions, again.instructions)
    np.testing.assert_array_equal(sum(once.by_layer.values()), once.instructions)
    assert {"classify", "stage0_conv0", "head2_linear0"} <= set(once.by_layer)
    assert (again.reads["flash"] > 0).all() and (again.writes["ram"] > 0).all()
    assert (again.writes["flash"] == 0).all()
    assert 0 < once.stack_bytes < 1024


def test_silence_is_cheaper_unless_every_weight_is_met(core):
    dense = Cortex(network(4), dense=True)
    black = np.zeros_like(FEW[:1])
    assert core(black).instructions < core(FEW[:1]).instructions
    assert core(black).instructions < dense(black).instructions


@pytest.mark.parametrize("flag", ["-DPLAIN", "-DUNSTEADY", "-DRESTLESS"])
def test_no_idea_of_the_kernels_changes_an_answer(core, flag):
    dark = IMAGES[:3] // 80 * 80 * (np.arange(10) < 3)  # most windows see nothing
    without, runs = Cortex(network(4), flags=[flag])(dark), core(dark)
    np.testing.assert_array_equal(without.replies.logits, runs.replies.logits)
    if flag != "-DUNSTEADY":  # few of these neurons fire at every step
        assert without.instructions.sum() > runs.instructions.sum()


def test_a_core_without_floats_counts_in_whole_numbers():
    small = Cortex(network(4), core="cortex-m0+", whole=True)
    runs, here = small(FEW), native(network(4), whole=True)(FEW)
    np.testing.assert_array_equal(runs.replies.prediction, here.prediction)
    np.testing.assert_array_equal(runs.replies.confidence, here.confidence)


def test_levels_share_words_on_the_core():
    runs, here = Cortex(network(1, levels=4))(FEW), native(network(1, levels=4))(FEW)
    np.testing.assert_array_equal(runs.replies.prediction, here.prediction)


def test_bytes_fit_the_state_that_was_planned(core):
    assert core.flash_bytes > sum(layer["weight"].size for layer in network(4)["layers"]
                                  if "weight" in layer)  # fmt: skip
    assert 9 * 10 * 6 * 4 <= core.ram_bytes < 8 * 9 * 10 * 6


def test_thumb_instructions_are_told_apart():
    # nop (2 bytes); bl (4 bytes, 0b11110); vadd.f32 (4 bytes, 0b11101); bx lr (2 bytes)
    assert _count(bytes.fromhex("00bf00f000f830ee000a7047")) == 4


def test_recorded_instructions_come_out_again():
    from sparq_utils.data import load

    test = load("mnist").test
    if len(test) != 10_000:
        pytest.skip("recorded on MNIST's own test images, which are not here")
    recorded = read_json(results_dir() / "chip.json")
    described = reference.read(results_dir() / "lenet-mnist" / "seed-0" / "qdsnn.safetensors")
    runs = Cortex(described)(test.pixels[:2].numpy())
    entry = recorded["lenet-mnist"]["emulated"]["qdsnn event-driven"]
    assert runs.instructions.tolist() == entry["first_images"]


def test_bad_input_is_told_in_a_line(core):
    with pytest.raises(ValueError, match="no core 'z80'; choose one of cortex-m4"):
        Cortex(network(4), core="z80")
    with pytest.raises(ValueError, match=r"expected uint8 \[N, 2, 9, 10\]"):
        core(IMAGES.astype(float))
