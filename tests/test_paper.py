"""The paper's numbers as data and the audit, checked by arithmetic done by hand."""

import copy
import subprocess
import sys
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparq_utils.paper import printed as paper
from sparq_utils.paper import readings as audit_readings
from sparq_utils.paper import tables_1_2 as audit_tables
from sparq_utils.paper.audit import (
    CHECKS,
    audit,
    audit_counts,
    audit_report,
    audit_rows,
)
from sparq_utils.paper.evidence import (
    AGREES,
    CONTRADICTS,
    UNDECIDED,
    VERDICTS,
    Finding,
    Printed,
    Rounded,
    at_least,
    matches,
)
from sparq_utils.paper.printed import LAYERS, TABLE_1, TABLE_2, TABLE_3, TABLE_4, lookup, total
from sparq_utils.paper.tables_3_4 import layer_subsets_within, qdsnn_neurons

ALEXNET = "alexnet-cifar10"
FINDINGS = audit()

decimals = st.integers(0, 4)
positive = st.decimals("0.01", 10_000, allow_nan=False, places=4)


def found(*words: str) -> Finding:
    """The one finding whose claim has all the words."""
    matching = [f for f in FINDINGS if all(word in f.claim for word in words)]
    assert len(matching) == 1, [f.claim for f in matching]
    return matching[0]


# What a printed number stands for


def test_printed_keeps_its_digits_and_is_a_float():
    number = Printed("≤2.10")
    assert number == 2.1 and str(number) == "≤2.10" and number.decimals == 2
    assert f"{number:.1f}" == "2.1" and f"{number}" == "≤2.10"
    assert copy.deepcopy(number).text == "≤2.10"


def test_printed_refuses_what_is_no_number():
    with pytest.raises(ValueError):
        Printed("ten")


def test_rounding_interval_by_hand():
    interval = Rounded.of(Printed("6.55"))
    assert (interval.low, interval.high) == (Fraction("6.545"), Fraction("6.555"))
    assert Rounded.of(0.1).value == Fraction(1, 10)  # what is meant, not the nearest double


@pytest.mark.parametrize(
    ("value", "verdict"),
    [("6.545", AGREES), ("6.555", AGREES), ("6.5449", CONTRADICTS), ("6.5551", CONTRADICTS)],
)
def test_matches_ends_where_rounding_ends(value, verdict):
    assert matches(Fraction(value), Printed("6.55")) == verdict


@given(value=positive, places=decimals)
def test_every_number_agrees_with_its_own_rounding(value, places):
    assert matches(Fraction(value), Printed(f"{value:.{places}f}")) == AGREES


@given(value=positive, places=decimals, off=st.integers(1, 50))
def test_no_number_agrees_with_another_rounding(value, places, off):
    printed = Printed(f"{value:.{places}f}")
    elsewhere = Rounded.of(printed).value + Fraction(off + 1, 10**places)
    assert matches(elsewhere, printed) == CONTRADICTS


@given(a=positive, b=positive, places=decimals, operation=st.sampled_from("+-*/"))
def test_arithmetic_on_rounded_numbers_holds_the_true_result(a, b, places, operation):
    b += 1  # keep zero out of the divisor's interval
    pair = [Rounded.of(Printed(f"{x:.{places}f}")) for x in (a, b)]
    scope = {"x": pair[0], "y": pair[1]}
    result = eval(f"x {operation} y", {}, scope)
    truth = eval(f"x {operation} y", {}, {"x": Fraction(a), "y": Fraction(b)})
    assert result.low <= truth <= result.high
    assert result.low <= result.value <= result.high


def test_division_by_what_could_be_zero_is_refused():
    with pytest.raises(ZeroDivisionError, match="contains zero"):
        Rounded.of(1) / Printed("0.0")


def test_at_least_has_three_answers():
    assert at_least(Printed("2.0"), Printed("1.9")) == AGREES
    assert at_least(Printed("1.8"), Printed("2.0")) == CONTRADICTS
    assert at_least(Printed("2"), Printed("2.1")) == UNDECIDED  # 1.5 to 2.5


def test_a_finding_refuses_an_unknown_verdict():
    with pytest.raises(ValueError, match="unknown verdict 'maybe'"):
        Finding("claim", "where", "1 + 1", 2.0, "2", "maybe")


# The paper as data


def test_tables_are_whole():
    assert [len(t) for t in (TABLE_1, TABLE_2, TABLE_3, TABLE_4)] == [18, 12, 4, 4]
    assert {row["experiment"] for row in TABLE_1} == set(LAYERS) == set(paper.INPUTS)
    row = TABLE_1[-1]
    assert (row["architecture"], row["dataset"]) == ("AlexNet", "CIFAR-10")
    assert (str(row["accuracy"]), str(row["synaptic_ops_m"])) == ("78.00", "0.27")


