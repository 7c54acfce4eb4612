from .comparison import compare
from .steps import run, run_seed
from .variants import load_ann, network_of, new_network
from .verification import bind, verify

__all__ = [
    "bind",
    "compare",
    "load_ann",
    "network_of",
    "new_network",
    "run",
    "run_seed",
    "verify",
]
