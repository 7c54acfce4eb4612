import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sparq_utils import data
from sparq_utils.experiments import EXPERIMENTS, Profile, find
from sparq_utils.files import FolderInUseError, lock
from sparq_utils.networks.checkpoints import CheckpointError
from sparq_utils.networks.recipe import Recipe
from sparq_utils.pipeline import first_seed, steps
from sparq_utils.pipeline.comparison import compare
from sparq_utils.pipeline.steps import run_seed
from sparq_utils.pipeline.variants import TIMESTEPS, ExperimentError, load_ann
from sparq_utils.pipeline.verification import bind, verify
from sparq_utils.results.files import DYNAMIC, NETWORKS, SPLITS, TEMPORAL, TRACES
from sparq_utils.results.manifest import ResultsError
from sparq_utils.results.variants import ROWS
from sparq_utils.traces.trace import load_trace, save_trace

TUNE = Recipe(1, 16, 5e-4, mixup_alpha=0.0)
TINY = Profile(Recipe(2, 16, 3e-3), TUNE, replace(TUNE, spike_penalty=1.0), 4, 32, 6, 0)
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


@pytest.fixture(scope="module")
def lenet(splits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lenet") / "seed-0"
    run_seed(LENET, TINY, splits, 0, folder, progress=False)
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
            assert trace.exits == (3 if variant in DYNAMIC else 1)
            assert on.timesteps == TIMESTEPS.get(variant, 1)
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


class Killed(BaseException):
    pass


def killed(*_):
    raise Killed


@pytest.mark.parametrize("network", [MLP, LENET])
def test_killed_at_many_places_a_run_ends_with_the_same_files(
    network, splits, finished, lenet, tmp_path, monkeypatch
):
    expected = finished if network is MLP else lenet
    folder, rng, kills = tmp_path / "seed-0", np.random.default_rng(0), 0
    real = os.fsync
    while True:
        left = [rng.integers(2, 12)]  # files that get on disk before it dies

        def dying(handle, left=left):
            left[0] -= 1
            real(handle) if left[0] else killed()

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", dying)
            try:
                run_seed(network, TINY, splits, 0, folder, progress=False)
            except Killed:
                kills += 1
                continue
        break
    assert kills > 5
    ours, theirs = contents(folder), contents(expected)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name] and name[-3:] != ".pt"] == []


def test_what_is_recorded_was_saved_and_loaded_again(splits, tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "_save_weights", killed)
    with pytest.raises(Killed):
        run_seed(LENET, TINY, splits, 0, tmp_path, progress=False)
    assert not list(tmp_path.glob("*.npz"))


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
    longer = replace(TINY, ann=replace(TINY.ann, epochs=3))
    for profile, images, seed, told in (
        (TINY, elsewhere(splits), 0, r"data\.train\.name is 'made up', now it is 'other data'"),
        (replace(TINY, images=5), splits, 0, r"data\.\w+\.images is 6, now it is 5.*--out"),
        (replace(TINY, train_images=16), splits, 0, r"data\.train\.images is 32, now it is 16"),
        (longer, splits, 0, r"recipe\.ann\.epochs is 2, now it is 3; move the results away"),
        (replace(TINY, levels=8), splits, 0, r"recipe\.levels is 4, now it is 8"),
        (TINY, splits, 1, r"seed is 0, now it is 1"),
    ):
        with pytest.raises(ResultsError, match=told):
            run_seed(MLP, profile, images, seed, folder, progress=False)
    assert contents(folder) == before


def test_weights_are_not_trained_again_beside_their_traces(folder, splits):
    for name in ("ann.safetensors", "ann.pt"):  # a clone without AlexNet's weights is like this
        (folder / name).unlink()
    before = contents(folder)
    with pytest.raises(ResultsError, match=r"ann\.safetensors is not here.*SHA-256 [0-9a-f]{64}"):
        run_seed(MLP, TINY, splits, 0, folder, progress=False)
    assert contents(folder) == before


