from dataclasses import replace

import numpy as np
import pytest
from make_trace import make_trace

from sparq_utils.prose import engineering
from sparq_utils.results import files as results
from sparq_utils.results import rows as measured
from sparq_utils.results import tables
from sparq_utils.results.files import ResultsError
from sparq_utils.results.rows import Row
from sparq_utils.results.tables import EMPTY
from sparq_utils.traces.energy import PAPER
from sparq_utils.traces.trace import save_trace


@pytest.fixture
def found_row():
    """Two seeds of four images: exits 0, 0, 1, 2 and 0, 1, 1, 2."""
    traces = []
    for seed in (0, 1):
        trace = make_trace(3, 4, seed)
        labels = np.array([0, 1, 0, 1], np.uint8)
        prediction = np.tile(labels, (3, 1))
        prediction[:, 3] = 5 * (1 - seed) + seed  # seed 0 gets the last image wrong
        traces.append(replace(trace, labels=labels, prediction=prediction))
    leaving = (np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2]))
    return Row("lenet-mnist", "qdsnn-0.6-0.7", tuple(traces), leaving)


def test_means_over_images_and_seeds(found_row):
    assert found_row.accuracy.tolist() == [0.75, 1]
    np.testing.assert_allclose(found_row.exit_shares, [3 / 8, 3 / 8, 2 / 8])
    # LIF updates are 20,000 an exit: (3 * 1 + 3 * 2 + 2 * 3) / 8 exits on average, two ops each
    assert found_row.lif_ops() == pytest.approx(2 * 20_000 * 15 / 8)
    a, b = found_row.traces
    spikes = [a.counts["spikes"][e, i] for i, e in enumerate((0, 0, 1, 2))]
    spikes += [b.counts["spikes"][e, i] for i, e in enumerate((0, 1, 1, 2))]
    assert found_row.synaptic_ops("printed") == pytest.approx(np.mean(spikes))
    assert found_row.synaptic_ops() > found_row.synaptic_ops("printed")


def test_energy_prices_the_counts(found_row):
    parts = found_row.energy_parts_j("paper", "layer-by-layer", "printed")
    assert parts["synaptic"] == pytest.approx(found_row.synaptic_ops("printed") * PAPER.ac_j)
    both = PAPER.decay_j + PAPER.compare_j
    assert parts["lif"] == pytest.approx(found_row.lif_ops() / 2 * both)
    whole = found_row.energy_j("paper", "layer-by-layer", "printed")
    assert whole == pytest.approx(sum(parts.values()))


def test_classes_by_exit(found_row):
    # class 0: exits 0, 1 and 0, 1; class 1: exits 0, 2 and 1, 2
    np.testing.assert_allclose(found_row.class_shares(), [[0.5, 0.5, 0], [0.25, 0.25, 0.5]])
    np.testing.assert_allclose(found_row.class_mix(), [[2 / 3, 2 / 3, 0], [1 / 3, 1 / 3, 1]])


def test_an_exit_nobody_takes_has_no_mix(found_row):
    early = replace(found_row, leaving=(np.zeros(4, int), np.zeros(4, int)))
    assert np.isnan(early.class_mix()[:, 1:]).all()
    np.testing.assert_allclose(early.class_shares()[:, 0], 1)


def test_tables_set_ours_beside_the_papers(found_row):
    found = {("lenet-mnist", "qdsnn-0.6-0.7"): found_row}
    where = ("LeNet-5, MNIST", "QDSNN 0.6/0.7")

    def cells(table):
        frame = table(found).map(lambda text: text.replace("\N{NO-BREAK SPACE}", " "))
        return frame.loc[where], frame

    row, _ = cells(tables.table_1)
    assert row["accuracy (%)"] == "87.50 ± 17.68"
    assert row["paper (%)"] == "98.24"
    assert row["paper's"] == "13.92 M"
    assert row["operations"] == engineering(found_row.synaptic_ops()).replace(
        "\N{NO-BREAK SPACE}", " "
    )
    second, _ = cells(tables.table_2)
    assert second["leave at exit (%)"] == "38 / 38 / 25"
    assert second["paper's"] == "0.58 mJ"
    third, frame = cells(tables.table_3)
    assert third["LIF"] == "75.0 k"  # 37,500 updates, two operations each
    alexnet = frame.loc[("AlexNet, CIFAR-10", "QDSNN 0.6/0.7")]
    assert alexnet["paper's LIF"] == "≤7.37 M"
    assert alexnet["LIF"] == EMPTY
    fourth, _ = cells(tables.table_4)
    assert fourth["times below ANN"] == EMPTY  # there is no ANN to compare with


def test_without_results_the_papers_numbers_stand_alone():
    table = tables.table_1({})
    assert len(table) == 18
    assert (table["accuracy (%)"] == EMPTY).all()
    assert table["paper (%)"].tolist()[0] == "98.02"


def test_the_copy_of_the_data_is_named():
    trace = make_trace(1, 4, data="CIFAR-10, first 4", encoding="analog")
    row = Row("alexnet-cifar10", "ann", (trace,), (np.zeros(4, int),))
    found = {("alexnet-cifar10", "ann"): row}
    label = "AlexNet, CIFAR-10, first 4"
    assert tables.network_label(found, "alexnet-cifar10") == label
    assert label in tables.table_1(found).index.get_level_values("network")


def test_collect_takes_what_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARQ_RESULTS_DIR", str(tmp_path))
    for seed in (0, 1):
        trace = make_trace(1, 50, seed, network="mlp", variant="ann", encoding="analog")
        save_trace(trace, results.trace_path("mlp-mnist", "ann", "test", seed))
    results.trace_path("mlp-mnist", "ann", "test", 2).parent.mkdir()  # a run that has begun
    found, missing = measured.collect()
    assert list(found) == [("mlp-mnist", "ann")]
    assert len(found["mlp-mnist", "ann"].traces) == 2
    assert ("mlp-mnist", "snn") in missing and ("lenet-mnist", "ann") in missing
    with pytest.raises(ResultsError, match="sparq_utils run"):
        measured.row("mlp-mnist", "snn")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, EMPTY), (1234567.0, "1,234,567"), (200.5, "200"), (17.94, "17.9"), (0.01234, "0.0123")],
)
def test_three_digits(value, text):
    assert tables._digits(value) == text
