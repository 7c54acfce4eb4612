"""The recorded INT8 networks still do what their recorded traces say."""

import os
from dataclasses import replace

import numpy as np
import pytest

from sparq_utils import data
from sparq_utils.experiments import EXPERIMENTS
from sparq_utils.networks.int8 import load_int8
from sparq_utils.networks.recording import record
from sparq_utils.results import files as results
from sparq_utils.results.manifest import read_manifest, recorded_names


@pytest.mark.skipif("SPARQ_DATA_DIR" not in os.environ, reason="downloads nothing for a test")
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_recorded_network_answers_and_costs_what_its_trace_says(name):
    weights = results.results_dir() / name / "seed-0" / "qdsnn.safetensors"
    if not weights.is_file():
        pytest.skip(f"no recorded network of {name}")
    trace = results.load(name, "qdsnn")
    test = data.load(EXPERIMENTS[name].data).test
    if test.provenance != trace.measured_on.data:
        pytest.skip(f"the trace was recorded on {trace.measured_on.data}")
    images = replace(test, pixels=test.pixels[:40], labels=test.labels[:40])
    found = record(load_int8(weights), images, "qdsnn")
    # Sums of floats are rounded in another order on another processor: a few spikes may differ.
    assert (found.prediction == trace.prediction[:, :40]).mean() >= 0.98
    assert np.median(np.abs(found.confidence - trace.confidence[:, :40])) < 1e-3
    for count in ("acs", "spikes"):
        recorded = trace.count(count)[:, :40]
        np.testing.assert_allclose(found.count(count).sum(1), recorded.sum(1), rtol=0.01)
    assert (found.count("macs") == trace.count("macs")[:, :1]).all()


@pytest.mark.parametrize(
    "folder",
    sorted(results.results_dir().glob("*/seed-*")),
    ids=lambda f: f"{f.parent.name}-{f.name}",
)
def test_recorded_files_are_those_of_their_manifest(folder):
    manifest = read_manifest(folder)
    if manifest is None:
        pytest.skip("recorded without a manifest: 'python -m sparq_utils bind' writes one")
    assert (manifest.experiment, f"seed-{manifest.seed}") == (folder.parent.name, folder.name)
    for name in {*manifest.files, *recorded_names(folder)}:
        manifest.check(name)
