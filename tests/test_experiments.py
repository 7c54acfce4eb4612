import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sparq_utils import data
from sparq_utils import pipeline as experiments
from sparq_utils.experiments import Profile, find
from sparq_utils.networks.training import CheckpointError, Recipe
from sparq_utils.pipeline import ExperimentError, load_ann, run_seed
from sparq_utils.results.files import DYNAMIC, SPLITS, TEMPORAL, TRACES
from sparq_utils.traces.trace import TraceError, load_trace

TINY = Profile(Recipe(2, 16, 3e-3), Recipe(1, 16, 5e-4, mixup_alpha=0.0), 4, 32, 6, 0)
MLP, _ = find("mlp-mnist", "smoke")
LENET, _ = find("lenet-mnist", "smoke")


def made_up(split, count, provenance="made up"):
    generator = torch.Generator().manual_seed(len(split))
    labels = torch.arange(count) % 10
    pixels = torch.randint(0, 256, (count, 1, 28, 28), generator=generator, dtype=torch.uint8)
    pixels[torch.arange(count), 0, labels] = 255  # a bright row for each class
    return data.Images(pixels, labels, "MNIST", split, provenance)


@pytest.fixture(scope="module")
def splits():
    return data.Splits(*(made_up(s, n) for s, n in [("train", 40), ("validation", 8), ("test", 8)]))


