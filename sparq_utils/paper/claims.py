"""The audit of what the text claims: ratios, gains, comparisons."""

from sparq_utils.paper.evidence import (
    AGREES,
    CONTRADICTS,
    UNDECIDED,
    Finding,
    Printed,
    Rounded,
    at_least,
    matches,
)
from sparq_utils.paper.printed import (
    EXPERIMENTS,
    TABLE_1,
    TABLE_2,
    TABLE_3,
    lookup,
)
from sparq_utils.paper.tables_1_2 import ALEXNET, LABELS, agreement, ops_m, table_2

TIMES = "\N{MULTIPLICATION SIGN}"
LOW, HIGH = "qdsnn-0.2-0.4", "qdsnn-0.6-0.7"
MLP, LENET = "mlp-mnist", "lenet-mnist"
_ALL = "outperform traditional SNNs and QSNNs in all critical efficiency metrics"
_BETTER = "consistently outperform conventional SNNs and QSNNs"
COMPARED = {
    "accuracy": ("is more accurate", "Abstract, Table 2", _BETTER),
    "synaptic_ops_m": ("takes fewer synaptic operations", "Section 3.3, Table 1", _ALL),
    "energy_mj": ("takes less energy", "Section 3.3, Table 2", _ALL),
    "time_ms": ("takes less time", "Section 3.3, Table 2", _ALL),
    "power_w": ("takes less power", "Section 3.3, Table 2", _ALL),
}
"""Column: what is claimed of it, where, and in which words."""


def _accuracy(experiment: str, variant: str) -> Printed:
    """Table 1's accuracy in percent."""
    return lookup(TABLE_1, "accuracy", experiment=experiment, variant=variant)


def ratios() -> list[Finding]:
    """The factors that the text quotes, each a quotient of two printed numbers."""
    energy_ratio = (table_2(ALEXNET, "snn", "energy_mj"), table_2(ALEXNET, HIGH, "energy_mj"))
    ops_ratio = (ops_m(ALEXNET, "snn"), ops_m(ALEXNET, HIGH))
    total_ratio = tuple(lookup(TABLE_3, "total_ops_m", variant=v) for v in ("ann", "qdsnn"))
    mlp_ann = (ops_m(MLP, "ann"), ops_m(MLP, HIGH))
    mlp_qsnn = (ops_m(MLP, "qsnn"), ops_m(MLP, HIGH))
    mlp_energy = (table_2(MLP, "qsnn", "energy_mj"), table_2(MLP, HIGH, "energy_mj"))
    lenet = (ops_m(LENET, "qsnn"), ops_m(LENET, HIGH))
    quoted = [
        ("AlexNet: 96 times fewer synaptic ops than the SNN", "Section 3.3", ops_ratio, "96", ""),
        ("AlexNet: 26 times fewer ops in total than the ANN", "Section 3.3", total_ratio, "26", ""),
        ("MLP: 2.2 times fewer operations than the ANN", "Section 3.2", mlp_ann, "2.2", ""),
        ("MLP: 3 times fewer operations than the QSNN", "Section 3.3", mlp_qsnn, "3", ""),
        ("MLP: half the QSNN's energy", "Section 3.3", mlp_energy, "2", f'"2{TIMES} lower"'),
        ("LeNet-5: one third of the QSNN's operations", "Section 3.3", lenet, "3",
         '"only one-third"'),
    ]  # fmt: skip
    found = [
        agreement(claim, where, f"{a} / {b.digits} = {Rounded.of(a) / b:.3g}", Rounded.of(a) / b,
                  Printed(printed), words=words)
        for claim, where, (a, b), printed, words in quoted
    ]  # fmt: skip
    for variant, printed in ((HIGH, "14"), ("snn", "45")):
        ops, claim = ops_m(LENET, variant), f"LeNet-5 {LABELS[variant]}: {printed} M accumulates"
        found.append(agreement(claim, "Section 3.2", f"Table 1 has {ops}", ops, Printed(printed)))
    for claim, where, (a, b), bound in (
        ("AlexNet: over 330 times less system energy than the SNN", "Abstract, Section 3.3",
         energy_ratio, 330),
        ("AlexNet: over 90 times fewer synaptic operations than the SNN", "Abstract, Section 4",
         ops_ratio, 90),
    ):  # fmt: skip
        value = Rounded.of(a) / b
        found.append(Finding(claim, where, f"{a} / {b} = {value:.1f}", float(value),
                             f"over {bound}", at_least(value, bound)))  # fmt: skip
    return found


def differences() -> list[Finding]:
    """The accuracy gains that the text quotes, in percentage points."""
    gains = {e: Rounded.of(_accuracy(e, HIGH)) - _accuracy(e, "qsnn") for e in EXPERIMENTS}
    best = max(gains, key=lambda e: gains[e].value)
    quoted = [
        ("Up to 5.15 % more accuracy than QSNNs", "Abstract", best, "qsnn", "5.15",
         "These are percentage points.", ""),
        ("AlexNet: about 1 % more accuracy than the SNN", "Section 3.3", ALEXNET, "snn", "1", "",
         '"approximately 1%"'),
    ]  # fmt: skip
    return [
        agreement(claim, where, f"{_accuracy(experiment, HIGH)} - {_accuracy(experiment, variant)} "
                  f"= {float(value):.2f} ({EXPERIMENTS[experiment][0]})", value, Printed(printed),
                  note, words)
        for claim, where, experiment, variant, printed, note, words in quoted
        for value in [Rounded.of(_accuracy(experiment, HIGH)) - _accuracy(experiment, variant)]
    ]  # fmt: skip


