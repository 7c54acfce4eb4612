import json
from dataclasses import replace
from math import ceil, log2
from pathlib import Path

import numpy as np
import pytest
from make_trace import make_trace, with_logits

from sparq_utils.results import files as results
from sparq_utils.results import rows as measured
from sparq_utils.results.files import ResultsError
from sparq_utils.results.variants import ROWS, Variant
from sparq_utils.traces.company import fit_company, in_company
from sparq_utils.traces.energy import MEMORY_MODELS, PAPER, PRESETS, energy
from sparq_utils.traces.optimum import exact_optimum
from sparq_utils.traces.policies import Thresholds, outcome
from sparq_utils.traces.qlearning import learn
from sparq_utils.traces.sweeps import choose_thresholds, thresholds_within
from sparq_utils.traces.trace import TraceError, save_trace

EXITS = {
    **{"ann": 1, "dynamic-ann": 3, "snn": 1, "snn-rate": 1, "qsnn": 1, "qdsnn": 3},
    **{"qann": 1, "qdann": 3, "qdsnn-sparse": 3},
}
STEPS = {
    **{"ann": 1, "dynamic-ann": 1, "snn": 32, "snn-rate": 32, "qsnn": 4, "qdsnn": 4},
    **{"qann": 1, "qdann": 1, "qdsnn-sparse": 4},
}
SAMPLES = {"validation": 400, "test": 300}
KEYS = {
    "experiment", "variant", "accuracy", "accuracy_std", "n_seeds", "synaptic_ops", "spikes",
    "lif_updates", "energy_j", "energy_parts_j", "timesteps", "exit_shares", "encoding", "data",
    "answer", "policy", "weight_bits", "levels", "counts", "constants", "memory",
}  # fmt: skip


def record(variant, split, seed, experiment="lenet-mnist", **changes):
    analog = variant.endswith("ann")
    fields = {
        "variant": variant,
        "timesteps": STEPS[variant],
        "encoding": "analog" if analog else "rate" if variant == "snn-rate" else "direct",
        "weight_bits": 8 if variant.startswith("q") else 32,
        "split": split,
        "levels": 4 if variant in ("qann", "qdann") else None,
        "network": results.NETWORKS[experiment],
        **changes,
    }
    # every file another seed, or a test could not tell validation from test
    mixed = 100 * seed + 10 * list(EXITS).index(variant) + (split == "test")
    make = with_logits if EXITS[variant] > 1 else make_trace
    trace = make(EXITS[variant], SAMPLES[split], mixed, **fields)
    trace = replace(trace, measured_on=replace(trace.measured_on, seed=seed))
    save_trace(trace, results.trace_path(experiment, variant, split, seed))
    return trace


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARQ_RESULTS_DIR", str(tmp_path))
    return {
        (variant, split, seed): record(variant, split, seed)
        for variant in EXITS
        for split in SAMPLES
        for seed in (0, 1, 12)
    }


def test_layout(tmp_path, monkeypatch):
    monkeypatch.delenv("SPARQ_RESULTS_DIR", raising=False)
    assert results.results_dir() == Path(results.__file__).parents[2] / "results"
    monkeypatch.setenv("SPARQ_RESULTS_DIR", str(tmp_path))
    path = results.trace_path("mlp-mnist", "qdsnn", "validation", 2)
    assert path == tmp_path / "mlp-mnist" / "seed-2" / "qdsnn-validation.npz"


def test_load(recorded):
    assert results.seeds("lenet-mnist") == [0, 1, 12]
    trace = results.load("lenet-mnist", "qdsnn", "validation", 12)
    expected = recorded["qdsnn", "validation", 12]
    np.testing.assert_array_equal(trace.confidence, expected.confidence)
    assert results.recorded() == ["lenet-mnist"]


