from .chip import on_chip, per_part, until_exit
from .files import (
    BEYOND,
    EXPERIMENTS,
    SPLITS,
    TITLES,
    NotRecordedError,
    ResultsError,
    load,
    recorded,
    results_dir,
    seeds,
    trace_path,
)
from .notes import Conversion, Silence, conversion, exit_training, silence, training_notes
from .opponents import beside_opponent, opponents_table, winners
from .rows import Row, as_dicts, beside_paper, collect, row
from .tables import accuracy_text, network_label, table_1, table_2, table_3, table_4
from .variants import LABELS, ROWS, Variant

__all__ = [
    "BEYOND",
    "EXPERIMENTS",
    "LABELS",
    "ROWS",
    "SPLITS",
    "TITLES",
    "Conversion",
    "NotRecordedError",
    "ResultsError",
    "Row",
    "Silence",
    "Variant",
    "accuracy_text",
    "as_dicts",
    "beside_opponent",
    "beside_paper",
    "collect",
    "conversion",
    "exit_training",
    "load",
    "network_label",
    "on_chip",
    "opponents_table",
    "per_part",
    "recorded",
    "results_dir",
    "row",
    "seeds",
    "silence",
    "table_1",
    "table_2",
    "table_3",
    "table_4",
    "trace_path",
    "training_notes",
    "until_exit",
    "winners",
]
