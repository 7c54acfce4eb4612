"""What the C file cost on an emulated core, as `python -m benchmarks.chip` recorded it."""

from collections.abc import Mapping

import numpy as np

from sparq_utils.files import read_json
from sparq_utils.results.files import NotRecordedError, results_dir


def on_chip(experiment: str) -> dict:
    """The recording of one experiment: "emulated", "agreement", "whole numbers", each by file.

    Raises :class:`NotRecordedError` where there is none.
    """
    path = results_dir() / "chip.json"
    found = read_json(path) if path.is_file() else {}
    if experiment not in found:
        raise NotRecordedError(
            f"no {experiment} is recorded on the chip; python -m benchmarks.chip does it"
        )
    return found[experiment]


def per_part(layers: Mapping[str, float]) -> dict[str, float]:
    """Instructions of each stage and head, out of those of each layer, in order of evaluation."""
    sums: dict[str, float] = {}
    for name, count in layers.items():
        part = name.partition("_")[0]
        sums[part] = sums.get(part, 0) + count
    return sums


def until_exit(layers: Mapping[str, float]) -> np.ndarray:
    """Instructions until each exit has answered, heads on the way included: float64 [exits]."""
    parts = per_part(layers)
    exits = range(sum(part.startswith("head") for part in parts))
    return np.cumsum([parts[f"stage{e}"] + parts[f"head{e}"] for e in exits], dtype=float)
