import json

import numpy as np
import pytest

from sparq_utils.files import read_json
from sparq_utils.results import NotRecordedError, on_chip, per_part, until_exit
from sparq_utils.results.files import results_dir

LAYERS = {"classify": 1.0, "stage0_conv0": 10.0, "stage0_avgpool2": 2.0, "head0_linear1": 5.0,
          "stage1_conv0": 20.0, "head1_linear0": 7.0, "head1_linear2": 1.0}  # fmt: skip


def test_instructions_add_up_until_an_exit():
    assert per_part(LAYERS)["head1"] == 8
    assert until_exit(LAYERS).tolist() == [10 + 2 + 5, 10 + 2 + 5 + 20 + 8]


def test_what_is_not_recorded_on_the_chip_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARQ_RESULTS_DIR", str(tmp_path))
    with pytest.raises(NotRecordedError, match="no lenet-mnist is recorded on the chip"):
        on_chip("lenet-mnist")
    (tmp_path / "chip.json").write_text(json.dumps({"lenet-mnist": {"emulated": {}}}))
    assert on_chip("lenet-mnist") == {"emulated": {}}
    with pytest.raises(NotRecordedError, match="no mlp-mnist"):
        on_chip("mlp-mnist")


def test_recorded_means_until_an_exit_explain_what_thresholds_cost():
    from sparq_utils.results import load
    from sparq_utils.traces import Thresholds

    for experiment in ("lenet-mnist", "mlp-mnist"):
        for variant in ("qdsnn", "qdann"):
            entry = on_chip(experiment)["emulated"][f"{variant} event-driven"]
            leaving = Thresholds((0.6, 0.7)).leaving(load(experiment, variant))
            told = until_exit(entry["layers"])[leaving[: entry["images"]]].mean()
            assert np.isclose(told, entry["instructions"]["thresholds"], rtol=0.02)


@pytest.mark.parametrize(("experiment", "most"), [("mlp-mnist", 0.25e6), ("lenet-mnist", 0.4e6)])
def test_recorded_kernels_reach_what_was_asked_of_them(experiment, most):
    found = on_chip(experiment)
    entry = found["emulated"]["qdsnn event-driven"]
    assert entry["images"] == 200 and entry["instructions"]["thresholds"] < most
    assert entry["ram_bytes"] + entry["stack_bytes"] < 32_000
    for variant in ("qdsnn", "qdann"):
        counts = [step["instructions"]["full"] for step in found["steps"][variant]]
        assert (np.diff(counts) <= 0).all() and counts[0] > 2 * counts[-1]
    ratios = {peer: row["ratio"] for peer, row in found["speed"].get("peers", {}).items()}
    assert not ratios or (ratios["PyTorch, staged"] > 10 and ratios["snnTorch, step loop"] > 50)


def test_recorded_files_answer_as_pytorch_does():
    recorded = read_json(results_dir() / "chip.json")
    images = {"mlp-mnist": 10_000, "lenet-mnist": 10_000}
    for experiment in recorded.keys() - {"measured_on"}:
        agreements, count = on_chip(experiment)["agreement"], images.get(experiment, 1000)
        assert agreements
        for found in agreements.values():
            assert (found["images"], found["exits"], found["predictions"]) == (count, 0, 0)
            assert found["logits"] < 1e-3