def test_one_variant_is_made_of_the_weights_that_are_there(folder, splits):
    before = contents(folder)
    for (
        name
    ) in before:  # a clone without AlexNet's large weights, before it was trained for silence
        if name.startswith(("ann.", "qdann.saf", "qdsnn-sparse", "qat")):
            (folder / name).unlink()
    manifest = json.loads(before["manifest.json"])
    manifest["files"] = {n: e for n, e in manifest["files"].items() if "sparse" not in n}
    del manifest["recipe"]["silence"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    run_seed(MLP, TINY, splits, 0, folder, progress=False, only="qdsnn-sparse")
    after = contents(folder)
    made = {name for name in before if "sparse" in name}
    assert len(made) == 4  # weights, their checkpoint, two traces
    assert [n for n in made if n[-3:] != ".pt" and after[n] != before[n]] == []
    assert json.loads(after["manifest.json"])["recipe"]["silence"]["spike_penalty"] == 1
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for name in (*made, "qdsnn.safetensors"):
        (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=r"no INT8 network at .*qdsnn\.safetensors"):
        run_seed(MLP, TINY, splits, 0, folder, progress=False, only="qdsnn-sparse")


@pytest.mark.parametrize(
    ("source", "target", "told"),
    [
        ("snn-test.npz", "ann-test.npz", r"ann-test\.npz is another file than the one recorded"),
        ("ann-test.npz", "guest-test.npz", r"guest-test\.npz is not in manifest\.json"),
        ("qsnn-test.npz", "manifest.json", r"manifest\.json is damaged"),
    ],
)
def test_what_does_not_belong_is_refused_by_name(folder, splits, source, target, told):
    (folder / target).write_bytes((folder / source).read_bytes())
    before = contents(folder)
    with pytest.raises((ResultsError, ValueError), match=told):
        run_seed(MLP, TINY, splits, 0, folder, progress=False)
    assert contents(folder) == before


def test_a_trace_that_comes_out_otherwise_is_not_recorded(folder, splits, monkeypatch):
    (folder / "snn-test.npz").unlink()
    monkeypatch.setitem(TIMESTEPS, "snn", 2)  # as other kernels on another machine might
    before = contents(folder)
    with pytest.raises(ResultsError, match=r"snn-test\.npz came out unlike what manifest\.json"):
        run_seed(MLP, TINY, splits, 0, folder, progress=False)
    assert contents(folder) == before


def test_weights_trained_elsewhere_are_taken_up_with_what_training_says(folder, splits):
    before = contents(folder)
    for name in before:
        if name not in ("ann.safetensors", "training.json"):
            (folder / name).unlink()
    notes = json.loads(before["training.json"])
    notes = {key: notes[key] for key in ("data", "train_images", "torch", "ann", "ann_recipe")}
    for wrong, told in (
        ({}, "does not say of which 'data'"),
        (notes | {"data": "other data"}, "data is 'other data', now it is 'made up'"),
        (notes | {"ann_recipe": notes["ann_recipe"] | {"epochs": 9}}, "epochs is 9, now it is 2"),
    ):
        (folder / "training.json").write_text(json.dumps(wrong))
        with pytest.raises(ResultsError, match=told):
            run_seed(MLP, TINY, splits, 0, folder, progress=False)
    (folder / "training.json").write_text(json.dumps(notes))
    run_seed(MLP, TINY, splits, 0, folder, progress=False)
    after = contents(folder)
    assert sorted(after) == sorted(before.keys() - {"ann.pt"})
    assert [
        n for n in after if n.endswith((".npz", ".safetensors")) and after[n] != before[n]
    ] == []


def test_traces_without_a_manifest_are_not_added_to(folder, splits):
    (folder / "manifest.json").unlink()
    before = contents(folder)
    with pytest.raises(ResultsError, match=r"no manifest\.json that says.*sparq_utils bind"):
        run_seed(MLP, TINY, splits, 0, folder, progress=False)
    assert contents(folder) == before


@pytest.fixture
def recorded(finished, splits, tmp_path, monkeypatch):
    """A finished run where results lie, its data and profile those of the recorded ones."""
    monkeypatch.setattr(data, "load", lambda name: splits)
    monkeypatch.setitem(MLP.profiles, "full", TINY)
    monkeypatch.setenv("SPARQ_RESULTS_DIR", str(tmp_path))
    folder = tmp_path / "mlp-mnist" / "seed-0"
    shutil.copytree(finished, folder)
    return folder


def test_what_is_recorded_is_verified_and_what_was_changed_is_found(recorded):
    assert [finding for finding in verify() if not finding.holds] == []
    (recorded / "qdann.safetensors").rename(recorded.parent / "elsewhere")
    rest = [finding for finding in verify() if not finding.holds]
    assert [(finding.what, finding.holds, finding.told) for finding in rest] == [
        ("mlp-mnist/seed-0", None, "qdann.safetensors: known to be missing here, so 3 of 19 traces "
         "are not run again"),
    ]  # fmt: skip
    (recorded / "ann-test.npz").rename(recorded.parent / "ann-test.npz")
    (lost,) = (finding for finding in verify() if finding.holds is False)
    assert lost.what == "mlp-mnist/seed-0/ann-test.npz" and "not here" in lost.told
    (recorded.parent / "ann-test.npz").rename(recorded / "ann-test.npz")
    swapped = load_trace(recorded / "snn-test.npz")
    save_trace(replace(swapped, confidence=swapped.confidence[:, ::-1]), recorded / "snn-test.npz")
    wrong = [finding for finding in verify() if finding.holds is False]
    assert {finding.what for finding in wrong} == {"mlp-mnist/seed-0/snn-test.npz"}
    assert len(wrong) == 2  # by its hash, and by its weights
    (recorded / "manifest.json").unlink()
    assert any("has no manifest" in finding.told for finding in verify())


def test_traces_whose_weights_no_manifest_names_are_not_passed_over_in_silence(recorded):
    path = recorded / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["files"]["qdann.safetensors"]
    path.write_text(json.dumps(manifest))
    (recorded / "qdann.safetensors").unlink()
    (untold,) = (finding for finding in verify() if not finding.holds)
    assert untold.holds is None
    assert untold.told == "qdann.safetensors: not here, so 3 of 19 traces are not run again"


def test_a_run_without_a_manifest_is_bound_if_it_is_one_run(recorded, monkeypatch):
    path = recorded / "manifest.json"
    before = json.loads(path.read_text())
    with pytest.raises(ResultsError, match="nothing to bind"):
        bind(recorded)
    path.unlink()
    monkeypatch.chdir(recorded)
    bind(".")
    after = json.loads(path.read_text())
    for key in ("experiment", "seed", "recipe", "data"):
        assert after[key] == before[key]
    hashes = [{name: e["sha256"] for name, e in m["files"].items()} for m in (before, after)]
    assert hashes[0] == hashes[1]
    assert [finding for finding in verify() if not finding.holds] == []
    path.unlink()
    trace = load_trace(recorded / "snn-test.npz")
    changed = replace(trace, prediction=(trace.prediction + 1) % 10, logits=None)
    save_trace(changed, recorded / "snn-test.npz")
    with pytest.raises(ResultsError, match=r"snn-test\.npz does not come from its weights"):
        bind(recorded)
    assert not path.exists()


def test_results_are_compared_row_by_row(recorded, tmp_path):
    new = tmp_path / "new"
    shutil.copytree(recorded.parent, new / "mlp-mnist")
    found = compare(new)
    assert {str(one).rpartition(": ")[2] for one in found} == {"equal"}
    assert {one.variant for one in found} <= set(ROWS) and found[0].seeds == (0,)
    (new / "mlp-mnist" / "seed-0" / "manifest.json").unlink()
    (new / "mlp-mnist" / "seed-0" / "ann-test.npz").unlink()
    path = new / "mlp-mnist" / "seed-0" / "snn-test.npz"
    trace = load_trace(path)
    counts = trace.counts | {"acs": 2 * trace.counts["acs"]}
    save_trace(replace(trace, counts=counts), path)
    changed = [str(one) for one in compare(new) if not str(one).endswith("equal")]
    assert changed[0] == "mlp-mnist, ann: not made again"
    assert len(changed) == 2 and changed[1].startswith("mlp-mnist, snn, seeds 0: operations +")
    first = {name: count[:, :5] for name, count in trace.counts.items()}
    few = replace(
        trace,
        confidence=trace.confidence[:, :5],
        prediction=trace.prediction[:, :5],
        labels=trace.labels[:5],
        counts=first,
    )
    save_trace(few, path)
    (told,) = (str(one) for one in compare(new) if one.variant == "snn")
    assert "snn, seeds 0, on other images (5 of made up, not 6 of made up): " in told
    with pytest.raises(ResultsError, match="no row in common"):
        compare(tmp_path / "nowhere")


def test_a_second_run_is_told_of_the_first(splits, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name: splits)
    with lock(tmp_path / "mlp-mnist"), pytest.raises(FolderInUseError, match="another run"):
        steps.run("mlp-mnist", "smoke", 1, tmp_path, progress=False)
    assert not (tmp_path / "mlp-mnist" / "seed-0").exists()


def test_a_started_run_does_not_go_on_with_other_data(folder, splits):
    for path in folder.glob("*.npz"):
        path.unlink()
    (folder / "ann.safetensors").unlink()  # what is left is a checkpoint of the old data
    with pytest.raises(ResultsError, match="'other data'"):
        run_seed(MLP, TINY, elsewhere(splits), 0, folder, progress=False)


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("ann.safetensors", ExperimentError, r"ann\.safetensors is damaged"),
        ("qdsnn.safetensors", ValueError, r"qdsnn\.safetensors is no INT8 network"),
        ("snn-test.npz", ResultsError, r"snn-test\.npz is another file than the one recorded"),
        ("training.json", ResultsError, r"training\.json is another file"),
    ],
)
def test_a_damaged_file_is_named_and_nothing_else_is_touched(folder, splits, name, error, told):
    path = folder / name
    path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2])
    before = contents(folder)
    with pytest.raises(error, match=told):
        run_seed(MLP, TINY, splits, 0, folder, progress=False)
    assert contents(folder) == before