def across_datasets() -> list[Finding]:
    """Whether AlexNet's factors hold for the networks on MNIST."""
    found = []
    for claim, bound, read in (
        ("over 330 times less energy than the SNN", 330, lambda e, v: table_2(e, v, "energy_mj")),
        ("over 90 times fewer synaptic operations than the SNN", 90, ops_m),
    ):
        for experiment in (MLP, LENET):
            snn = read(experiment, "snn")
            best = min((read(experiment, v) for v in (LOW, HIGH)), key=float)
            value = Rounded.of(snn) / best
            met = at_least(value, bound)
            found.append(
                Finding(f"{EXPERIMENTS[experiment][0]}: {claim}", "Abstract, Section 4",
                        f"{snn} / {best} = {value:.1f} at best", float(value), f"over {bound}",
                        AGREES if met == AGREES else UNDECIDED,
                        'The abstract says "achieving up to 5.15% higher accuracy [...], over '
                        f"330{TIMES} lower system energy [...], and over 90{TIMES} fewer synaptic "
                        'operations across different datasets". If "up to" covers all three, '
                        "AlexNet alone has to meet it; if not, this network fails it.")
            )  # fmt: skip
    return found


def _held_in_all_networks(column: str, base: str, more: bool) -> tuple[int, str]:
    """How many QDSNN rows beat `base` in a column, and the numbers in words."""
    table = TABLE_1 if column == "synaptic_ops_m" else TABLE_2
    held, shown = 0, []
    for experiment, (name, _) in EXPERIMENTS.items():
        bar, *ours = (
            lookup(table, column, experiment=experiment, variant=v) for v in (base, LOW, HIGH)
        )
        held += sum(value > bar if more else value < bar for value in ours)
        shown.append(f"{name} {ours[0]} and {ours[1]} against {bar}")
    return held, "; ".join(shown)


def consistently() -> list[Finding]:
    """Whether every QDSNN row beats the QSNN and the SNN, as "consistently" and "all" say."""
    found, rows = [], 2 * len(EXPERIMENTS)
    for base in ("qsnn", "snn"):
        for column, (claim, where, words) in COMPARED.items():
            held, shown = _held_in_all_networks(column, base, more=column == "accuracy")
            found.append(
                Finding(f"Every QDSNN {claim} than the {LABELS[base]}", where,
                        f"{shown}: {held} of {rows} hold", float(held), f"{rows} of {rows}",
                        AGREES if held == rows else CONTRADICTS, f'The text says "{words}".')
            )  # fmt: skip
    return found


def lenet_energy() -> list[Finding]:
    """LeNet-5's energy "at similar levels" as the QSNN's."""
    ours, base = (table_2(LENET, v, "energy_mj") for v in (HIGH, "qsnn"))
    factor = Rounded.of(ours) / base
    return [
        agreement("LeNet-5: the QDSNN's energy is similar to the QSNN's", "Section 3.3",
                  f"{ours} / {base} mJ = {factor:.1f} ({factor.span('.1f')})", factor,
                  Printed("1"), words='"similar energy levels"')
    ]  # fmt: skip


def ann_beside() -> list[Finding]:
    """Whether a QDSNN does with fewer operations than the network it replaces."""
    found = []
    for experiment, (name, _) in EXPERIMENTS.items():
        ann = ops_m(experiment, "ann")
        best = min((ops_m(experiment, v) for v in (LOW, HIGH)), key=float)
        factor, claimed = Rounded.of(best) / ann, experiment != LENET
        verdict = at_least(1, factor)
        found.append(
            Finding(f"{name}: the QDSNN needs fewer synaptic ops than the ANN", "Section 3.2",
                    f"{best} / {ann} = {factor:.3g} times at best", float(factor),
                    "less than 1" if claimed else "not claimed",
                    verdict if claimed or verdict == AGREES else UNDECIDED,
                    "" if claimed else 'The paper sets LeNet-5\'s count beside the SNN\'s alone '
                    '("14M ACs compared to 45M in the standard SNN"), and says that an AC costs '
                    "less than a MAC. A reader who compares the rows of Table 1 should know.")
        )  # fmt: skip
    return found


def only_in_words() -> list[Finding]:
    """Claims that no printed number supports or refutes."""
    rows = len(TABLE_2)
    derived = sum(
        matches(Rounded.of(row["energy_mj"]) / row["time_ms"], row["power_w"]) == AGREES
        for row in TABLE_2
    )
    temporal = sum("temporal" in row["variant"] for row in TABLE_1)
    steps = sum("timesteps" in row for row in TABLE_1 + TABLE_2)
    return [
        Finding("Table 2's energy was measured end to end", "Section 3.3",
                f"Section 2.3 models it; {derived} of {rows} powers are its energy / time",
                float(derived), "measured", UNDECIDED,
                "The text calls the same energy modelled and measured, and names no meter."),
        Finding("QDSNNs need less than temporal-only baselines", "Section 1",
                f"{temporal} rows of a temporal-only baseline", float(temporal), "compared",
                UNDECIDED, "No table has such a baseline."),
        Finding("QDSNNs need fewer timesteps on average", "Section 1",
                f"{steps} rows with average timesteps", float(steps), "reduced", UNDECIDED,
                "The QDSNN saves depth at a fixed T; no average T is printed."),
        Finding("The exit decisions of the tables are the learned ones", "Sections 2.1.2 and 3.2",
                f"2 rows per network, named by thresholds {LOW[6:].replace('-', '/')} and "
                f"{HIGH[6:].replace('-', '/')}", 2.0, "learned", UNDECIDED,
                "Nothing shows how round thresholds follow from the learned Q-values."),
    ]  # fmt: skip


CHECKS = (
    ratios,
    differences,
    across_datasets,
    consistently,
    lenet_energy,
    ann_beside,
    only_in_words,
)
"""Every check of this module."""