def test_rows_are_json_with_all_keys(recorded):
    table = measured.as_dicts()
    assert [row["variant"] for row in table] == list(ROWS)
    assert json.loads(json.dumps(table)) == table
    for row in table:
        assert set(row) == KEYS
        assert row["n_seeds"] == 3
        assert row["energy_j"] == sum(row["energy_parts_j"].values()) > 0
        assert sum(row["exit_shares"]) == pytest.approx(1)
        assert len(row["exit_shares"]) == EXITS[ROWS[row["variant"]].trace]
        assert row["timesteps"] == STEPS[ROWS[row["variant"]].trace]
        assert row["data"] == "MNIST, 300 test images (synthetic)"
        assert row["answer"] == ("company" if "company" in row["variant"] else "alone")
        assert set(row["policy"]) == {"chosen", "thresholds"} and row["policy"]["chosen"]
        learned = row["variant"] in ("qdsnn-q", "qdsnn-optimal")
        assert (row["policy"]["thresholds"] is None) == learned


@pytest.mark.parametrize("variant", ROWS)
def test_rows_choose_on_validation_and_report_on_test(recorded, variant):
    (row,) = measured.as_dicts(["lenet-mnist"], variants=[variant])
    found, joules = [], []
    for seed in (0, 1, 12):
        validation, test = (recorded[ROWS[variant].trace, split, seed] for split in SAMPLES)
        if "-company-" in variant:
            weights, alone = fit_company(validation), validation
            validation, test = in_company(validation, weights), in_company(test, weights)
            joules_seen = energy(validation).total
        if variant.endswith("0.6-0.7"):
            leaving = Thresholds((0.6, 0.7)).leaving(test)
        elif variant.endswith("company-best"):
            leaving = choose_thresholds(validation, cost=joules_seen).leaving(test)
        elif variant.endswith("company-half"):
            full = alone.correct[-1].mean()
            leaving = choose_thresholds(validation, 0.005, joules_seen, against=full).leaving(test)
        elif variant == "qdsnn-matched":
            table = learn(validation, np.random.default_rng(seed)).policy.leaving(validation)
            budget = energy(validation).total[table, np.arange(400)].mean()
            priced = energy(validation).total
            leaving = thresholds_within(validation, budget, priced).leaving(test)
        elif variant == "dynamic-ann":
            leaving = choose_thresholds(validation, 0.0).leaving(test)
        elif variant == "qdsnn-0.2-0.4":
            leaving = Thresholds((0.2, 0.4)).leaving(test)
        elif variant == "qdsnn-q":
            leaving = learn(validation, np.random.default_rng(seed)).policy.leaving(test)
        elif variant == "qdsnn-optimal":
            leaving = exact_optimum(validation).policy.leaving(test)
        else:
            leaving = np.zeros(300, dtype=int)
        found.append(outcome(test, leaving))
        joules.append(energy(test).total[leaving, np.arange(300)].mean())
    accuracy = [100 * result.accuracy for result in found]
    assert row["accuracy"] == pytest.approx(np.mean(accuracy))
    assert row["accuracy_std"] == pytest.approx(np.std(accuracy, ddof=1))
    assert row["accuracy_std"] > 0
    for name in ("synaptic_ops", "spikes", "lif_updates"):
        assert row[name] == pytest.approx(np.mean([r.mean_counts[name] for r in found]))
    assert row["energy_j"] == pytest.approx(np.mean(joules))


def test_constants_memory_and_variants_reach_the_rows(recorded):
    def priced(**choice):
        return measured.as_dicts(variants=["qsnn"], **choice)[0]["energy_parts_j"]

    assert priced(constants=PAPER) == priced(constants="paper", memory="step-by-step") == priced()
    assert priced(memory="layer-by-layer")["memory"] < priced()["memory"]
    assert priced(constants="horowitz")["lif"] > priced()["lif"]
    rate = measured.as_dicts(variants=["snn-rate"])[0]
    assert (rate["variant"], rate["encoding"]) == ("snn-rate", "rate")


