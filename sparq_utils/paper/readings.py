"""The audit of what the numbers imply together: thresholds, savings, times, routing."""

from sparq_utils.paper.claims import HIGH, LENET, LOW, MLP
from sparq_utils.paper.evidence import (
    AGREES,
    CONTRADICTS,
    UNDECIDED,
    Finding,
    Number,
    Rounded,
    at_least,
)
from sparq_utils.paper.printed import (
    CONSTANTS_PJ,
    EXPERIMENTS,
    FIGURE_2,
    LAYERS,
    TABLE_1,
    TABLE_4,
    TIMESTEPS,
    lookup,
    total,
)
from sparq_utils.paper.tables_1_2 import ALEXNET, ops_m, table_2, traffic_mb


def thresholds() -> list[Finding]:
    """Raising a threshold keeps samples longer, so no cost may fall in the same network."""
    argument = (
        "An image that leaves at the higher thresholds leaves there or sooner at the lower ones, "
        "so in one and the same network its cost cannot fall when both rise."
    )
    found = []
    for what, where, read, noisy in (
        ("synaptic operations do", "Table 1", ops_m, ""),
        ("energy does", "Table 2", lambda e, v: table_2(e, v, "energy_mj"), ""),
        ("time does", "Table 2", lambda e, v: table_2(e, v, "time_ms"),
         " Timing noise is a possible explanation."),
    ):  # fmt: skip
        for experiment, (name, _) in EXPERIMENTS.items():
            low, high = read(experiment, LOW), read(experiment, HIGH)
            factor = Rounded.of(high) / low
            falls = at_least(high, low) == CONTRADICTS
            verdict = (UNDECIDED if noisy else CONTRADICTS) if falls else AGREES
            found.append(
                Finding(f"{name}: {what} not fall from thresholds 0.2/0.4 to 0.6/0.7", where,
                        f"{low} to {high}: {factor:.2f} times", float(factor), "at least 1",
                        verdict, argument + noisy if falls else "")
            )  # fmt: skip
    return found


def where_savings_come_from() -> list[Finding]:
    """AlexNet's 330 times, taken apart."""
    snn, qsnn, dynamic = (table_2(ALEXNET, v, "energy_mj") for v in ("snn", "qsnn", HIGH))
    quantised, exits = Rounded.of(snn) / qsnn, Rounded.of(qsnn) / dynamic
    compute_snn, compute = (lookup(TABLE_4, "total_uj", variant=v) for v in ("snn", "qdsnn"))
    compute_ratio = Rounded.of(compute_snn) / compute
    share = Rounded.of(compute) / (Rounded.of(dynamic) * 10)  # µJ / mJ, in percent
    return [
        Finding("Early exits lower AlexNet's energy", "Table 2",
                f"{snn} / {qsnn} = {quantised:.0f} without exits, then {qsnn} / {dynamic} = "
                f"{exits:.2f} with them", float(exits), "more than 1", at_least(exits, 1),
                "The SNN to QSNN step (8 bits, fewer timesteps) is nearly all of the 330."),
        Finding("The 330 times comes from memory access rather than arithmetic", "Tables 2 and 4",
                f"Arithmetic alone: {compute_snn} / {compute.digits} µJ = {compute_ratio:.2f} "
                "(QDSNN at its bound)", float(compute_ratio), "less than 330",
                at_least(330, compute_ratio)),
        Finding("Memory access dominates AlexNet's system energy", "Section 3.3",
                f"Arithmetic is at most {compute.digits} µJ of {dynamic} mJ = {float(share):.2f} %",
                float(share), "less than 50 %", at_least(50, share)),
    ]  # fmt: skip


