from .energy import EnergyConstants, MemoryModel, memory_bytes, power_w, sensitivity
from .in_time import equal_accuracy, temporal_variant, trade_off
from .optimum import Objective, Optimum, exact_optimum
from .policies import (
    BIN_EDGES,
    choose_thresholds,
    leave_at_thresholds,
    leave_by_table,
    oracle,
    outcome,
    pareto_front,
    sweep_thresholds,
)
from .qlearning import Learned, Learning, learn
from .trace import COUNTS, ExitTrace, MeasuredOn, TraceError, load_trace, save_trace

__all__ = [
    "BIN_EDGES",
    "COUNTS",
    "EnergyConstants",
    "ExitTrace",
    "Learned",
    "Learning",
    "MeasuredOn",
    "MemoryModel",
    "Objective",
    "Optimum",
    "TraceError",
    "choose_thresholds",
    "equal_accuracy",
    "exact_optimum",
    "learn",
    "leave_at_thresholds",
    "leave_by_table",
    "load_trace",
    "memory_bytes",
    "oracle",
    "outcome",
    "pareto_front",
    "power_w",
    "save_trace",
    "sensitivity",
    "sweep_thresholds",
    "temporal_variant",
    "trade_off",
]
