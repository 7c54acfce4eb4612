"""The paper's tables, figures, constants, equations and architectures, as data.

Source: arXiv 2603.14380v1 (:data:`CITATION`). Numbers keep the digits they are printed with
(:class:`~sparq_utils.paper.evidence.Printed`), and are floats besides.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from sparq_utils.paper.evidence import Printed

CITATION = (
    "P. Patne, M. Taheri, A. Mahani, M. Jenihhin, R. Mahani, C. Herglotz: SPARQ: Spiking "
    "Early-Exit Neural Networks for Energy-Efficient Edge AI. arXiv:2603.14380v1, 2026."
)
EXPERIMENTS = {
    "mlp-mnist": ("5-Layer MLP", "MNIST"),
    "lenet-mnist": ("LeNet-5", "MNIST"),
    "alexnet-cifar10": ("AlexNet", "CIFAR-10"),
}
"""Experiment: (architecture, dataset), in the order of the paper's tables."""

Row = dict[str, str | Printed | None]

_ACCURACY_AND_OPS = {
    "mlp-mnist": {
        "ann": ("98.02", "41.16"),
        "dynamic-ann": ("98.72", "32.22"),
        "snn": ("95.00", "65.50"),
        "qsnn": ("94.50", "50.10"),
        "qdsnn-0.2-0.4": ("95.50", "22.30"),
        "qdsnn-0.6-0.7": ("97.80", "18.70"),
    },
    "lenet-mnist": {
        "ann": ("99.59", "0.49"),
        "dynamic-ann": ("99.54", "0.42"),
        "snn": ("97.76", "45.17"),
        "qsnn": ("93.09", "40.78"),
        "qdsnn-0.2-0.4": ("96.01", "13.77"),
        "qdsnn-0.6-0.7": ("98.24", "13.92"),
    },
    "alexnet-cifar10": {
        "ann": ("89.50", "200.52"),
        "dynamic-ann": ("86.00", "153.42"),
        "snn": ("77.01", "26.06"),
        "qsnn": ("74.30", "0.46"),
        "qdsnn-0.2-0.4": ("64.80", "0.23"),
        "qdsnn-0.6-0.7": ("78.00", "0.27"),
    },
}
TABLE_1: list[Row] = [
    {
        "experiment": experiment,
        "architecture": EXPERIMENTS[experiment][0],
        "variant": variant,
        "dataset": EXPERIMENTS[experiment][1],
        "accuracy": Printed(accuracy),
        "synaptic_ops_m": Printed(ops),
    }
    for experiment, variants in _ACCURACY_AND_OPS.items()
    for variant, (accuracy, ops) in variants.items()
]
"""Table 1: accuracy in percent, synaptic operations in millions (MACs for ANNs, else ACs)."""

_TIME_POWER_ENERGY = {
    "mlp-mnist": {
        "snn": ("95.00", "539.0", "0.080", "43.10"),
        "qsnn": ("94.50", "420.0", "0.005", "2.10"),
        "qdsnn-0.2-0.4": ("95.50", "105.0", "0.009", "0.95"),
        "qdsnn-0.6-0.7": ("97.80", "83.0", "0.012", "0.99"),
    },
    "lenet-mnist": {
        "snn": ("97.76", "552.0", "0.053", "29.26"),
        "qsnn": ("93.09", "70.0", "0.001", "0.07"),
        "qdsnn-0.2-0.4": ("96.01", "159.0", "0.004", "0.58"),
        "qdsnn-0.6-0.7": ("98.24", "162.0", "0.004", "0.58"),
    },
    "alexnet-cifar10": {
        "snn": ("77.01", "1802.0", "0.493", "888.00"),
        "qsnn": ("74.30", "1.7", "1.66", "2.82"),
        "qdsnn-0.2-0.4": ("64.80", "2.5", "1.06", "2.68"),
        "qdsnn-0.6-0.7": ("78.00", "2.2", "1.24", "2.68"),
    },
}
_TABLE_2_COLUMNS = ("accuracy", "time_ms", "power_w", "energy_mj")
TABLE_2: list[Row] = [
    {
        "experiment": experiment,
        "variant": variant,
        **dict(zip(_TABLE_2_COLUMNS, map(Printed, numbers), strict=True)),
    }
    for experiment, variants in _TIME_POWER_ENERGY.items()
    for variant, numbers in variants.items()
]
"""Table 2: accuracy in percent, time in ms, power in W, energy with memory access in mJ."""


def _alexnet_rows(columns: tuple[str, ...], rows: dict[str, tuple[str | None, ...]]) -> list[Row]:
    """Rows of Tables 3 and 4; None where the paper leaves a cell empty."""
    return [
        {"variant": variant}
        | {name: text and Printed(text) for name, text in zip(columns, cells, strict=True)}
        for variant, cells in rows.items()
    ]


TABLE_3 = _alexnet_rows(
    ("synaptic_ops_m", "lif_ops_m", "total_ops_m"),
    {
        "ann": ("200.52", None, "200.52"),
        "snn": ("26.06", "11.53", "37.59"),
        "qsnn": ("0.46", "1.44", "1.90"),
        "qdsnn": ("0.27", "≤7.37", "≤7.64"),
    },
)
"""Table 3: AlexNet's operations in millions."""

