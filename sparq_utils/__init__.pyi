from .data import Images, Splits, load
from .networks.conversion import ClipFloorShift, convert
from .networks.early_exit import EarlyExitNetwork
from .networks.inference import staged_inference
from .networks.int8 import load_int8, save_int8
from .networks.quantization import quantize_aware, to_int8
from .networks.recording import record
from .networks.training import Recipe, accuracy, train
from .traces.company import fit_company, in_company
from .traces.energy import energy
from .traces.policies import Thresholds, outcome
from .traces.qlearning import learn
from .traces.sweeps import choose_thresholds
from .traces.trace import load_trace, save_trace

__all__ = [
    "ClipFloorShift",
    "EarlyExitNetwork",
    "Images",
    "Recipe",
    "Splits",
    "Thresholds",
    "accuracy",
    "choose_thresholds",
    "convert",
    "energy",
    "fit_company",
    "in_company",
    "learn",
    "load",
    "load_int8",
    "load_trace",
    "outcome",
    "quantize_aware",
    "record",
    "save_int8",
    "save_trace",
    "staged_inference",
    "to_int8",
    "train",
]

__version__: str
