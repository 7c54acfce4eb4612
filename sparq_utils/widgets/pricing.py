"""What explorers sum and price, as JavaScript does, and the paper's points beside ours."""

from collections.abc import Mapping

import numpy as np

from sparq_utils.paper import printed as paper
from sparq_utils.traces.energy import PRICED, EnergyConstants, MemoryModel, operations
from sparq_utils.traces.trace import ExitTrace

SUMMED = {"macs": "mac_j", "acs": "ac_j", "updates": "decay_j", "bits": "byte_j"}
"""What is summed over samples, and the constant whose count it is (bits: eight to a byte)."""


def joules(constants: EnergyConstants) -> dict[str, float]:
    """Energy constants as JavaScript reads them: joules by name."""
    return {name: getattr(constants, name) for name in PRICED}


def countable(trace: ExitTrace, memory: MemoryModel | str, convention: str) -> dict:
    """What the explorers sum, as whole numbers: float64-exact int64 [exits, samples | 1]."""
    counts = operations(trace, memory, convention)
    whole = {}
    for name, constant in SUMMED.items():
        count = np.asarray(counts[constant]) * (8 if name == "bits" else 1)
        if (count == count[:, :1]).all():
            count = count[:, :1]  # [exits, 1]: the same for every sample
        whole[name] = np.rint(count).astype(np.int64)
    return whole


def totals(counts: Mapping[str, np.ndarray], leaving: np.ndarray) -> dict[str, int]:
    """Whole-number totals over all samples that leave at exit `leaving` [samples]."""
    shape = (len(next(iter(counts.values()))), leaving.size)
    samples = np.arange(leaving.size)
    return {
        name: int(np.broadcast_to(count, shape)[leaving, samples].sum())
        for name, count in counts.items()
    }


def energy_parts_j(sums: Mapping[str, int], price: Mapping[str, float], samples: int) -> dict:
    """Modelled joules an image out of totals (Eq. 3-5), in the order policy.js adds them."""
    macs, acs, updates, bits = (sums[name] for name in SUMMED)
    return {
        "synaptic": (macs * price["mac_j"] + acs * price["ac_j"]) / samples,
        "lif": (updates * price["decay_j"] + updates * price["compare_j"]) / samples,
        "memory": (bits / 8) * price["byte_j"] / samples,
    }


def spoken_variant(variant: str) -> str:
    """A variant's name for people: "qdsnn-0.6-0.7" is "QDSNN 0.6/0.7"."""
    kind, _, rest = variant.removeprefix("dynamic-").partition("-")
    dynamic = "dynamic " if variant.startswith("dynamic-") else ""
    return f"{dynamic}{kind.upper()} {rest.replace('-', '/')}".strip()


def paper_points(experiment: str) -> list[dict]:
    """The paper's Tables 1 and 2 for one experiment: accuracy (percent), operations, joules."""
    energy = {r["variant"]: r["energy_mj"] for r in paper.TABLE_2 if r["experiment"] == experiment}
    return [
        {
            "name": f"Paper: {spoken_variant(row['variant'])}",
            "accuracy": float(row["accuracy"]),
            "synaptic_ops": float(row["synaptic_ops_m"]) * 1e6,
            "energy_j": float(energy[row["variant"]]) * 1e-3 if row["variant"] in energy else None,
        }
        for row in paper.TABLE_1
        if row["experiment"] == experiment
    ]
