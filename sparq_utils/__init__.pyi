from .data import Images, Splits, load
from .deploy.graph import to_onnx
from .deploy.neuromorphic import to_nir
from .deploy.snntorch_twin import to_snntorch
from .networks.conversion import ClipFloorShift, convert
from .networks.early_exit import EarlyExitNetwork
from .networks.inference import staged_inference
from .networks.int8 import load_int8, save_int8
from .networks.quantization import quantize_aware, to_int8
from .networks.recipe import Recipe
from .networks.recording import record
from .networks.scoring import accuracy
from .networks.training import train
from .traces.company import fit_company, in_company
from .traces.energy import energy
from .traces.hierarchy import Hierarchy
from .traces.policies import Thresholds, outcome
from .traces.qlearning import learn
from .traces.sweeps import choose_thresholds
from .traces.trace import load_trace, save_trace

__all__ = [
    "ClipFloorShift",
    "EarlyExitNetwork",
    "Hierarchy",
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
    "to_nir",
    "to_onnx",
    "to_snntorch",
    "train",
]

__version__: str
