from .agents import spread_of_agents
from .company import fit_company, in_company
from .energy import EnergyConstants, MemoryModel, memory_bytes, power_w, sensitivity
from .energy_models import ENERGY_MODELS
from .hierarchy import Hierarchy
from .in_time import equal_accuracy, temporal_variant, threshold_curve
from .microcontrollers import NRF52840, Microcontroller, cycles_between
from .optimum import Objective, Optimum, exact_optimum, reward_bound
from .policies import BIN_EDGES, LastExit, Oracle, Policy, Table, Thresholds, outcome
from .qlearning import Learned, Learning, learn
from .rivals import BreakEven, break_even, spike_rate
from .states import runner_up, with_runner_up
from .sweeps import choose_thresholds, pareto_front, sweep_thresholds, thresholds_within
from .trace import COUNTS, ExitTrace, MeasuredOn, TraceError, load_trace, save_trace

__all__ = [
    "BIN_EDGES",
    "COUNTS",
    "ENERGY_MODELS",
    "NRF52840",
    "BreakEven",
    "EnergyConstants",
    "ExitTrace",
    "Hierarchy",
    "LastExit",
    "Learned",
    "Learning",
    "MeasuredOn",
    "MemoryModel",
    "Microcontroller",
    "Objective",
    "Optimum",
    "Oracle",
    "Policy",
    "Table",
    "Thresholds",
    "TraceError",
    "break_even",
    "choose_thresholds",
    "cycles_between",
    "equal_accuracy",
    "exact_optimum",
    "fit_company",
    "in_company",
    "learn",
    "load_trace",
    "memory_bytes",
    "outcome",
    "pareto_front",
    "power_w",
    "reward_bound",
    "runner_up",
    "save_trace",
    "sensitivity",
    "spike_rate",
    "spread_of_agents",
    "sweep_thresholds",
    "temporal_variant",
    "threshold_curve",
    "thresholds_within",
    "with_runner_up",
]