def activity() -> list[Finding]:
    """Operations per timestep of the QSNN against the SNN: the same network, fewer steps."""
    steps = TIMESTEPS["snn"] // TIMESTEPS["qsnn"]
    factors = {
        name: Rounded.of(ops_m(experiment, "qsnn")) * steps / ops_m(experiment, "snn")
        for experiment, (name, _) in EXPERIMENTS.items()
    }
    values = ", ".join(f"{name} {factor:.2g}" for name, factor in factors.items())
    spread = max(factors.values(), key=float) / min(factors.values(), key=float)
    return [
        Finding("Operations per timestep change alike from SNN to QSNN in every network", "Table 1",
                f"QSNN over SNN, per timestep: {values}; they differ {spread:.0f} times",
                float(spread), "not printed", UNDECIDED,
                "Quantisation could change the activity; nothing in the text says why it should "
                "rise in two networks and fall in the third.")
    ]  # fmt: skip


def times() -> list[Finding]:
    """AlexNet's time beside the smaller networks', at the same T."""
    found = []
    macs = {e: total(e, "macs") for e in EXPERIMENTS}
    for experiment in (MLP, LENET):
        times_ms = [table_2(e, "qsnn", "time_ms") for e in (experiment, ALEXNET)]
        faster, larger = Rounded.of(times_ms[0]) / times_ms[1], macs[ALEXNET] / macs[experiment]
        found.append(
            Finding(f"The QSNN of AlexNet takes longer than that of {EXPERIMENTS[experiment][0]}",
                    "Table 2", f"{times_ms[1]} ms against {times_ms[0]} ms: {faster:.0f} times "
                    f"faster with {larger:.0f} times the connections", float(faster), "not printed",
                    UNDECIDED, "The devices and batch sizes behind the times are not stated.")
        )  # fmt: skip
    snn, qsnn = (table_2(ALEXNET, v, "time_ms") for v in ("snn", "qsnn"))
    steps = TIMESTEPS["snn"] // TIMESTEPS["qsnn"]
    found.append(
        Finding("AlexNet's time falls with its timesteps", "Table 2",
                f"{snn} / {qsnn} ms = {Rounded.of(snn) / qsnn:.0f} with {steps} times fewer steps",
                float(Rounded.of(snn) / qsnn), "not printed", UNDECIDED,
                "INT8 kernels or another device would have to give the rest.")
    )  # fmt: skip
    return found


def share_at_exit_1(name: str) -> Rounded:
    """Exit 1's share of all images, if two stages take them all and every class is a tenth."""
    first, last = FIGURE_2["exit 1"][name], FIGURE_2["last stage"][name]
    return (Rounded.of(last) - 10) / (Rounded.of(last) - first)


def figure_2() -> list[Finding]:
    """What the quoted class percentages imply; CIFAR-10's test set has a tenth of each class."""
    first = FIGURE_2["exit 1"]
    rest = (100 - sum(map(float, first.values()))) / (10 - len(first))
    lowest = sorted(first, key=lambda name: float(first[name]))[:2]
    shares = {name: share_at_exit_1(name) for name in FIGURE_2["last stage"]}
    ship, plane = shares["ship"], shares["airplane"]
    low, high = max(ship.low, plane.low), min(ship.high, plane.high)
    both = Rounded(low, (low + high) / 2, high)
    overlap = low <= high
    printed = table_2(ALEXNET, HIGH, "energy_mj")
    modelled = _energy_if_exit_1_takes(both)
    return [
        Finding("Airplane and ship are the classes that exit 1 sees least", "Section 3.4",
                f"The classes not quoted average {rest:.1f} %; {lowest[0]} {first[lowest[0]]}, "
                f"{lowest[1]} {first[lowest[1]]}", rest, f"above {max(first[n] for n in lowest)}",
                AGREES if rest > max(first[n] for n in lowest) else CONTRADICTS,
                "On average; the other classes' own percentages stand in the drawing alone."),
        Finding("Exit 1 and the last stage of Figure 2 take all images between them", "Section 3.4",
                f"s x {first['ship']} + (1 - s) x {FIGURE_2['last stage']['ship']} = 10 gives s = "
                f"{ship.span('.3f')}; airplane gives {plane.span('.3f')}", float(both),
                "not printed", UNDECIDED if overlap else CONTRADICTS,
                "Two classes give the same share, so a two-way split fits. AlexNet has two side "
                'exits and a last stage; the text calls these bars "Exit 2" and "final stage". '
                "Read as the caption has them: percentages of classes among an exit's images."),
        Finding("That share at exit 1 fits the energy of Table 2, in mJ", "Section 3.4, Table 2",
                f"Weights read once by each image that reaches them, {both.span('.3f')} of the "
                f"images leaving after conv 1: {modelled:.2f} mJ", float(modelled), str(printed),
                UNDECIDED, "One reading of the memory access; the exit heads are left out. Reading "
                "all weights for every image would come closer to the printed energy."),
    ]  # fmt: skip


