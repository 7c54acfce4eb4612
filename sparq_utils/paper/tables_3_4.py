"""The audit of Tables 3 and 4: AlexNet's LIF operations, arithmetic energy and its prices."""

from itertools import chain, combinations
from math import ceil, floor

from sparq_utils.paper.evidence import (
    CONTRADICTS,
    UNDECIDED,
    Finding,
    Number,
    Printed,
    Rounded,
    at_least,
    matches,
)
from sparq_utils.paper.printed import (
    ALEXNET_NEURONS,
    CONSTANTS_PJ,
    HOROWITZ_64_BIT_PJ,
    HOROWITZ_PJ,
    LAYERS,
    QDSNN_BOUND_TIMESTEPS,
    TABLE_3,
    TABLE_4,
    TIMESTEPS,
    lookup,
)
from sparq_utils.paper.tables_1_2 import ALEXNET, LABELS, agreement


def lif_and_total_operations() -> list[Finding]:
    """Table 3: Eq. 9 and the sums."""
    found = []
    for variant in ("snn", "qsnn"):
        steps, printed = TIMESTEPS[variant], lookup(TABLE_3, "lif_ops_m", variant=variant)
        value = Rounded.of(int(ALEXNET_NEURONS) * 2 * steps) / 10**6
        found.append(
            agreement(f"AlexNet {LABELS[variant]}: LIF operations in millions", "Table 3, Eq. 9",
                       f"{int(ALEXNET_NEURONS):,} x {steps} x 2 = {int(value.value * 10**6):,}",
                       value, printed)
        )  # fmt: skip
    for variant in ("snn", "qsnn", "qdsnn"):
        parts = [lookup(TABLE_3, c, variant=variant) for c in ("synaptic_ops_m", "lif_ops_m")]
        value = Rounded.of(parts[0]) + parts[1]
        found.append(
            agreement(f"AlexNet {LABELS[variant]}: total operations in millions", "Table 3",
                       f"{parts[0]} + {parts[1]} = {float(value):.2f} M", value,
                       lookup(TABLE_3, "total_ops_m", variant=variant))
        )  # fmt: skip
    return found


def arithmetic_energy() -> list[Finding]:
    """Table 4: Table 3 priced with the paper's constants, the sums and the reductions."""
    found = []
    ann = lookup(TABLE_4, "total_uj", variant="ann")
    update = (Rounded.of(float(CONSTANTS_PJ["decay"])) + float(CONSTANTS_PJ["compare"])) / 2
    for variant in ("ann", "snn", "qsnn", "qdsnn"):
        label = f"AlexNet {LABELS[variant]}"
        price = float(CONSTANTS_PJ["mac" if variant == "ann" else "ac"])
        ops = lookup(TABLE_3, "synaptic_ops_m", variant=variant)
        synaptic = Rounded.of(ops) * price
        printed = lookup(TABLE_4, "synaptic_uj", variant=variant)
        found.append(
            agreement(f"{label}: synaptic energy in µJ", "Table 4, Eq. 4-5",
                       f"{ops} M x {price} pJ = {float(synaptic):.4g} µJ", synaptic, printed)
        )  # fmt: skip
        if variant == "ann":
            continue
        lif_ops = lookup(TABLE_3, "lif_ops_m", variant=variant)
        lif, lif_printed = Rounded.of(lif_ops) * update, lookup(TABLE_4, "lif_uj", variant=variant)
        found.append(
            agreement(f"{label}: LIF energy in µJ", "Table 4, Eq. 5",
                       f"{lif_ops} M x {float(update):g} pJ = {float(lif):.4g} µJ",
                       lif, lif_printed)
        )  # fmt: skip
        both, total_printed = (
            Rounded.of(printed) + lif_printed,
            lookup(TABLE_4, "total_uj", variant=variant),
        )
        found.append(
            agreement(f"{label}: arithmetic energy in µJ", "Table 4",
                       f"{printed} + {lif_printed} = {float(both):.4g} µJ", both, total_printed)
        )  # fmt: skip
        found.append(_reduction(label, ann, total_printed, synaptic + lif, variant))
    return found


def _reduction(
    label: str, ann: Printed, energy: Printed, unrounded: Rounded, variant: str
) -> Finding:
    """Table 4's last column, from its own digits and from Table 3's."""
    ratio, printed = Rounded.of(ann) / energy, lookup(TABLE_4, "reduction", variant=variant)
    exact = Rounded.of(ann) / unrounded
    note = ""
    if matches(exact, printed) == CONTRADICTS:
        note = f"Priced from Table 3 without rounding in between it is {exact.span('.1f')} times."
    arithmetic = f"{ann} µJ / {energy} µJ = {float(ratio):.1f}"
    return agreement(
        f"{label}: reduction against the ANN", "Table 4", arithmetic, ratio, printed, note
    )


def qdsnn_neurons() -> Rounded:
    """Neurons that the QDSNN's LIF operations and LIF energy both allow (Eq. 5 and 9)."""
    from_ops = Rounded.of(lookup(TABLE_3, "lif_ops_m", variant="qdsnn")) * 10**6
    from_ops /= 2 * QDSNN_BOUND_TIMESTEPS
    per_step_pj = Rounded.of(float(CONSTANTS_PJ["decay"])) + float(CONSTANTS_PJ["compare"])
    from_energy = Rounded.of(lookup(TABLE_4, "lif_uj", variant="qdsnn")) * 10**6
    from_energy = from_energy / per_step_pj / QDSNN_BOUND_TIMESTEPS
    low, high = max(from_ops.low, from_energy.low), min(from_ops.high, from_energy.high)
    return Rounded(low, (low + high) / 2, high)


