"""Our Tables 1 to 4 and the headline ratios, from recorded traces, beside the paper's.

What is not recorded is left out of a table or shown as an empty cell, never made up. Operations
come in both conventions of :mod:`sparq_utils.energy`; energies are *modelled*.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from sparq_utils import paper
from sparq_utils.energy import EnergyConstants, MemoryModel, energy, operations
from sparq_utils.policies import at_exit, outcome
from sparq_utils.results import (
    EXPERIMENTS,
    ROWS,
    SPLITS,
    ResultsError,
    leaving,
    load,
    seeds,
    trace_path,
)
from sparq_utils.trace import ExitTrace

LABELS = {
    "ann": "ANN",
    "dynamic-ann": "dynamic ANN",
    "snn": "SNN",
    "snn-rate": "SNN, rate-coded",
    "qsnn": "QSNN",
    "qdsnn-0.2-0.4": "QDSNN 0.2/0.4",
    "qdsnn-0.6-0.7": "QDSNN 0.6/0.7",
    "qdsnn-q": "QDSNN, Q-learned",
    "qdsnn-optimal": "QDSNN, optimum",
}
"""How a variant is called in tables and figures."""

EMPTY = "\N{EN DASH}"
"""A cell with nothing to show: not recorded, or not printed."""


@dataclass(frozen=True)
class Measured:
    """One row of a table as recorded: a test trace and its leaving exits for every seed."""

    experiment: str
    variant: str
    traces: tuple[ExitTrace, ...]
    leaving: tuple[np.ndarray, ...]

    @property
    def data(self) -> str:
        """The data that was tested on, as its traces name it."""
        return self.traces[0].measured_on.data

    @property
    def accuracy(self) -> np.ndarray:
        """Percent right, one value a seed."""
        pairs = zip(self.traces, self.leaving, strict=True)
        return np.array([100 * outcome(*pair).accuracy for pair in pairs])

    @property
    def exit_shares(self) -> np.ndarray:
        """Fraction of images that leave at each exit, mean over seeds: [exits]."""
        pairs = zip(self.traces, self.leaving, strict=True)
        return np.mean([outcome(*pair).exit_shares for pair in pairs], axis=0)

    def synaptic_ops(self, convention: str = "fan-out") -> float:
        """MACs and ACs an image, mean over images and seeds."""
        return self._mean(lambda trace: sum(_counted(trace, convention)))

    def lif_ops(self) -> float:
        """Decays and comparisons an image (Eq. 9): two for each membrane update."""
        return 2 * self._mean(lambda trace: trace.count("lif_updates"))

    def energy_j(
        self,
        constants: EnergyConstants | str = "paper",
        memory: MemoryModel | str = "step-by-step",
        convention: str = "fan-out",
    ) -> dict[str, float]:
        """Modelled joules an image, by part: "synaptic", "lif", "memory"."""
        parts = [
            energy(trace, constants, memory, convention).mean_j(leaves)
            for trace, leaves in zip(self.traces, self.leaving, strict=True)
        ]
        return {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}

    def class_shares(self) -> np.ndarray:
        """Where each class leaves: fractions [classes, exits], each row summing to 1."""
        return self._by_class(1)

    def class_mix(self) -> np.ndarray:
        """Who leaves at an exit: fractions [classes, exits], each column summing to 1.

        A column of an exit at which nobody leaves is NaN.
        """
        return self._by_class(0)

    def _by_class(self, axis: int) -> np.ndarray:
        """Counts [classes, exits] over all seeds, divided by their sum along an axis."""
        labels = np.concatenate([trace.labels for trace in self.traces])
        counts = np.zeros((int(labels.max()) + 1, self.traces[0].exits))
        np.add.at(counts, (labels, np.concatenate(self.leaving)), 1)
        with np.errstate(invalid="ignore"):
            return counts / counts.sum(axis=axis, keepdims=True)

    def _mean(self, quantity: Callable[[ExitTrace], np.ndarray]) -> float:
        """Mean over images and seeds of [exits, samples | 1] at the exit where each leaves."""
        values = (np.broadcast_to(quantity(t), t.confidence.shape) for t in self.traces)
        pairs = zip(values, self.leaving, strict=True)
        return float(np.mean([at_exit(*pair).mean() for pair in pairs]))


Found = Mapping[tuple[str, str], Measured]


def _counted(trace: ExitTrace, convention: str) -> tuple[np.ndarray, np.ndarray]:
    """MACs and ACs of a trace in a convention, [exits, samples | 1] each."""
    counts = operations(trace, convention=convention)
    return counts["mac_j"], counts["ac_j"]


def measured(experiment: str, variant: str) -> Measured:
    """A table's row from the recorded traces of every seed that has them.

    Policies are chosen on the validation trace of the same seed. Raises
    :class:`~sparq_utils.results.ResultsError` if nothing is recorded.
    """
    source, traces, leaves = ROWS.get(variant, variant), [], []
    found = seeds(experiment)
    ready = [s for s in found if trace_path(experiment, source, SPLITS[-1], s).is_file()]
    for seed in ready or found:  # with none ready, loading says what is missing
        test = load(experiment, source, "test", seed)
        validation = load(experiment, source, "validation", seed) if test.exits > 1 else test
        traces.append(test)
        leaves.append(leaving(variant, validation, test, np.random.default_rng(seed)))
    return Measured(experiment, variant, tuple(traces), tuple(leaves))


def collect() -> tuple[dict[tuple[str, str], Measured], list[tuple[str, str]]]:
    """Every row that is recorded, by (experiment, variant), and the rows that are not."""
    found, missing = {}, []
    for key in product(EXPERIMENTS, ROWS):
        try:
            found[key] = measured(*key)
        except ResultsError:
            missing.append(key)
    return found, missing


def network_label(found: Found, experiment: str) -> str:
    """An experiment's network and the data its rows were tested on."""
    network, data = paper.EXPERIMENTS[experiment]
    names = {row.data for (name, _), row in found.items() if name == experiment}
    return f"{network}, {' and '.join(sorted(names)) or data}"


