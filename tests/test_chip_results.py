import json

import numpy as np
import pytest

from sparq_utils.results import NotRecordedError, on_chip, per_part, until_exit

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
            assert np.isclose(told, entry["instructions"]["thresholds"], rtol=0.01)