def test_lookup_finds_one_row_or_says_why_not():
    assert str(lookup(TABLE_2, "energy_mj", experiment=ALEXNET, variant="snn")) == "888.00"
    with pytest.raises(LookupError, match="0 rows"):
        lookup(TABLE_2, "energy_mj", variant="cnn")
    with pytest.raises(LookupError, match="3 rows"):
        lookup(TABLE_2, "energy_mj", variant="snn")
    with pytest.raises(LookupError, match="lif_ops_m"):
        lookup(TABLE_3, "lif_ops_m", variant="ann")


@pytest.mark.parametrize(
    ("experiment", "macs", "neurons", "parameters"),
    [
        ("mlp-mnist", 574_080, 512 + 256 + 128 + 64 + 10, 574_080 + 970),
        ("lenet-mnist", 416_520, 6 * 784 + 16 * 100 + 120 + 84 + 10, 61_706),
        (ALEXNET, 200_515_584, 180_234, 35_855_178),
    ],
)
def test_architectures_by_hand(experiment, macs, neurons, parameters):
    totals = [total(experiment, quantity) for quantity in ("macs", "neurons", "parameters")]
    assert totals == [macs, neurons, parameters]


def test_a_convolution_by_hand():
    first = LAYERS["lenet-mnist"][0]  # 5x5, 1 -> 6, 28x28 outputs
    assert (first.macs, first.neurons, first.parameters) == (25 * 6 * 784, 6 * 784, 25 * 6 + 6)


# The audit


@pytest.mark.parametrize(
    ("words", "computed", "verdict"),
    [
        (("5-Layer MLP: MACs",), 0.574080, CONTRADICTS),
        (("LeNet-5: MACs",), 0.416520, UNDECIDED),
        (("AlexNet: MACs",), 200.515584, AGREES),
        (("AlexNet: spiking neurons",), 180_234, AGREES),
        (("AlexNet SNN", "Eq. 8"), 183_306 * 32 / 1e6, CONTRADICTS),  # 180,234 + 3,072 inputs
        (("AlexNet QSNN", "Eq. 8"), 183_306 * 4 / 1e6, AGREES),
        (("MLP SNN", "dense"), 18.37056, UNDECIDED),
        (("MLP QSNN", "dense"), 2.29632, UNDECIDED),
        (("LeNet-5 SNN", "dense"), 13.32864, CONTRADICTS),
        (("LeNet-5 QSNN", "dense"), 1.66608, CONTRADICTS),
        (("AlexNet SNN", "LIF operations"), 11.534976, AGREES),
        (("AlexNet QSNN", "LIF operations"), 1.441872, AGREES),
        (("AlexNet QDSNN", "total operations"), 7.64, AGREES),
        (("AlexNet ANN", "synaptic energy"), 922.392, AGREES),
        (("AlexNet SNN", "arithmetic energy"), 6.55, AGREES),
        (("AlexNet QDSNN", "arithmetic energy"), 3.698, AGREES),
        (("AlexNet SNN", "reduction"), 922.4 / 6.55, AGREES),
        (("AlexNet QSNN", "reduction"), 922.4 / 0.73, AGREES),
        (("AlexNet QDSNN", "reduction"), 922.4 / 3.70, AGREES),
        (("LIF bound",), 11.534976, UNDECIDED),
        (("two exit classifiers",), 115_220, UNDECIDED),
        (("upper bound throughout",), 0.46, UNDECIDED),
        (("32-bit MAC",), 4.6, AGREES),
        (("8-bit accumulate",), 0.03, AGREES),
        (("8-bit decay",), 0.2, CONTRADICTS),
        (("floating-point accumulates",), 26.06 * 0.9, CONTRADICTS),
        (("96 times",), 26.06 / 0.27, AGREES),
        (("26 times",), 200.52 / 7.64, AGREES),
        (("2.2 times",), 41.16 / 18.70, AGREES),
        (("3 times fewer",), 50.10 / 18.70, AGREES),
        (("half the QSNN",), 2.10 / 0.99, AGREES),
        (("one third",), 40.78 / 13.92, AGREES),
        (("AlexNet: over 330",), 888 / 2.68, AGREES),
        (("MLP: over 330",), 43.10 / 0.95, UNDECIDED),
        (("LeNet-5: over 330",), 29.26 / 0.58, UNDECIDED),
        (("MLP: over 90",), 65.50 / 18.70, UNDECIDED),
        (("LeNet-5: over 90",), 45.17 / 13.77, UNDECIDED),
        (("5.15",), 98.24 - 93.09, AGREES),
        (("about 1 %",), 0.99, AGREES),
        (("more accurate than the QSNN",), 5, CONTRADICTS),  # 64.80 < 74.30
        (("fewer synaptic operations than the QSNN",), 6, AGREES),
        (("less energy than the QSNN",), 4, CONTRADICTS),  # LeNet-5, twice
        (("less time than the QSNN",), 2, CONTRADICTS),  # the MLP's two rows alone
        (("similar to the QSNN",), 0.58 / 0.07, CONTRADICTS),
        (("LeNet-5: the QDSNN needs fewer",), 13.77 / 0.49, UNDECIDED),
        (("MLP: synaptic operations do not fall",), 18.70 / 22.30, CONTRADICTS),
        (("LeNet-5: synaptic operations do not fall",), 13.92 / 13.77, AGREES),
        (("AlexNet: energy does not fall",), 1, AGREES),
        (("AlexNet: time does not fall",), 2.2 / 2.5, UNDECIDED),
        (("Early exits lower",), 2.82 / 2.68, AGREES),
        (("rather than arithmetic",), 6.55 / 3.70, AGREES),
        (("Memory access dominates",), 100 * 3.70 / 2680, AGREES),
        (("longer than that of 5-Layer MLP",), 420 / 1.7, UNDECIDED),
        (("time falls with its timesteps",), 1802 / 1.7, UNDECIDED),
        (("Airplane and ship",), (100 - 11.4 - 11 - 11 - 8.6 - 7.4) / 5, AGREES),
        (("two pairs of thresholds",), 13.2, UNDECIDED),
        (("ANN it came from",), (200_515_584 * 4.6 + 4 * 35_855_178 * 80) / 1e9, UNDECIDED),
        (("measured end to end",), 12, UNDECIDED),
        (("temporal-only",), 0, UNDECIDED),
    ],
)
def test_finding_by_hand(words, computed, verdict):
    finding = found(*words)
    assert finding.computed == pytest.approx(computed, rel=1e-9)
    assert finding.verdict == verdict