def test_weights_of_another_network_are_refused(folder, splits, lenet):
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
    tiny = replace(TINY, conversions=4, penalties=(0.0, 1.0))
    monkeypatch.setattr(data, "load", lambda name: splits)
    monkeypatch.setitem(MLP.profiles, "smoke", tiny)
    monkeypatch.setattr(first_seed, "CONVERSION_TIMESTEPS", (1, 2))
    folder = steps.run("mlp-mnist", "smoke", 2, tmp_path, progress=False)
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
    silence = json.loads((folder / "silence.json").read_text())
    assert (silence["images"], silence["split"], silence["chosen"]) == (6, "validation", 1.0)
    points = {point["penalty"]: point for point in silence["points"]}
    assert list(points) == [None, 0.0, 1.0]
    for penalty, variant in ((None, "qdsnn"), (1.0, "qdsnn-sparse")):
        trace = load_trace(folder / "seed-0" / f"{variant}-validation.npz")
        assert points[penalty]["accuracy"] == trace.correct.mean(1).tolist()
        rate = trace.count("spikes").sum(1) / trace.count("lif_updates").sum(1)
        np.testing.assert_allclose(points[penalty]["spike_rate"], rate)
    assert points[0.0] != points[1.0]
    seeds = (load_file(folder / f"seed-{seed}" / "ann.safetensors") for seed in (0, 1))
    assert any(not torch.equal(a, b) for a, b in zip(*(s.values() for s in seeds), strict=True))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("resnet", "smoke", 1), "unknown experiment 'resnet'; choose one of mlp-mnist"),
        (("mlp-mnist", "tiny", 1), "unknown profile 'tiny'; choose one of smoke"),
        (("mlp-mnist", "smoke", 0), "0 seeds: need at least 1"),
        (("mlp-mnist", "smoke", 1, None, True, "snn-by-magic"), "unknown variant 'snn-by-magic'"),
    ],
)
def test_what_does_not_exist_is_refused_before_anything_is_loaded(arguments, told, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name: pytest.fail("data were loaded"))
    with pytest.raises(ValueError, match=told):
        steps.run(*arguments)


def test_traces_name_the_networks_of_the_experiments():
    assert {name: one.network for name, one in EXPERIMENTS.items()} == NETWORKS


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [("weight", float("nan"), "weights that are not finite"), ("threshold", 0, "a threshold of 0")],
)
def test_weights_that_no_training_gives_are_named(finished, tmp_path, name, value, told):
    tensors = load_file(finished / "ann.safetensors")
    tensors[next(key for key in tensors if key.endswith(name))].fill_(value)
    save_file(tensors, tmp_path / "ann.safetensors")
    with pytest.raises(ExperimentError, match=rf"ann\.safetensors holds {told}"):
        load_ann(tmp_path / "ann.safetensors", MLP, TINY.levels)


def test_missing_weights_say_what_makes_them(tmp_path):
    with pytest.raises(FileNotFoundError, match="sparq_utils run"):
        load_ann(tmp_path / "ann.safetensors", MLP, 4)
