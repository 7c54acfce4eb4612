from .graph import to_graph, to_onnx
from .snntorch_twin import SnnTorchNetwork, to_snntorch

__all__ = [
    "SnnTorchNetwork",
    "to_graph",
    "to_onnx",
    "to_snntorch",
]
