from .files import EXPERIMENTS, ROWS, ResultsError, load, recorded, results_dir, seeds, trace_path
from .rows import Measured, as_dicts, beside_paper, collect, row
from .tables import LABELS, network_label, table_1, table_2, table_3, table_4

__all__ = [
    "EXPERIMENTS",
    "LABELS",
    "ROWS",
    "Measured",
    "ResultsError",
    "as_dicts",
    "beside_paper",
    "collect",
    "load",
    "network_label",
    "recorded",
    "results_dir",
    "row",
    "seeds",
    "table_1",
    "table_2",
    "table_3",
    "table_4",
    "trace_path",
]