def table_1(found: Found) -> pd.DataFrame:
    """Table 1 as text, ours beside the paper's: accuracy in percent, operations in millions."""
    return _table(
        found,
        list(ROWS),
        {
            ("accuracy (%)", "ours"): _accuracy,
            ("accuracy (%)", "paper"): _printed(paper.TABLE_1, "accuracy"),
            ("synaptic operations (M)", "fan-out"): lambda row: _millions(row.synaptic_ops()),
            ("synaptic operations (M)", "as printed"): _ops_as_printed,
            ("synaptic operations (M)", "paper"): _printed(paper.TABLE_1, "synaptic_ops_m"),
        },
    )


def table_2(
    found: Found,
    constants: EnergyConstants | str = "paper",
    memory: MemoryModel | str = "step-by-step",
) -> pd.DataFrame:
    """Table 2 as text: accuracy in percent, modelled energy in mJ, shares of each exit in percent.

    The paper's times and powers stand beside; ours would be of another machine.
    """

    def millijoules(convention: str) -> Callable[[Measured], str]:
        return lambda row: _digits(1e3 * sum(row.energy_j(constants, memory, convention).values()))

    return _table(
        found,
        [variant for variant in ROWS if variant not in ("ann", "dynamic-ann")],
        {
            ("accuracy (%)", "ours"): _accuracy,
            ("accuracy (%)", "paper"): _printed(paper.TABLE_2, "accuracy"),
            ("energy (mJ)", "fan-out"): millijoules("fan-out"),
            ("energy (mJ)", "as printed"): millijoules("printed"),
            ("energy (mJ)", "paper"): _printed(paper.TABLE_2, "energy_mj"),
            ("leave at exit (%)", "ours"): _shares,
            ("time (ms)", "paper"): _printed(paper.TABLE_2, "time_ms"),
            ("power (W)", "paper"): _printed(paper.TABLE_2, "power_w"),
        },
    )


def table_3(found: Found) -> pd.DataFrame:
    """Table 3 as text: synaptic and LIF operations in millions, counted as printed (Eq. 6-9)."""
    return _table(
        found,
        ["ann", "snn", "qsnn", "qdsnn-0.6-0.7"],
        {
            ("synaptic (M)", "ours"): _ops_as_printed,
            ("synaptic (M)", "paper"): _printed_alexnet(paper.TABLE_3, "synaptic_ops_m"),
            ("LIF (M)", "ours"): lambda row: _millions(row.lif_ops()),
            ("LIF (M)", "paper"): _printed_alexnet(paper.TABLE_3, "lif_ops_m"),
            ("total (M)", "ours"): lambda r: _millions(r.synaptic_ops("printed") + r.lif_ops()),
            ("total (M)", "paper"): _printed_alexnet(paper.TABLE_3, "total_ops_m"),
        },
    )