@pytest.mark.parametrize("row", TABLE_2, ids=lambda r: f"{r['experiment']}-{r['variant']}")
def test_power_is_energy_over_time_within_rounding(row):
    name = paper.EXPERIMENTS[row["experiment"]][0]
    finding = found(f"{name} {audit_tables.LABELS[row['variant']]}: power")
    assert finding.computed == pytest.approx(row["energy_mj"] / row["time_ms"])
    assert finding.verdict == AGREES


def test_the_two_powers_that_only_rounding_of_the_time_explains():
    noted = [f.claim for f in FINDINGS if "power in W" in f.claim and f.note]
    assert noted == [f"AlexNet QDSNN {cfg}: power in W" for cfg in ("0.2/0.4", "0.6/0.7")]


def test_implied_memory_traffic_in_megabytes():
    expected = {"snn": 11_100, "qsnn": 35.25, "qdsnn-0.2-0.4": 33.5}
    for variant, megabytes in expected.items():
        assert float(audit_tables.traffic_mb(ALEXNET, variant)) == pytest.approx(megabytes)
    assert float(audit_tables.traffic_mb("mlp-mnist", "snn")) == pytest.approx(538.75)
    assert float(audit_tables.traffic_mb("lenet-mnist", "qsnn")) == pytest.approx(0.875)


def test_neurons_that_the_qdsnn_rows_allow():
    implied = qdsnn_neurons()
    assert float(implied.low) == 3.685e6 / 32  # from the energy: 115,156.25
    assert float(implied.high) == 7.375e6 / 64  # from the operations: 115,234.375
    assert layer_subsets_within(implied.low, implied.high) == 8
    assert layer_subsets_within(total(ALEXNET, "neurons") + 532, 10**9) == 1  # all of them


def test_two_classes_give_the_same_share_at_exit_1():
    ship, plane = (audit_readings.share_at_exit_1(name) for name in ("ship", "airplane"))
    assert float(ship) == pytest.approx(9.4 / 12.0)
    assert float(plane) == pytest.approx(5.0 / 6.4)
    assert ship.low <= plane.high and plane.low <= ship.high


def test_share_behind_exit_2_that_the_energy_allows():
    before, whole = 1_792 + 110_784 + 663_936, 35_855_178  # parameters of conv 1 to 3, of all
    share = (33_500_000 - before) / (whole - before)
    assert float(audit_readings.reach_last_stage("qdsnn-0.6-0.7")) == pytest.approx(share)


