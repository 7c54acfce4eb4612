from .snntorch_twin import SnnTorchNetwork, to_snntorch

__all__ = [
    "SnnTorchNetwork",
    "to_snntorch",
]