def by_hand(row):
    """A row's energy in joules, computed again from what its JSON says."""
    price, model, count = PRESETS[row["constants"]], MEMORY_MODELS[row["memory"]], row["counts"]
    fetched = {
        "once": count["weights"],
        "timestep": count["weight_passes"],
        "event": count["macs"] + count["acs"],
    }[model.weights]
    state = model.state_bits if model.state == "memory" else 0
    bits = fetched * row["weight_bits"] + 2 * state * count["lif_updates"]
    if row["encoding"] == "analog":
        few = row["levels"]
        each = model.activation_bits if few is None else ceil(log2(few + 1))
        bits += 2 * each * count["neurons"]
    else:
        bits += 2 * count["lif_updates"]  # a spike is a bit
    return {
        "synaptic": count["macs"] * price.mac_j + count["acs"] * price.ac_j,
        "lif": count["lif_updates"] * (price.decay_j + price.compare_j),
        "memory": bits / 8 * price.byte_j,
    }


@pytest.mark.parametrize("constants", ["paper", "horowitz"])
@pytest.mark.parametrize("memory", MEMORY_MODELS)
def test_every_energy_can_be_computed_again_from_the_json(recorded, constants, memory):
    table = json.loads(json.dumps(measured.as_dicts(constants=constants, memory=memory)))
    for row in table:
        assert by_hand(row) == pytest.approx(row["energy_parts_j"], rel=1e-9)
        assert row["energy_j"] == pytest.approx(sum(by_hand(row).values()), rel=1e-9)
        assert row["synaptic_ops"] == pytest.approx(row["counts"]["macs"] + row["counts"]["acs"])


def test_thresholds_of_every_seed_are_told(recorded):
    rows = {row["variant"]: row for row in measured.as_dicts()}
    assert rows["qdsnn-0.6-0.7"]["policy"]["thresholds"] == [[0.6, 0.7]] * 3
    assert rows["qsnn"]["policy"]["thresholds"] == [[], [], []]
    for seed, told in zip((0, 1, 12), rows["dynamic-ann"]["policy"]["thresholds"], strict=True):
        chosen = choose_thresholds(recorded["dynamic-ann", "validation", seed], 0.0)
        assert told == list(chosen)


def test_what_no_seed_has_is_left_out(recorded):
    for seed in (0, 1, 12):
        for split in SAMPLES:
            for variant in ("qdann", "qdsnn-sparse"):
                results.trace_path("lenet-mnist", variant, split, seed).unlink()
            path = results.trace_path("lenet-mnist", "qdsnn", split, seed)
            old = recorded["qdsnn", split, seed]
            save_trace(replace(old, logits=None, logit_scale=None), path)
    there = [row["variant"] for row in measured.as_dicts()]
    gone = ("company", "qdann", "sparse")
    assert there == [name for name in ROWS if not any(word in name for word in gone)]
    found, missing = measured.collect()
    assert ("lenet-mnist", "qdsnn-0.6-0.7") in found
    assert ("lenet-mnist", "qdsnn-company-best") in missing
    with pytest.raises(ResultsError, match="keeps no logits"):
        measured.row("lenet-mnist", "qdsnn-company-best")
    with pytest.raises(ResultsError, match=r"qdann-test\.npz"):
        measured.as_dicts(["lenet-mnist"], variants=["qdann-0.6-0.7"])


def test_logits_of_some_seeds_alone_are_not_left_out_in_silence(recorded):
    old = recorded["qdsnn", "test", 1]
    path = results.trace_path("lenet-mnist", "qdsnn", "test", 1)
    save_trace(replace(old, logits=None, logit_scale=None), path)
    with pytest.raises(ResultsError, match=r"seed-1.qdsnn-test\.npz keeps no logits"):
        measured.as_dicts()


def test_a_row_of_ones_own(recorded):
    mine = Variant("mine", "qdsnn", "as I like", lambda seen: Thresholds((0.3, 0.9)))
    row = measured.row("lenet-mnist", mine)
    assert (row.variant, row.as_row()["policy"]["chosen"]) == ("mine", "as I like")
    expected = Thresholds((0.3, 0.9)).leaving(recorded["qdsnn", "test", 1])
    assert row.leaving[1].tolist() == expected.tolist()