def layer_subsets_within(low: Number, high: Number, classifier: tuple[int, int] = (256, 10)) -> int:
    """How many choices of AlexNet's layers plus both exit classifiers fall within the interval."""
    sizes = [layer.neurons for layer in LAYERS[ALEXNET]]
    subsets = chain.from_iterable(combinations(sizes, k) for k in range(len(sizes) + 1))
    return sum(low <= sum(subset) + 2 * sum(classifier) <= high for subset in subsets)


def qdsnn_upper_bound() -> list[Finding]:
    """Which network the QDSNN's upper bounds are of."""
    implied = qdsnn_neurons()
    span = f"{ceil(implied.low):,} to {floor(implied.high):,}"
    conv_1, conv_2 = (layer.neurons for layer in LAYERS[ALEXNET][:2])
    classifier = (256, 10)
    reading = conv_1 + conv_2 + 2 * sum(classifier)
    others = layer_subsets_within(implied.low, implied.high, classifier)
    inside = implied.low <= reading <= implied.high
    full_pass = Rounded.of(int(ALEXNET_NEURONS) * 2 * QDSNN_BOUND_TIMESTEPS) / 10**6
    bound = lookup(TABLE_3, "lif_ops_m", variant="qdsnn")
    mean_ops, whole = (lookup(TABLE_3, "synaptic_ops_m", variant=v) for v in ("qdsnn", "qsnn"))
    return [
        Finding("The QDSNN's LIF bound covers a full pass through AlexNet, in millions",
                "Table 3, Eq. 9",
                f"{int(ALEXNET_NEURONS):,} x {QDSNN_BOUND_TIMESTEPS} x 2 = {full_pass:.2f} M"
                f"; {bound} M and Table 4 leave {span} neurons",
                float(full_pass), str(bound), _unless_smaller(bound, full_pass),
                'Section 3.3 gives the neurons "derived directly from our implementation" for "the '
                'full SNN/QSNN architecture" alone, and speaks of the QDSNN\'s "compact branchy '
                'architecture". A smaller network would fit; its layers are not printed.'),
        Finding("The QDSNN's neurons are those of conv 1, conv 2 and two exit classifiers",
                "Tables 3 and 4",
                f"{conv_1:,} + {conv_2:,} + 2 x ({classifier[0]} + {classifier[1]}) = {reading:,}, "
                f"{'inside' if inside else 'outside'} {span}",
                float(reading), "not printed", UNDECIDED if inside else CONTRADICTS,
                f"One reading: with the same classifiers {others} different choices of AlexNet's "
                "layers fall inside, this one included."),
        Finding("The QDSNN row is an upper bound throughout, its synaptic operations too",
                "Table 3",
                f"A full pass of the QSNN takes {whole} M at a smaller T; the row has {mean_ops} M",
                float(whole), str(mean_ops), _unless_smaller(mean_ops, whole),
                'The caption says "QDSNN values are upper-bounds"; the row marks only LIF and '
                "total with ≤, and its synaptic operations are Table 1's of 0.6/0.7. In a smaller "
                "network a full pass could take that few."),
    ]  # fmt: skip


def _unless_smaller(bound: Number, full_pass: Number) -> str:
    """Whether a bound covers a full pass of AlexNet; where not, a smaller network may be meant."""
    verdict = at_least(bound, full_pass)
    return UNDECIDED if verdict == CONTRADICTS else verdict


def prices() -> list[Finding]:
    """The constants against the source the paper names."""
    mac = Rounded.of(float(HOROWITZ_PJ["fp32 add"])) + float(HOROWITZ_PJ["fp32 multiply"])
    ac, add = CONSTANTS_PJ["ac"], HOROWITZ_PJ["fp32 add"]
    multiply, decay = HOROWITZ_PJ["int8 multiply"], CONSTANTS_PJ["decay"]
    ops, energy = (lookup(t, c, variant="snn") for t, c in ((TABLE_3, "synaptic_ops_m"),
                                                            (TABLE_4, "synaptic_uj")))  # fmt: skip
    byte = CONSTANTS_PJ["byte"]
    cache, dram = (Rounded.of(HOROWITZ_64_BIT_PJ[name]) / 8 for name in ("1 MB cache", "DRAM"))
    floating = Rounded.of(ops) * float(add)
    return [
        agreement("A 32-bit MAC is Horowitz's FP32 multiply and add, in pJ", "Section 2.3",
                   f"{HOROWITZ_PJ['fp32 multiply']} + {add} = {float(mac):g} pJ", mac,
                   CONSTANTS_PJ["mac"]),
        agreement("An 8-bit accumulate is Horowitz's 8-bit add, in pJ", "Section 2.3",
                   f"{HOROWITZ_PJ['int8 add']} pJ", float(HOROWITZ_PJ["int8 add"]), ac),
        agreement("The 8-bit decay is Horowitz's 8-bit multiply, in pJ", "Section 2.3",
                   f"8-bit multiply {multiply} pJ; {add} pJ is the FP32 add", float(multiply),
                   decay),
        Finding("A byte of memory access costs what Horowitz gives, in pJ", "Section 2.3",
                f"1 MB cache {cache:g} pJ, DRAM at least {dram:g} pJ per byte",
                float(dram), str(byte), UNDECIDED, "It lies between the two; the text does not say "
                "which memory it is."),
        agreement("The floating-point SNN pays floating-point accumulates, in µJ", "Table 4",
                   f"{ops} M x {add} pJ = {float(floating):.2f} µJ; at {ac} pJ it is {energy} µJ",
                   floating, energy, "Only the QSNN and QDSNN are quantised (Section 2.1.3)."),
    ]  # fmt: skip


CHECKS = (lif_and_total_operations, arithmetic_energy, qdsnn_upper_bound, prices)
"""Every check of this module."""
