"""Our Tables 1 to 4 and the headline ratios, from recorded traces, beside the paper's.

What is not recorded is left out of a table or shown as an empty cell, never made up. Operations
come in both conventions of :mod:`sparq_utils.traces.energy`; energies are *modelled*.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd

from sparq_utils.paper import printed as paper
from sparq_utils.results.files import BEYOND, EXPERIMENTS
from sparq_utils.results.rows import Row
from sparq_utils.results.variants import LABELS, ROWS
from sparq_utils.traces.energy import EnergyConstants, MemoryModel

ARITHMETIC = (
    *("ann", "snn", "qsnn", "qdsnn-0.6-0.7"),
    *("qdsnn-company-best", "qann", "qdann-0.6-0.7", "qdann-company-best"),
)
"""The rows of Tables 3 and 4: the paper's four, ours in company, and the quantised ANN."""

EMPTY = "\N{EN DASH}"
"""A cell with nothing to show: not recorded, or not printed."""


Found = Mapping[tuple[str, str], Row]


def network_label(found: Found, experiment: str) -> str:
    """An experiment's network and the data its rows were tested on."""
    network, data = (paper.EXPERIMENTS | BEYOND)[experiment]
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

    def millijoules(convention: str) -> Callable[[Row], str]:
        return lambda row: _digits(1e3 * row.energy_j(constants, memory, convention))

    return _table(
        found,
        list(ROWS),
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
        ARITHMETIC,
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

    def microjoules(*names: str) -> Callable[[Row], str]:
        return lambda row: _digits(1e6 * _arithmetic_j(row, names))

    def reduction(row: Row) -> str:
        ann = found.get((row.experiment, "ann"))
        return _digits(_arithmetic_j(ann) / _arithmetic_j(row)) if ann else EMPTY

    def _arithmetic_j(row: Row, names: tuple[str, ...] = ("synaptic", "lif")) -> float:
        parts = row.energy_parts_j(constants, "layer-by-layer", convention)
        return sum(parts[name] for name in names)

    return _table(
        found,
        ARITHMETIC,
        {
            ("synaptic (µJ)", "ours"): microjoules("synaptic"),
            ("synaptic (µJ)", "paper"): _printed_alexnet(paper.TABLE_4, "synaptic_uj"),
            ("LIF (µJ)", "ours"): microjoules("lif"),
            ("LIF (µJ)", "paper"): _printed_alexnet(paper.TABLE_4, "lif_uj"),
            ("total (µJ)", "ours"): microjoules("synaptic", "lif"),
            ("total (µJ)", "paper"): _printed_alexnet(paper.TABLE_4, "total_uj"),
            ("times below ANN", "ours"): reduction,
            ("times below ANN", "paper"): _printed_alexnet(paper.TABLE_4, "reduction"),
        },
    )


Column = Callable[[Row], str] | Mapping[tuple[str, str], str]


def _table(
    found: Found, variants: Sequence[str], columns: Mapping[tuple[str, str], Column]
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


def _accuracy(row: Row) -> str:
    """Mean accuracy in percent and, for several seeds, its sample standard deviation."""
    spread = f" ± {100 * row.accuracy_std:.2f}" if len(row.traces) > 1 else ""
    return f"{100 * row.accuracy.mean():.2f}{spread}"


def _ops_as_printed(row: Row) -> str:
    return _millions(row.synaptic_ops("printed"))


def _shares(row: Row) -> str:
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