@pytest.fixture(scope="module")
def finished(splits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "seed-0"
    run_seed(MLP, TINY, splits, 0, folder, progress=False)
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of a finished run, free to be damaged."""
    for path in finished.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_records_every_variant_and_dynamic_ones_on_both_splits(finished):
    for variant in TRACES:
        for split in SPLITS if variant in DYNAMIC else ("test",):
            trace = load_trace(finished / f"{variant}-{split}.npz")
            on = trace.measured_on
            assert (on.variant, on.split, on.data, on.seed) == (variant, split, "made up", 0)
            assert trace.samples == 6
            assert trace.exits == (3 if variant in ("dynamic-ann", "qdsnn", "qdann") else 1)
            assert on.timesteps == experiments.TIMESTEPS.get(variant, 1)
            assert on.weight_bits == (8 if variant.startswith("q") else 32)
            assert on.levels == (4 if variant in ("qann", "qdann") else None)
    notes = json.loads((finished / "training.json").read_text())
    assert [entry["epoch"] for entry in notes["ann"]] == [1, 2]
    assert (notes["data"], notes["train_images"]) == ("made up", 32)
    assert notes["qat_recipe"]["mixup_alpha"] == 0
    assert not list(finished.glob("*.partial"))


def test_the_weights_read_back_are_those_that_were_recorded(finished, splits):
    network = load_ann(finished / "ann.safetensors", MLP, TINY.levels)
    images = splits.test.take(6)
    with torch.no_grad():
        prediction = network(images.floats()).argmax(-1)
    expected = load_trace(finished / "dynamic-ann-test.npz").prediction
    np.testing.assert_array_equal(prediction, expected)


def test_a_finished_run_is_kept_as_it_is(folder, splits):
    before = contents(folder)
    run_seed(MLP, TINY, splits, 0, folder, progress=False)
    assert contents(folder) == before


def test_an_interrupted_run_goes_on_and_ends_with_the_same_weights(
    finished, splits, tmp_path, monkeypatch
):
    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    folder = tmp_path / "seed-0"
    with monkeypatch.context() as patch:
        patch.setattr(experiments, "_save_weights", killed)  # after the last epoch's checkpoint
        with pytest.raises(Killed):
            run_seed(MLP, TINY, splits, 0, folder, progress=False)
    assert sorted(contents(folder)) == ["ann.pt", "training.json"]
    with monkeypatch.context() as patch:
        patch.setattr(experiments, "to_int8", killed)  # after the fine-tuning's checkpoint
        with pytest.raises(Killed):
            run_seed(MLP, TINY, splits, 0, folder, progress=False)
    assert (folder / "snn-test.npz").is_file() and not (folder / "qdsnn-test.npz").exists()
    run_seed(MLP, TINY, splits, 0, folder, progress=False)
    for name in ("ann.safetensors", "qdsnn.safetensors", "qdann.safetensors"):
        ours, theirs = load_file(folder / name), load_file(finished / name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert sorted(contents(folder)) == sorted(contents(finished))


def test_a_missing_trace_is_recorded_anew_and_alike(folder, splits):
    path = folder / "qdsnn-test.npz"
    before = load_trace(path)
    path.unlink()
    run_seed(MLP, TINY, splits, 0, folder, progress=False)
    np.testing.assert_array_equal(load_trace(path).confidence, before.confidence)


def elsewhere(splits):
    return data.Splits(
        *(
            replace(images, provenance="other data")
            for images in (splits.train, splits.validation, splits.test)
        )
    )


def test_other_data_are_refused_and_nothing_is_lost(folder, splits):
    before = contents(folder)
    with pytest.raises(ExperimentError, match=r"32 training images of 'made up'.*'other data'"):
        run_seed(MLP, TINY, elsewhere(splits), 0, folder, progress=False)
    with pytest.raises(ExperimentError, match=r"was recorded on 6 images.*now there are 5"):
        run_seed(MLP, replace(TINY, images=5), splits, 0, folder, progress=False)
    with pytest.raises(ExperimentError, match=r"now there are 16 of 'made up'.*--out"):
        run_seed(MLP, replace(TINY, train_images=16), splits, 0, folder, progress=False)
    assert contents(folder) == before


def test_a_started_run_does_not_go_on_with_other_data(folder, splits):
    for path in folder.glob("*.npz"):
        path.unlink()
    (folder / "ann.safetensors").unlink()  # what is left is a checkpoint of the old data
    with pytest.raises(ExperimentError, match="'other data'"):
        run_seed(MLP, TINY, elsewhere(splits), 0, folder, progress=False)


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("ann.safetensors", ExperimentError, r"ann\.safetensors is damaged"),
        ("qdsnn.safetensors", ValueError, r"qdsnn\.safetensors is no INT8 network"),
        ("snn-test.npz", TraceError, r"snn-test\.npz is no usable exit trace"),
        ("training.json", ValueError, r"training\.json is damaged"),
    ],
)
def test_a_damaged_file_is_named_and_nothing_else_is_touched(folder, splits, name, error, told):
    path = folder / name
    path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2])
    before = contents(folder)
    with pytest.raises(error, match=told):
        run_seed(MLP, TINY, splits, 0, folder, progress=False)
    assert contents(folder) == before


def test_weights_of_another_network_are_refused(folder, splits, tmp_path_factory):
    lenet = tmp_path_factory.mktemp("lenet")
    run_seed(LENET, TINY, splits, 0, lenet, progress=False)
    traces = [path.name for path in folder.glob("q*.npz")]
    for name, told in (
        ("ann.safetensors", "another network than mlp"),
        ("qdsnn.safetensors", "holds lenet5 with 3 exits at T=4, expected mlp"),
        ("ann.pt", "belongs to a run with another network"),
    ):
        ours = (folder / name).read_bytes()
        (folder / name).write_bytes((lenet / name).read_bytes())
        missing = traces if name.startswith("q") else []
        if name == "ann.pt":
            missing = ["ann.safetensors"]
        kept = {other: (folder / other).read_bytes() for other in missing}
        for other in missing:
            (folder / other).unlink()
        error = CheckpointError if name == "ann.pt" else ExperimentError
        with pytest.raises(error, match=told):
            run_seed(MLP, TINY, splits, 0, folder, progress=False)
        for other, content in {name: ours, **kept}.items():
            (folder / other).write_bytes(content)


def test_a_whole_experiment_with_its_comparison_of_conversions(splits, tmp_path, monkeypatch):
    tiny = replace(TINY, conversions=4)
    monkeypatch.setattr(data, "load", lambda name: splits)
    monkeypatch.setitem(MLP.profiles, "smoke", tiny)
    monkeypatch.setattr(experiments, "CONVERSION_TIMESTEPS", (1, 2))
    folder = experiments.run("mlp-mnist", "smoke", 2, tmp_path, progress=False)
    assert folder == tmp_path / "mlp-mnist"
    assert (folder / "seed-1" / "qdsnn-test.npz").is_file()
    for variant in TEMPORAL:
        for split in SPLITS:
            trace = load_trace(folder / "seed-0" / f"{variant}-{split}.npz")
            assert (trace.measured_on.variant, trace.measured_on.split) == (variant, split)
            assert trace.exits == (3 * 4 if "exit" in variant else 4)
    last = load_trace(folder / "seed-0" / "qsnn-test.npz")
    in_time = load_trace(folder / "seed-0" / "qsnn-by-step-test.npz")
    np.testing.assert_array_equal(in_time.prediction[-1], last.prediction[-1])
    np.testing.assert_array_equal(in_time.synaptic_ops[-1], last.synaptic_ops[-1])
    found = json.loads((folder / "conversion.json").read_text())
    assert (found["images"], found["data"], found["seed"]) == (4, "made up", 0)
    assert len(found["methods"]) == 5
    for accuracy in found["methods"].values():
        assert list(accuracy) == ["1", "2"]
        assert all(0 <= value <= 1 for value in accuracy.values())
    seeds = (load_file(folder / f"seed-{seed}" / "ann.safetensors") for seed in (0, 1))
    assert any(not torch.equal(a, b) for a, b in zip(*(s.values() for s in seeds), strict=True))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("resnet", "smoke", 1), "unknown experiment 'resnet'; choose one of mlp-mnist"),
        (("mlp-mnist", "tiny", 1), "unknown profile 'tiny'; choose one of smoke"),
        (("mlp-mnist", "smoke", 0), "0 seeds: need at least 1"),
    ],
)
def test_what_does_not_exist_is_refused_before_anything_is_loaded(arguments, told, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name: pytest.fail("data were loaded"))
    with pytest.raises(ValueError, match=told):
        experiments.run(*arguments)


def test_missing_weights_say_what_makes_them(tmp_path):
    with pytest.raises(FileNotFoundError, match="sparq_utils run"):
        load_ann(tmp_path / "ann.safetensors", MLP, 4)
