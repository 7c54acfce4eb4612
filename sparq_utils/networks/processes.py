"""Work shared out among the processes that a launcher started, and all of it back."""

import os
import warnings
from collections.abc import Callable
from typing import Protocol

import torch
from accelerate import PartialState
from accelerate.utils import gather_object, parse_flag_from_env


class Processes(Protocol):
    """What Accelerate's `PartialState` and `Accelerator` say of the processes there are."""

    process_index: int
    num_processes: int


def on_cpu() -> bool:
    """Whether to work on the CPU: because one is told to, or because there is nothing else."""
    return parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()


def all_processes() -> PartialState:
    """The processes that torchrun or `accelerate launch` started, or this one alone.

    Warns where the launcher was asked for several and started one.
    """
    processes = PartialState(cpu=on_cpu())
    # so Accelerate leaves the environment of a process that was to have company
    wanted = {"MASTER_ADDR", "ACCELERATE_MIXED_PRECISION"} <= set(os.environ)
    if wanted and "WORLD_SIZE" not in os.environ:
        warnings.warn(
            "accelerate launch was asked for several processes and started this one alone, as it "
            "does on CPUs: use torchrun --nproc_per_node, or accelerate launch --multi_gpu",
            stacklevel=2,
        )
    return processes


def share(processes: Processes | None) -> Callable[[int], bool]:
    """Whether a batch of this number is for this process; all are where there is only one."""
    if processes is None:
        return lambda number: True
    return lambda number: number % processes.num_processes == processes.process_index


def gathered(found: list, processes: Processes | None) -> list:
    """What all processes found, in every one of them; none may be left out, or the rest wait."""
    if processes is None or processes.num_processes == 1:
        return found
    return gather_object(found)
