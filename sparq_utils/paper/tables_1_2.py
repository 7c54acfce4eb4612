"""The audit of Tables 1 and 2: architectures, operations, power, memory traffic."""

from itertools import combinations, product

from sparq_utils.paper.evidence import (
    AGREES,
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
    EXPERIMENTS,
    INPUTS,
    LAYERS,
    TABLE_1,
    TABLE_2,
    TABLE_3,
    TIMESTEPS,
    lookup,
    total,
)

ALEXNET = "alexnet-cifar10"
LABELS = {
    "ann": "ANN",
    "snn": "SNN",
    "qsnn": "QSNN",
    "qdsnn": "QDSNN",
    "qdsnn-0.2-0.4": "QDSNN 0.2/0.4",
    "qdsnn-0.6-0.7": "QDSNN 0.6/0.7",
}


def ops_m(experiment: str, variant: str) -> Printed:
    """Table 1's synaptic operations, in millions."""
    return lookup(TABLE_1, "synaptic_ops_m", experiment=experiment, variant=variant)


def table_2(experiment: str, variant: str, column: str) -> Printed:
    """A number of Table 2."""
    return lookup(TABLE_2, column, experiment=experiment, variant=variant)


def per_megabyte_mj() -> Rounded:
    """Energy of a megabyte (10^6 bytes) of memory access, in millijoules (Section 2.3)."""
    return Rounded.of(int(CONSTANTS_PJ["byte"])) / 1000


def traffic_mb(experiment: str, variant: str) -> Rounded:
    """Memory access per image that Table 2's energy implies, in megabytes.

    Arithmetic is left in: it is under one part in a hundred wherever it can be counted.
    """
    return Rounded.of(table_2(experiment, variant, "energy_mj")) / per_megabyte_mj()


def agreement(
    claim: str,
    where: str,
    arithmetic: str,
    value: Number,
    printed: Printed,
    note: str = "",
    words: str = "",
) -> Finding:
    """A finding that holds a recomputed value against printed digits, or `words` that mean them."""
    value = Rounded.of(value)
    verdict = matches(value, printed)
    shown = words or str(printed)
    return Finding(claim, where, arithmetic, float(value), shown, verdict, note)


def macs_of_one_image() -> list[Finding]:
    """Eq. 6 and 7 over the layer shapes, against Table 1's ANN rows."""
    found = []
    for experiment, (name, _) in EXPERIMENTS.items():
        macs, printed = total(experiment, "macs"), ops_m(experiment, "ann")
        if experiment == "lenet-mnist":
            found.append(_lenet_macs(name, printed))
            continue
        sums = " + ".join(f"{layer.macs:,}" for layer in LAYERS[experiment])
        factor = Rounded.of(printed) / (Rounded.of(macs) / 10**6)
        note = f"The printed number is {factor:.2f} times one image's MACs."
        if matches(Rounded.of(macs) / 10**6, printed) == AGREES:
            note = ""
        elif int(factor.high) < factor.low:
            note += " No whole batch size B of Eq. 7 gives the printed number."
        found.append(
            agreement(f"{name}: MACs of one image, in millions", "Table 1, Eq. 6-7",
                       f"{sums} = {macs:,}", Rounded.of(macs) / 10**6, printed, note)
        )  # fmt: skip
    return found


LENET_CHANNELS = ((6, 16), (6, 12), (8, 16), (10, 20), (16, 32), (20, 50), (32, 64))
LENET_HIDDEN = (32, 50, 64, 84, 100, 120, 128, 160, 192, 200, 240, 256, 300, 400, 500, 512)


