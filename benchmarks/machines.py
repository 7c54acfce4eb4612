"""Timings of whole runs among the results: one of every kind of machine, none over another."""

from pathlib import Path

import torch

from sparq_utils import __version__
from sparq_utils.files import read_json, write_json
from sparq_utils.networks.machine import made_on
from sparq_utils.results.files import results_dir

KINDS = ("with matrix units", "without matrix units")
"""What decides how fast products can be: instructions for whole matrices, or for vectors alone."""

MATRIX_UNITS = ("amx_int8", "amx_bf16", "sme", "sme2")


def kind() -> str:
    """The kind of the machine at hand."""
    has = getattr(torch.cpu, "get_capabilities", dict)()
    return KINDS[0] if any(has.get(name) for name in MATRIX_UNITS) else KINDS[1]


def keep(rows: list[dict], growth: list[dict], path: Path | None = None) -> Path:
    """Write a run to results/bench.json in the place of the last one of its kind; gives the path.

    The file holds {machine, package, rows, growth} by kind of machine.
    """
    path = path or results_dir() / "bench.json"
    kept = read_json(path) if path.is_file() else {}
    kept[kind()] = {"machine": made_on(), "package": __version__, "rows": rows, "growth": growth}
    write_json(path, {name: kept[name] for name in KINDS if name in kept})
    return path
