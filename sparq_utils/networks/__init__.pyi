from .activations import ClipFloorShift
from .agreement import Agreement, neuron_agreement
from .architectures import NETWORKS, alexnet, lenet5, mlp, resnet20
from .conversion import convert, fold_batch_norm
from .counting import LayerCounts, SpikeCounter, count_layers, macs_to_exits, static_counts
from .early_exit import EarlyExitNetwork
from .encoding import ENCODERS, Direct, Latency, Rate
from .fastest import optimize_for_inference
from .heads import exit_head
from .inference import Answers, staged_inference
from .int8 import export_int8, load_int8, save_int8
from .levels import LevelActivation
from .losses import joint_loss
from .normalization import Normalize
from .pooling import AveragePool
from .quantization import calibrate, quantize_aware, size_bytes, to_int8
from .recipe import Recipe
from .recording import record
from .recording_in_time import record_temporal
from .residual import IdentitySynapse, Residual
from .scoring import accuracy
from .spiking import LIF, fast_sigmoid, integrate, triangular
from .training import train
from .watching import layers_by_name, watch
from .wiring import dense_macs, exact_macs, fan_out, synapses

__all__ = [
    "ENCODERS",
    "LIF",
    "NETWORKS",
    "Agreement",
    "Answers",
    "AveragePool",
    "ClipFloorShift",
    "Direct",
    "EarlyExitNetwork",
    "IdentitySynapse",
    "Latency",
    "LayerCounts",
    "LevelActivation",
    "Normalize",
    "Rate",
    "Recipe",
    "Residual",
    "SpikeCounter",
    "accuracy",
    "alexnet",
    "calibrate",
    "convert",
    "count_layers",
    "dense_macs",
    "exact_macs",
    "exit_head",
    "export_int8",
    "fan_out",
    "fast_sigmoid",
    "fold_batch_norm",
    "integrate",
    "joint_loss",
    "layers_by_name",
    "lenet5",
    "load_int8",
    "macs_to_exits",
    "mlp",
    "neuron_agreement",
    "optimize_for_inference",
    "quantize_aware",
    "record",
    "record_temporal",
    "resnet20",
    "save_int8",
    "size_bytes",
    "staged_inference",
    "static_counts",
    "synapses",
    "to_int8",
    "train",
    "triangular",
    "watch",
]