def test_verdicts_follow_the_digits(monkeypatch):
    """Change a printed number and the verdict that rests on it changes."""
    row = next(r for r in TABLE_3 if r["variant"] == "snn")
    monkeypatch.setitem(row, "lif_ops_m", Printed("11.73"))
    verdicts = {f.claim: f.verdict for f in audit()}
    assert verdicts["AlexNet SNN: LIF operations in millions"] == CONTRADICTS
    assert verdicts["AlexNet SNN: total operations in millions"] == CONTRADICTS
    assert verdicts["AlexNet QSNN: LIF operations in millions"] == AGREES


def test_claims_are_distinct_and_counted():
    assert len({f.claim for f in FINDINGS}) == len(FINDINGS)
    counts = audit_counts(FINDINGS)
    assert tuple(counts) == VERDICTS and sum(counts.values()) == len(FINDINGS)
    assert all(counts.values()) and len(CHECKS) == len(set(CHECKS))


def test_report_shows_every_finding_within_its_width():
    report = audit_report(FINDINGS, width=72)
    assert max(map(len, report.splitlines())) <= 72
    flat = " ".join(report.split())
    for finding in FINDINGS:
        assert " ".join(finding.claim.split()) in flat
        assert " ".join(finding.arithmetic.split()) in flat
    for verdict, count in audit_counts(FINDINGS).items():
        assert f"{verdict} ({count})" in report


def test_rows_show_every_finding_and_no_empty_print():
    rows = {row["claim"]: row for row in audit_rows(FINDINGS)}
    assert len(rows) == len(FINDINGS) and {row["verdict"] for row in rows.values()} == set(VERDICTS)
    assert not any("ed: not " in row["arithmetic"] for row in rows.values())
    said = {word: next(row["arithmetic"] for claim, row in rows.items() if word in claim)
            for word in ("AlexNet: over 330", "QDSNN 0.6/0.7: power", "similar", "dominates",
                         "one third")}  # fmt: skip
    assert "; claimed: over 330" in said["AlexNet: over 330"]
    assert '; claimed: "similar energy levels"' in said["similar"]
    assert '; claimed: "only one-third"' in said["one third"]
    assert said["dominates"].startswith("Arithmetic is at most 3.70 µJ of 2.68 mJ")


def test_a_lenet_of_other_widths_by_hand():
    # conv 1: 25 x 6 x 28 x 28; conv 2: 25 x 6 x 16 x 10 x 10; then 400 to 256 to 128 to 10
    by_hand = 117_600 + 240_000 + 400 * 256 + 256 * 128 + 128 * 10
    assert audit_tables.lenet_macs((6, 16), (256, 128)) == by_hand == 494_048
    assert audit_tables.lenet_macs((6, 16), (120, 84)) == total("lenet-mnist", "macs")
    assert matches(Fraction(by_hand, 10**6), Printed("0.49")) == AGREES


@pytest.mark.parametrize(
    ("words", "quoted"),
    [
        (("LIF bound",), ("the full SNN/QSNN architecture", "compact branchy architecture",
                          "derived directly from our implementation")),
        (("upper bound throughout",), ("QDSNN values are upper-bounds",)),
        (("LeNet-5: MACs",), ("classic convolutional architecture",)),
        (("MLP: over 330",), ("achieving up to 5.15% higher accuracy",
                              "operations across different datasets")),
        (("LeNet-5: the QDSNN needs fewer",), ("14M ACs compared to 45M in the standard SNN",)),
    ],
)  # fmt: skip
def test_a_verdict_quotes_what_the_paper_says_for_itself(words, quoted):
    finding = found(*words)
    assert all(words_of_the_paper in finding.note for words_of_the_paper in quoted)


@pytest.mark.parametrize("variant", ["snn", "qsnn", "qdsnn-0.2-0.4", "qdsnn-0.6-0.7"])
def test_the_mlps_rows_fit_its_own_ann_count_and_lenets_do_not(variant):
    label = audit_tables.LABELS[variant]
    steps = paper.TIMESTEPS[variant]
    for name, experiment, verdict in (("MLP", "mlp-mnist", UNDECIDED),
                                      ("LeNet-5", "lenet-mnist", CONTRADICTS)):  # fmt: skip
        own = float(audit_tables.ops_m(experiment, "ann")) * steps
        fits = own >= float(audit_tables.ops_m(experiment, variant))
        assert fits == (verdict == UNDECIDED)
        assert found(f"{name} {label}:", "dense").verdict == verdict


def test_the_audit_needs_no_torch():
    code = "import sys, sparq_utils.paper.audit as a; a.audit(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