def table_4(
    found: Found, constants: EnergyConstants | str = "paper", convention: str = "printed"
) -> pd.DataFrame:
    """Table 4 as text: arithmetic energy alone, in microjoules, and how many times below the ANN.

    `convention` counts ours; the paper's cells stay as printed.
    """

    def microjoules(*names: str) -> Callable[[Measured], str]:
        return lambda row: _digits(1e6 * _arithmetic_j(row, names))

    def reduction(row: Measured) -> str:
        ann = found.get((row.experiment, "ann"))
        return _digits(_arithmetic_j(ann) / _arithmetic_j(row)) if ann else EMPTY

    def _arithmetic_j(row: Measured, names: tuple[str, ...] = ("synaptic", "lif")) -> float:
        parts = row.energy_j(constants, "layer-by-layer", convention)
        return sum(parts[name] for name in names)

    return _table(
        found,
        ["ann", "snn", "qsnn", "qdsnn-0.6-0.7"],
        {
            ("synaptic (uJ)", "ours"): microjoules("synaptic"),
            ("synaptic (uJ)", "paper"): _printed_alexnet(paper.TABLE_4, "synaptic_uj"),
            ("LIF (uJ)", "ours"): microjoules("lif"),
            ("LIF (uJ)", "paper"): _printed_alexnet(paper.TABLE_4, "lif_uj"),
            ("total (uJ)", "ours"): microjoules("synaptic", "lif"),
            ("total (uJ)", "paper"): _printed_alexnet(paper.TABLE_4, "total_uj"),
            ("times below ANN", "ours"): reduction,
            ("times below ANN", "paper"): _printed_alexnet(paper.TABLE_4, "reduction"),
        },
    )


Column = Callable[[Measured], str] | Mapping[tuple[str, str], str]


def _table(
    found: Found, variants: list[str], columns: Mapping[tuple[str, str], Column]
) -> pd.DataFrame:
    """Text cells for every experiment and variant: ours from a function, the paper's looked up."""
    rows, index = [], []
    for key in product(EXPERIMENTS, variants):
        row = found.get(key)
        cells = [
            (cell(row) if row else EMPTY) if callable(cell) else cell.get(key, EMPTY)
            for cell in columns.values()
        ]
        if any(cell != EMPTY for cell in cells):
            rows.append(cells)
            index.append((network_label(found, key[0]), LABELS[key[1]]))
    names = pd.MultiIndex.from_tuples(index, names=["network", "variant"])
    return pd.DataFrame(rows, names, pd.MultiIndex.from_tuples(columns))


def _printed(table: list[dict], column: str) -> dict[tuple[str, str], str]:
    """A column of the paper's Table 1 or 2, with the digits it is printed with."""
    return {(row["experiment"], row["variant"]): str(row[column]) for row in table}


def _printed_alexnet(table: list[dict], column: str) -> dict[tuple[str, str], str]:
    """A column of the paper's Table 3 or 4; its QDSNN is the one of 0.6/0.7."""
    names = {"qdsnn": "qdsnn-0.6-0.7"}
    cells = {(row["variant"]): row[column] for row in table}
    return {
        ("alexnet-cifar10", names.get(variant, variant)): EMPTY if cell is None else str(cell)
        for variant, cell in cells.items()
    }


def _accuracy(row: Measured) -> str:
    """Mean accuracy and, for several seeds, its sample standard deviation."""
    values = row.accuracy
    spread = f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else ""
    return f"{values.mean():.2f}{spread}"


def _ops_as_printed(row: Measured) -> str:
    return _millions(row.synaptic_ops("printed"))


def _shares(row: Measured) -> str:
    """Percent of the images that leave at each exit; nothing where there is but one."""
    if len(row.exit_shares) == 1:
        return EMPTY
    return " / ".join(f"{100 * share:.0f}" for share in row.exit_shares)


def _millions(count: float) -> str:
    return _digits(count / 1e6)


def _digits(value: float) -> str:
    """Three significant digits, as many decimals as that takes; nothing for 0."""
    if not value:
        return EMPTY
    decimals = 2 - int(np.floor(np.log10(abs(value))))
    return f"{value:,.{max(0, decimals)}f}"