def _weight_bytes(first: int, last: int | None = None) -> int:
    """Bytes of AlexNet's INT8 parameters, layers `first` to before `last`."""
    return sum(layer.parameters for layer in LAYERS[ALEXNET][first:last])


def _energy_if_exit_1_takes(share: Number) -> Rounded:
    """AlexNet's weight traffic in mJ (INT8, 80 pJ/byte) if the rest runs to the end."""
    mean_bytes = (Rounded.of(1) - share) * _weight_bytes(1) + _weight_bytes(0, 1)
    return mean_bytes * int(CONSTANTS_PJ["byte"]) / 10**9


def reach_last_stage(variant: str) -> Rounded:
    """Share of images behind exit 2, if each reads once the INT8 weights that it reaches.

    Exit 2 follows conv 3. The heads are left out; with them the share would be smaller still
    by what they take of the traffic.
    """
    before = _weight_bytes(0, 3)
    return (traffic_mb(ALEXNET, variant) * 10**6 - before) / _weight_bytes(3)


def equal_energy() -> list[Finding]:
    """AlexNet's two QDSNN rows: the same energy, 13 points of accuracy apart."""
    early = (Rounded.of(1) - reach_last_stage(LOW)) * 100
    low, high = (lookup(TABLE_1, "accuracy", experiment=ALEXNET, variant=v) for v in (LOW, HIGH))
    gap = Rounded.of(high) - low
    return [
        Finding("AlexNet's two QDSNN rows can be one network at two pairs of thresholds",
                "Tables 1 and 2",
                f"{high} - {low} = {gap:.1f} points; {table_2(ALEXNET, LOW, 'energy_mj')} mJ lets "
                f"{early:.1f} % of the images leave early", float(gap),
                f"at most {early:.1f}", UNDECIDED,
                "Only images that leave early at 0.2/0.4 can be answered differently at 0.6/0.7. "
                "One reading: each 8-bit weight is read once by each image that reaches it, heads "
                "left out.")
    ]  # fmt: skip


def ann_energy() -> list[Finding]:
    """Eq. 4 for the FP32 AlexNet that Table 2 leaves out."""
    macs, size = total(ALEXNET, "macs"), 4 * total(ALEXNET, "parameters")
    mac, byte = float(CONSTANTS_PJ["mac"]), int(CONSTANTS_PJ["byte"])
    energy = (Rounded.of(macs) * mac + size * byte) / 10**9
    snn, ours = (table_2(ALEXNET, v, "energy_mj") for v in ("snn", HIGH))
    return [
        Finding("AlexNet's SNN uses less system energy than the ANN it came from", "Table 2, Eq. 4",
                f"{macs:,} x {mac} pJ + {size:,} bytes x {byte} pJ = {energy:.1f} mJ; SNN {snn} mJ "
                f"({Rounded.of(snn) / energy:.0f} times), QDSNN {ours} mJ "
                f"({Rounded.of(ours) / energy:.2f} times)", float(energy), "not printed", UNDECIDED,
                "One reading: each FP32 weight is read once per image. Table 2 has no ANN row.")
    ]  # fmt: skip


CHECKS = (
    thresholds,
    where_savings_come_from,
    activity,
    times,
    figure_2,
    equal_energy,
    ann_energy,
)
"""Every check of this module."""