def test_one_seed_has_no_spread(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARQ_RESULTS_DIR", str(tmp_path))
    record("ann", "test", 0)
    (row,) = measured.as_dicts(variants=["ann"])  # one exit: nothing to choose on validation
    assert (row["n_seeds"], row["accuracy_std"]) == (1, 0.0)


def test_missing_results_say_how_to_record_them(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARQ_RESULTS_DIR", str(tmp_path))
    for ask in (
        measured.as_dicts,
        lambda: measured.as_dicts(["mlp-mnist"]),
        lambda: results.seeds("mlp-mnist"),
        lambda: results.load("mlp-mnist", "ann"),
    ):
        with pytest.raises(ResultsError, match=r"python -m sparq_utils run .*SPARQ_RESULTS_DIR"):
            ask()


def test_one_missing_file_is_named(recorded):
    results.trace_path("lenet-mnist", "qdsnn", "validation", 1).unlink()
    with pytest.raises(ResultsError, match=r"seed-1.qdsnn-validation\.npz"):
        measured.as_dicts()


def test_a_folder_that_may_not_be_read_is_not_taken_for_an_empty_one(recorded, monkeypatch):
    listing = Path.iterdir  # whoever runs the tests may read everything

    def refused(folder):
        if folder.name == "lenet-mnist":
            raise PermissionError(13, "Permission denied", str(folder))
        return listing(folder)

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(PermissionError, match="lenet-mnist"):
        measured.as_dicts()


def test_a_seed_without_its_test_trace_is_not_left_out_in_silence(recorded):
    results.trace_path("lenet-mnist", "qdsnn", "test", 1).unlink()
    with pytest.raises(ResultsError, match=r"seed-1.qdsnn-test\.npz"):
        measured.as_dicts()


def test_damaged_file_is_named(recorded):
    results.trace_path("lenet-mnist", "qsnn", "test", 1).write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(TraceError, match=r"qsnn-test\.npz"):
        measured.as_dicts()


def test_seeds_measured_on_different_data_are_not_averaged(recorded):
    record("ann", "test", 1, provenance="an embedded sample")
    with pytest.raises(ResultsError, match="an embedded sample"):
        measured.as_dicts(variants=["ann"])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("resnet", "ann"), "experiment"),
        (("mlp-mnist", "bnn"), "variant"),
        (("mlp-mnist", "ann", "training"), "split"),
    ],
)
def test_unknown_names(arguments, problem):
    with pytest.raises(ValueError, match=f"unknown {problem}"):
        results.load(*arguments)


@pytest.mark.parametrize("variant", ["qdsnn-by-exit-and-step", "qdsnn-0.6", "qdsnn", "bnn"])
def test_unknown_rows(variant):
    with pytest.raises(ValueError, match=f"unknown variant '{variant}'; choose one of ann, "):
        measured.row("lenet-mnist", variant)
    with pytest.raises(ValueError, match="unknown variant"):
        measured.as_dicts(["lenet-mnist"], variants=[variant])


def test_beside_the_paper(recorded):
    table = measured.as_dicts()
    frame = measured.beside_paper(table)
    assert list(frame.index) == [("lenet-mnist", variant) for variant in ROWS]
    row = frame.loc["lenet-mnist", "qdsnn-0.6-0.7"]
    ours = next(row for row in table if row["variant"] == "qdsnn-0.6-0.7")
    assert row["accuracy"] == ours["accuracy"]
    assert row["energy_mj"] == pytest.approx(ours["energy_j"] * 1e3)
    printed = (row["paper_accuracy"], row["paper_synaptic_ops_m"], row["paper_energy_mj"])
    assert printed == (98.24, 13.92, 0.58)
    assert frame.loc["lenet-mnist", "qdsnn-q"].filter(like="paper_").isna().all()
    assert {str(dtype) for dtype in frame.dtypes} == {"float64"}