def lenet_macs(channels: tuple[int, int], hidden: tuple[int, int], padding: int = 2) -> int:
    """MACs of one 28x28 image (Eq. 6-7): two 5x5 convolutions, each pooled, three linear layers."""
    first, second = channels
    side = 24 + 2 * padding  # of conv 1's output; pooling halves it, conv 2 has no padding
    convolutions = 25 * first * side**2 + 25 * first * second * (side // 2 - 4) ** 2
    flat = second * ((side // 2 - 4) // 2) ** 2
    return convolutions + flat * hidden[0] + hidden[0] * hidden[1] + hidden[1] * 10


def _lenet_macs(name: str, printed: Printed) -> Finding:
    """LeNet-5's count: no widths are printed, and other LeNets than the classic one fit."""
    classic = total("lenet-mnist", "macs")
    tried = list(product(LENET_CHANNELS, combinations(LENET_HIDDEN[::-1], 2)))
    fitting = [one for one in tried
               if matches(Rounded.of(lenet_macs(*one)) / 10**6, printed) == AGREES]  # fmt: skip
    widths = min(fitting, key=lambda one: (one[0] != LENET_CHANNELS[0], one))
    example = "-".join(str(width) for pair in widths for width in pair)
    return Finding(
        f"{name}: MACs of one image, in millions", "Table 1, Eq. 6-7",
        f"classic 6-16-120-84: {classic:,}; {example}: {lenet_macs(*widths):,}",
        classic / 10**6, str(printed), UNDECIDED if fitting else CONTRADICTS,
        'The paper prints no widths. It says "classic convolutional architecture", which needs '
        f"{Rounded.of(printed) * 10**6 / classic:.2f} times fewer; {len(fitting)} of {len(tried)} "
        "similar networks that we tried round to the printed number.",
    )  # fmt: skip


def neurons() -> list[Finding]:
    """AlexNet's neurons, counted before pooling, output layer included."""
    count = total(ALEXNET, "neurons")
    sums = " + ".join(f"{layer.neurons:,}" for layer in LAYERS[ALEXNET])
    return [
        agreement("AlexNet: spiking neurons of the full SNN", "Section 3.3", f"{sums} = {count:,}",
                   count, ALEXNET_NEURONS)
    ]  # fmt: skip


def spike_bound() -> list[Finding]:
    """Eq. 8 counts spikes, and a neuron spikes at most once a timestep."""
    found = []
    for experiment, (name, _) in EXPERIMENTS.items():
        for variant in ("snn", "qsnn"):
            steps, printed = TIMESTEPS[variant], ops_m(experiment, variant)
            count, inputs = total(experiment, "neurons"), INPUTS[experiment]
            most = Rounded.of((count + inputs) * steps) / 10**6
            found.append(
                Finding(
                    f"{name} {LABELS[variant]}: as many spikes as Eq. 8 can count, in millions",
                    "Table 1, Eq. 8",
                    f"({count:,} neurons + {inputs:,} inputs) x {steps} timesteps = "
                    f"{float(most):.3f} M at most, {count * steps / 10**6:.3f} M of them neurons'",
                    float(most), str(printed), at_least(most, printed),
                    "Counting every connection that a spike reaches gives more; Eq. 8 does not.",
                )
            )  # fmt: skip
    return found


def dense_bound() -> list[Finding]:
    """Even if every neuron and input spiked at every step: MACs x T accumulates."""
    found = []
    for experiment, (name, _) in EXPERIMENTS.items():
        for variant in ("snn", "qsnn", "qdsnn-0.2-0.4", "qdsnn-0.6-0.7"):
            steps, printed = TIMESTEPS[variant], ops_m(experiment, variant)
            macs = total(experiment, "macs")
            most = Rounded.of(macs * steps) / 10**6
            verdict, note = at_least(most, printed), ""
            if verdict == CONTRADICTS:
                own = Rounded.of(ops_m(experiment, "ann")) * steps
                note = f"With Table 1's own ANN count, x {steps}: {own:.2f} M."
                if at_least(own, printed) == AGREES:
                    verdict = UNDECIDED
                    note += (
                        " So the rows fit one another. If all of them are sums over a batch, as "
                        "the B of Eq. 7 would allow, none is too large; the text does not say."
                    )
            if verdict == CONTRADICTS and variant.startswith("qdsnn"):
                note += (
                    " The bound leaves the exit heads out; they would have to cost "
                    f"{Rounded.of(printed) / most - 1:.1f} times the network."
                )
            found.append(
                Finding(
                    f"{name} {LABELS[variant]}: no more than a fully dense network, in millions",
                    "Table 1, Eq. 6-7",
                    f"{macs:,} connections x {steps} timesteps = {float(most):.2f} M at most",
                    float(most), str(printed), verdict, note,
                )
            )  # fmt: skip
    return found


def power() -> list[Finding]:
    """Eq. 3 over every row of Table 2."""
    found = []
    for row in TABLE_2:
        energy, time, printed = row["energy_mj"], row["time_ms"], row["power_w"]
        value = Rounded.of(energy) / time
        plain = f"{float(value):.{printed.decimals}f}"
        note = ""
        if plain != str(printed):
            note = (
                f"The printed digits divide to {plain}; the time is rounded to {time} ms, which "
                f"leaves {value.span('.3f')} W open."
            )
        found.append(
            agreement(f"{EXPERIMENTS[row['experiment']][0]} {LABELS[row['variant']]}: power in W",
                       "Table 2, Eq. 3", f"{energy} mJ / {time} ms = {float(value):.4f} W",
                       value, printed, note)
        )  # fmt: skip
    return found


def memory_traffic() -> list[Finding]:
    """What Table 2's energy means in bytes, beside the weights of the network."""
    found = []
    for row in TABLE_2:
        experiment, variant = row["experiment"], row["variant"]
        parameters = total(experiment, "parameters")
        weight_bytes = 4 if variant == "snn" else 1
        weights = Rounded.of(parameters * weight_bytes) / 10**6
        traffic = traffic_mb(experiment, variant)
        found.append(
            Finding(
                f"{EXPERIMENTS[experiment][0]} {LABELS[variant]}: memory access in MB per image",
                "Table 2, Eq. 5",
                f"{row['energy_mj']} mJ / {CONSTANTS_PJ['byte']} pJ per byte = "
                f"{float(traffic):,.1f} MB = {float(traffic / weights):,.2f} x the {parameters:,} "
                f"weights of {weight_bytes} byte{'s' * (weight_bytes > 1)}",
                float(traffic), "not printed", UNDECIDED,
                "No table prints M_SNN, and the text states no rule for it.",
            )
        )  # fmt: skip
    return found


def cross_tables() -> list[Finding]:
    """The same quantity printed twice."""
    accuracies = [
        (row["accuracy"], lookup(TABLE_1, "accuracy", experiment=row["experiment"],
                                 variant=row["variant"]))
        for row in TABLE_2
    ]  # fmt: skip
    ops = [
        (row["synaptic_ops_m"],
         ops_m(ALEXNET, "qdsnn-0.6-0.7" if row["variant"] == "qdsnn" else row["variant"]))
        for row in TABLE_3
    ]  # fmt: skip
    return [
        Finding(claim, where, f"{same} of {len(pairs)} pairs are the same", float(same),
                str(len(pairs)), AGREES if same == len(pairs) else CONTRADICTS)
        for claim, where, pairs in (
            ("Both tables print the same accuracies", "Tables 1 and 2", accuracies),
            ("Both tables print the same synaptic operations of AlexNet", "Tables 1 and 3", ops),
        )
        for same in [sum(a.text == b.text for a, b in pairs)]
    ]  # fmt: skip


CHECKS = (macs_of_one_image, neurons, spike_bound, dense_bound, power, memory_traffic, cross_tables)
"""Every check of this module."""
