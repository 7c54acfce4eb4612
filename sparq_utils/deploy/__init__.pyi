from .c_code import c_file, deploy
from .host import Native, Replies, native
from .snntorch_twin import SnnTorchNetwork, to_snntorch
from .toolchain import CompilerError
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
