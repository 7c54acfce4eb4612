from .audit import audit_counts, audit_report, audit_rows
from .evidence import Finding, Printed, Rounded
from .printed import (
    CITATION,
    EXPERIMENTS,
    FIGURE_2,
    LAYERS,
    TABLE_1,
    TABLE_2,
    TABLE_3,
    TABLE_4,
    TIMESTEPS,
    lookup,
    total,
)

__all__ = [
    "CITATION",
    "EXPERIMENTS",
    "FIGURE_2",
    "LAYERS",
    "TABLE_1",
    "TABLE_2",
    "TABLE_3",
    "TABLE_4",
    "TIMESTEPS",
    "Finding",
    "Printed",
    "Rounded",
    "audit_counts",
    "audit_report",
    "audit_rows",
    "lookup",
    "total",
]
