from .c_code import c_file, deploy
from .cortex import CompilerError
from .graph import to_graph, to_onnx
from .host import Native, Replies, native
from .neuromorphic import to_nir
from .snntorch_twin import SnnTorchNetwork, to_snntorch
from .web import wasm

__all__ = [
    "CompilerError",
    "Native",
    "Replies",
    "SnnTorchNetwork",
    "c_file",
    "deploy",
    "native",
    "to_graph",
    "to_nir",
    "to_onnx",
    "to_snntorch",
    "wasm",
]
