from .c_code import c_file, deploy
from .cortex import CompilerError
from .host import Native, Replies, native
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
    "to_snntorch",
    "wasm",
]
