"""Notes of runs: conversions, trainings, ways to train exits."""

import json

import pytest

from sparq_utils import results
from sparq_utils.results.notes import Conversion


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARQ_RESULTS_DIR", str(tmp_path))
    return tmp_path


def test_a_conversion_is_read_with_numbers_for_timesteps(folder):
    with pytest.raises(results.NotRecordedError, match="sparq_utils run mlp-mnist"):
        results.conversion("mlp-mnist")
    (folder / "mlp-mnist").mkdir()
    noted = {"methods": {"copy": {"1": 0.5, "16": 0.9}}, "ann_accuracy": 0.9, "images": 100}
    (folder / "mlp-mnist" / "conversion.json").write_text(json.dumps(noted))
    found = results.conversion("mlp-mnist")
    assert found.methods == {"copy": {1: 0.5, 16: 0.9}} and found.images == 100
    assert found.standard_error == pytest.approx(0.03)  # sqrt(0.9 * 0.1 / 100)


def test_timesteps_needed_come_within_two_standard_errors():
    found = Conversion({"near": {2: 0.83, 4: 0.85, 8: 0.9}, "far": {32: 0.8}}, 0.9, 100)
    assert found.timesteps_needed("near") == 4  # 0.9 - 2 * 0.03 = 0.84
    with pytest.raises(ValueError, match="far stays below"):
        found.timesteps_needed("far")


def test_each_seed_tells_how_it_trained(folder):
    for seed in (10, 2, 3):
        (folder / "mlp-mnist" / f"seed-{seed}").mkdir(parents=True)
    for seed in (10, 2):
        (folder / "mlp-mnist" / f"seed-{seed}" / "training.json").write_text(f'{{"seed": {seed}}}')
    assert results.training_notes("mlp-mnist") == [{"seed": 2}, {"seed": 10}]


def test_ways_to_train_exits_are_there_or_empty(folder):
    assert results.exit_training() == {}
    noted = {"validation_accuracy": {"jointly": [[0.5, 0.6, 0.7], [0.6, 0.7, 0.8]]}}
    (folder / "exit-training.json").write_text(json.dumps(noted))
    assert results.exit_training() == noted


def test_silence_is_read_with_the_start_apart(folder):
    with pytest.raises(results.NotRecordedError, match="sparq_utils run lenet-mnist"):
        results.silence("lenet-mnist")
    (folder / "lenet-mnist").mkdir()
    points = [
        {"penalty": penalty, "accuracy": [0.5, right], "spike_rate": [0.1, rate]}
        for penalty, right, rate in ((None, 0.9, 0.3), (0.0, 0.92, 0.31), (2.0, 0.88, 0.12))
    ]
    (folder / "lenet-mnist" / "silence.json").write_text(
        json.dumps({"chosen": 2.0, "points": points})
    )
    found = results.silence("lenet-mnist")
    assert (found.penalties, found.chosen) == ((0.0, 2.0), 2.0)
    assert found.accuracy.tolist() == [[0.5, 0.92], [0.5, 0.88]]
    assert found.spike_rate.tolist() == [[0.1, 0.31], [0.1, 0.12]]
    assert [each.tolist() for each in found.start] == [[0.5, 0.9], [0.1, 0.3]]
