"""What the last bits of a result depend on beside its recipe: the machine, as it was set."""

import os

import torch
from torch import nn

from sparq_utils.networks.shapes import device_of

FEATURES = ("avx2", "avx512_f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
"""Of a processor: what decides which kernels run, and so in which order sums are rounded."""

VARIABLES = ("ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA",
             "DNNL_DEFAULT_FPMATH_MODE", "ONEDNN_DEFAULT_FPMATH_MODE")  # fmt: skip
"""Of the environment: what chooses other kernels."""


def made_on(network: nn.Module | None = None, processes: int = 1) -> str:
    """Device, processor features, threads, precision of products and torch, for a record.

    Such as "CPU AVX512 (avx2, avx512_f), 2 threads, products in highest precision, torch 2.15.0".
    """
    device = torch.device("cpu") if network is None else device_of(network)
    if device.type == "cpu":
        has = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        features = ", ".join(name for name in FEATURES if has.get(name))
        name = f"CPU {torch.backends.cpu.get_cpu_capability()}"
        name += f" ({features})" if features else ""
    else:
        name = f"{device.type.upper()} {torch.cuda.get_device_name(device)}"
    threads = torch.get_num_threads()
    parts = [
        name,
        *([f"{processes} processes"] if processes > 1 else []),
        f"{threads} thread{'s' if threads > 1 else ''}",
        f"products in {torch.get_float32_matmul_precision()} precision",
        f"torch {torch.__version__}",
        *(f"{key}={os.environ[key]}" for key in VARIABLES if key in os.environ),
    ]
    return ", ".join(parts)