TABLE_4 = _alexnet_rows(
    ("synaptic_uj", "lif_uj", "total_uj", "reduction"),
    {
        "ann": ("922.4", None, "922.4", "1"),
        "snn": ("0.78", "5.77", "6.55", "141"),
        "qsnn": ("0.014", "0.72", "0.73", "1264"),
        "qdsnn": ("0.008", "≤3.69", "≤3.70", "≥249"),
    },
)
"""Table 4: AlexNet's arithmetic energy in microjoules and its reduction against the ANN."""

FIGURE_2 = {
    "exit 1": {
        "automobile": Printed("11.4"),
        "truck": Printed("11.0"),
        "frog": Printed("11.0"),
        "airplane": Printed("8.6"),
        "ship": Printed("7.4"),
    },
    "last stage": {"ship": Printed("19.4"), "airplane": Printed("15.0")},
}
"""Figure 2: the class percentages that Section 3.4 quotes, for thresholds 0.6/0.7."""

CONSTANTS_PJ = {
    "mac": Printed("4.6"),
    "ac": Printed("0.03"),
    "decay": Printed("0.9"),
    "compare": Printed("0.1"),
    "byte": Printed("80"),
}
"""Section 2.3: picojoules per operation, and per byte of memory access."""

HOROWITZ_PJ = {
    "int8 add": Printed("0.03"),
    "int32 add": Printed("0.1"),
    "fp32 add": Printed("0.9"),
    "int8 multiply": Printed("0.2"),
    "fp32 multiply": Printed("3.7"),
}
"""Picojoules in 45 nm, from the source the paper names: M. Horowitz, Computing's energy problem
(and what we can do about it), ISSCC 2014, doi:10.1109/ISSCC.2014.6757323."""

HOROWITZ_64_BIT_PJ = {"1 MB cache": 100, "DRAM": 1300}
"""Picojoules of a 64-bit access, from the same source (DRAM: the lower end of its range)."""

TIMESTEPS = {"snn": 32, "qsnn": 4, "qdsnn-0.2-0.4": 4, "qdsnn-0.6-0.7": 4}
"""T by variant (Section 3.1): 32 for baseline SNNs, 4 for quantised ones."""

QDSNN_BOUND_TIMESTEPS = 32
"""T of the QDSNN's upper bounds in Tables 3 and 4."""

ALEXNET_NEURONS = Printed("180234")
"""Spiking neurons of the full SNN and QSNN (Section 3.3)."""


@dataclass(frozen=True)
class Layer:
    """A weight layer's size: MACs for one image, neurons before pooling, parameters with bias."""

    name: str
    macs: int
    neurons: int
    parameters: int


def _conv(name: str, c_in: int, c_out: int, size: int, kernel: int = 3) -> Layer:
    """A square convolution with `size` x `size` outputs (Eq. 6)."""
    weights = kernel * kernel * c_in * c_out
    return Layer(name, weights * size * size, c_out * size * size, weights + c_out)


def _linear(name: str, fan_in: int, fan_out: int) -> Layer:
    """A fully connected layer (Eq. 7 with B = 1)."""
    return Layer(name, fan_in * fan_out, fan_out, fan_in * fan_out + fan_out)


def _chain(*widths: int) -> tuple[Layer, ...]:
    """Fully connected layers of these widths."""
    return tuple(_linear(f"linear {i}", *pair) for i, pair in enumerate(pairwise(widths), 1))


INPUTS = {"mlp-mnist": 28 * 28, "lenet-mnist": 28 * 28, "alexnet-cifar10": 3 * 32 * 32}
"""Input values of one image."""

LAYERS: dict[str, tuple[Layer, ...]] = {
    "mlp-mnist": _chain(784, 512, 256, 128, 64, 10),
    "lenet-mnist": (
        _conv("conv 1", 1, 6, 28, kernel=5),
        _conv("conv 2", 6, 16, 10, kernel=5),
        *_chain(400, 120, 84, 10),
    ),
    "alexnet-cifar10": (
        _conv("conv 1", 3, 64, 32),
        _conv("conv 2", 64, 192, 16),
        _conv("conv 3", 192, 384, 8),
        _conv("conv 4", 384, 256, 8),
        _conv("conv 5", 256, 256, 8),
        *_chain(4096, 4096, 4096, 10),
    ),
}
"""Each network's weight layers: the shapes the paper states, or that its numbers pin down."""


def total(experiment: str, quantity: str) -> int:
    """Sum of a :class:`Layer` quantity ("macs", "neurons", "parameters") over a network."""
    return sum(getattr(layer, quantity) for layer in LAYERS[experiment])


def lookup(table: Iterable[Row], column: str, **where: str) -> Printed:
    """The printed number in `column` of the one row that matches `where`.

    Raises `LookupError`, naming what was asked, if no row or several match or the cell is empty.
    """
    rows = [row for row in table if all(row.get(key) == value for key, value in where.items())]
    if len(rows) != 1 or rows[0].get(column) is None:
        raise LookupError(f"{len(rows)} rows match {where}, or their '{column}' is empty")
    return rows[0][column]
