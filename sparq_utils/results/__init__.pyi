from .chip import on_chip, per_part, until_exit
from .files import (
    BEYOND,
    EXPERIMENTS,
    SPLITS,
    NotRecordedError,
    ResultsError,
    load,
    recorded,
    results_dir,
    seeds,
    trace_path,
)
from .opponents import beside_opponent, opponents_table, winners
from .rows import Row, as_dicts, beside_paper, collect, row
from .tables import network_label, table_1, table_2, table_3, table_4
from .variants import LABELS, ROWS, Variant

__all__ = [
    "BEYOND",
    "EXPERIMENTS",
    "LABELS",
    "ROWS",
    "SPLITS",
    "NotRecordedError",
    "ResultsError",
    "Row",
    "Variant",
    "as_dicts",
    "beside_opponent",
    "beside_paper",
    "collect",
    "load",
    "network_label",
    "on_chip",
    "opponents_table",
    "per_part",
    "recorded",
    "results_dir",
    "row",
    "seeds",
    "table_1",
    "table_2",
    "table_3",
    "table_4",
    "trace_path",
    "until_exit",
    "winners",
]
