"""Our Tables 1 to 4 and the headline ratios, from recorded traces, beside the paper's.

What is not recorded is left out of a table or shown as an empty cell, never made up. Operations
come in both conventions of :mod:`sparq_utils.traces.energy`; energies are *modelled*. Numbers take
prefixes, for they span many powers of ten.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd

from sparq_utils.paper import printed as paper
from sparq_utils.prose import engineering
from sparq_utils.results.files import BEYOND, EXPERIMENTS, TITLES
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
    data = BEYOND.get(experiment) or paper.EXPERIMENTS[experiment][1]
    names = {row.data for (name, _), row in found.items() if name == experiment}
    return f"{TITLES[experiment]}, {' and '.join(sorted(names)) or data}"


def table_1(found: Found) -> pd.DataFrame:
    """Table 1 as text: accuracy in percent, and operations in both conventions."""
    return _table(
        found,
        list(ROWS),
        {
            "accuracy (%)": accuracy_text,
            "paper (%)": _printed(paper.TABLE_1, "accuracy"),
            "operations": lambda row: engineering(row.synaptic_ops()),
            "as printed": lambda row: engineering(row.synaptic_ops("printed")),
            "paper's": _printed(paper.TABLE_1, "synaptic_ops_m", "M"),
        },
    )


def table_2(
    found: Found,
    constants: EnergyConstants | str = "paper",
    memory: MemoryModel | str = "step-by-step",
) -> pd.DataFrame:
    """Table 2 as text: accuracy in percent, modelled energy, percent that leave at each exit.

    The paper's times and powers stand beside; ours would be of another machine.
    """

    def joules(convention: str) -> Callable[[Row], str]:
        return lambda row: engineering(row.energy_j(constants, memory, convention), "J")

    return _table(
        found,
        list(ROWS),
        {
            "accuracy (%)": accuracy_text,
            "paper (%)": _printed(paper.TABLE_2, "accuracy"),
            "energy": joules("fan-out"),
            "as printed": joules("printed"),
            "paper's": _printed(paper.TABLE_2, "energy_mj", "mJ"),
            "leave at exit (%)": _shares,
            "paper's time": _printed(paper.TABLE_2, "time_ms", "ms"),
            "paper's power": _printed(paper.TABLE_2, "power_w", "W"),
        },
    )


def table_3(found: Found) -> pd.DataFrame:
    """Table 3 as text: synaptic and LIF operations, counted as printed (Eq. 6-9)."""

    def printed(column: str) -> dict[tuple[str, str], str]:
        return _printed_alexnet(paper.TABLE_3, column, "M")

    return _table(
        found,
        ARITHMETIC,
        {
            "synaptic": lambda row: engineering(row.synaptic_ops("printed")),
            "paper's synaptic": printed("synaptic_ops_m"),
            "LIF": lambda row: _or_nothing(row.lif_ops()),
            "paper's LIF": printed("lif_ops_m"),
            "total": lambda row: engineering(row.synaptic_ops("printed") + row.lif_ops()),
            "paper's total": printed("total_ops_m"),
        },
    )


def table_4(
    found: Found, constants: EnergyConstants | str = "paper", convention: str = "printed"
) -> pd.DataFrame:
    """Table 4 as text: modelled energy of arithmetic alone, and how many times below the ANN.

    `convention` counts ours; the paper's cells stay as printed.
    """

    def arithmetic_j(row: Row, *names: str) -> float:
        parts = row.arithmetic_j(constants, convention)
        return sum(parts[name] for name in names or parts)

    def below_ann(row: Row) -> str:
        ann = found.get((row.experiment, "ann"))
        return _digits(arithmetic_j(ann) / arithmetic_j(row)) if ann else EMPTY

    def printed(column: str) -> dict[tuple[str, str], str]:
        return _printed_alexnet(paper.TABLE_4, column, "\N{MICRO SIGN}J")

    return _table(
        found,
        ARITHMETIC,
        {
            "synaptic": lambda row: engineering(arithmetic_j(row, "synaptic"), "J"),
            "paper's synaptic": printed("synaptic_uj"),
            "LIF": lambda row: _or_nothing(arithmetic_j(row, "lif"), "J"),
            "paper's LIF": printed("lif_uj"),
            "total": lambda row: engineering(arithmetic_j(row), "J"),
            "paper's total": printed("total_uj"),
            "times below ANN": below_ann,
            "paper's times": _printed_alexnet(paper.TABLE_4, "reduction"),
        },
    )


Column = Callable[[Row], str] | Mapping[tuple[str, str], str]


def _table(found: Found, variants: Sequence[str], columns: Mapping[str, Column]) -> pd.DataFrame:
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
    return pd.DataFrame(rows, names, list(columns))


def _printed(table: list[dict], column: str, unit: str = "") -> dict[tuple[str, str], str]:
    """A column of the paper's Table 1 or 2, with the digits it is printed with."""
    return {(row["experiment"], row["variant"]): _with_unit(row[column], unit) for row in table}


def _printed_alexnet(table: list[dict], column: str, unit: str = "") -> dict[tuple[str, str], str]:
    """A column of the paper's Table 3 or 4; its QDSNN is the one of 0.6/0.7."""
    names = {"qdsnn": "qdsnn-0.6-0.7"}
    cells = {(row["variant"]): row[column] for row in table}
    return {
        ("alexnet-cifar10", names.get(variant, variant)): _with_unit(cell, unit)
        for variant, cell in cells.items()
    }


def _with_unit(cell: object, unit: str) -> str:
    """A printed number and its unit, kept on one line."""
    return EMPTY if cell is None else f"{cell}\N{NO-BREAK SPACE}{unit}".rstrip("\N{NO-BREAK SPACE}")


def accuracy_text(row: Row) -> str:
    """Mean accuracy in percent and, for several seeds, its sample standard deviation."""
    spread = f" ± {100 * row.accuracy_std:.2f}" if len(row.traces) > 1 else ""
    return f"{100 * row.accuracy.mean():.2f}{spread}".replace(" ", "\N{NO-BREAK SPACE}")


def _shares(row: Row) -> str:
    """Percent of the images that leave at each exit; nothing where there is but one."""
    if len(row.exit_shares) == 1:
        return EMPTY
    return " / ".join(f"{100 * share:.0f}" for share in row.exit_shares)


def _or_nothing(value: float, unit: str = "") -> str:
    """A number with its prefix; nothing for what a network has none of."""
    return engineering(value, unit) if value else EMPTY


def _digits(value: float) -> str:
    """Three significant digits, as many decimals as that takes; nothing for 0."""
    if not value:
        return EMPTY
    decimals = 2 - int(np.floor(np.log10(abs(value))))
    return f"{value:,.{max(0, decimals)}f}"
