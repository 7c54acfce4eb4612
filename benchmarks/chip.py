"""What the C file costs on an emulated Cortex-M, and whether it answers as the recorded networks.

python -m benchmarks.chip                   MLP and LeNet-5: results/chip.json, anew
python -m benchmarks.chip alexnet-cifar10 --agreement 1000 --emulated 0    adds AlexNet's agreement
"""

import argparse
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from sparq_utils.deploy.cortex import Cortex
from sparq_utils.deploy.host import native
from sparq_utils.files import read_json, write_json
from sparq_utils.reference import read
from sparq_utils.results.files import load, results_dir, seeds, trace_path

THRESHOLDS = (0.6, 0.7)
KERNELS = {"event-driven": (), "dense": ("-DDENSE",)}
VARIANTS = ("qdsnn", "qdann")


def network_path(experiment: str, variant: str, seed: int) -> Path:
    """Where a recorded INT8 network lies, there or not."""
    return trace_path(experiment, "qdsnn", seed=seed).with_name(f"{variant}.safetensors")


def agreement(experiment: str, variant: str, seed: int, pixels: np.ndarray) -> dict:
    """How the C file, built for this machine, differs from the recorded trace."""
    trace = load(experiment, variant, seed=seed)
    built, count = native(read(network_path(experiment, variant, seed))), len(pixels)
    sure = trace.confidence[:-1, :count] >= np.array(THRESHOLDS)[:, None]
    leaving = np.vstack([sure, np.ones((1, count), bool)]).argmax(0)
    found = {"images": count, "exits": 0, "predictions": 0, "confidence": 0.0, "logits": 0.0}
    for thresholds, at in ((THRESHOLDS, leaving), (None, np.full(count, trace.exits - 1))):
        replies, here = built(pixels, thresholds), (at, np.arange(count))
        found["exits"] += int((replies.exit != at).sum())
        found["predictions"] += int((replies.prediction != trace.prediction[here]).sum())
        apart = np.abs(replies.confidence - trace.confidence[here]).max()
        found["confidence"] = max(found["confidence"], float(apart))
        if trace.logits is not None:
            scale = np.ones(trace.exits) if trace.logit_scale is None else trace.logit_scale
            recorded = trace.logits[here] * scale[at][:, None]
            apart = np.abs(replies.logits - recorded).max()
            found["logits"] = max(found["logits"], float(apart))
    return found


def whole_numbers(experiment: str, variant: str, pixels: np.ndarray) -> dict:
    """Accuracy of the form in whole numbers beside the recorded one, at thresholds and in full."""
    trace, count = load(experiment, variant), len(pixels)
    built = native(read(network_path(experiment, variant, 0)), whole=True)
    sure = trace.confidence[:-1, :count] >= np.array(THRESHOLDS)[:, None]
    leaving = np.vstack([sure, np.ones((1, count), bool)]).argmax(0)
    found = {"images": count}
    for name, thresholds, at in (
        ("thresholds", THRESHOLDS, leaving),
        ("full", None, np.full(count, trace.exits - 1)),
    ):
        right = built(pixels, thresholds).prediction == trace.labels[:count]
        recorded = trace.prediction[at, np.arange(count)] == trace.labels[:count]
        found[name] = {"whole": float(right.mean()), "eight bits": float(recorded.mean())}
    return found


def emulated(network: dict, pixels: np.ndarray, watched: int = 0, **how) -> dict:
    """What images cost on the emulated core: at thresholds, and through the whole network.

    Memory accesses are counted for the first `watched` of them.
    """
    core = Cortex(network, **how)
    early, full = core(pixels, THRESHOLDS), core(pixels)
    few = core(pixels[:watched], accesses=True) if watched else None
    layers = {name: float(count.mean()) for name, count in full.by_layer.items()}
    return {
        "images": len(pixels),
        "flash_bytes": core.flash_bytes,
        "ram_bytes": core.ram_bytes,
        "stack_bytes": full.stack_bytes,
        "layers": layers,
        "instructions": {
            "thresholds": float(early.instructions.mean()),
            "full": float(full.instructions.mean()),
        },
        "first_images": full.instructions[:2].tolist(),
        "accesses": {
            f"{name} {region}": float(count.mean())
            for name, counts in (("read", few.reads), ("written", few.writes))
            for region, count in counts.items()
        }
        if few
        else {},
    }


def measure(experiment: str, pixels: np.ndarray, emulate: int, agree: int) -> dict:
    """Everything about one experiment; variants that are not recorded are missing."""
    found: dict = {"agreement": {}, "whole numbers": {}, "emulated": {}}
    for variant in VARIANTS:
        for seed in seeds(experiment) if agree else ():
            if network_path(experiment, variant, seed).is_file():
                name = f"{variant} seed {seed}"
                found["agreement"][name] = agreement(experiment, variant, seed, pixels[:agree])
        path = network_path(experiment, variant, 0)
        if agree and emulate and path.is_file():
            accuracies = whole_numbers(experiment, variant, pixels[:agree])
            found["whole numbers"][variant] = accuracies
        for kernels, flags in KERNELS.items() if emulate and path.is_file() else ():
            name = f"{variant} {kernels}"
            found["emulated"][name] = emulated(read(path), pixels[:emulate], 2, flags=flags)
        if emulate and path.is_file():
            name = f"{variant} whole numbers"
            found["emulated"][name] = emulated(read(path), pixels[:emulate], whole=True)
            found["emulated"][f"{name}, cortex-m0+"] = emulated(
                read(path), pixels[:emulate], whole=True, core="cortex-m0+"
            )
    return found


def write(found: dict[str, dict]) -> Path:
    """Add what was found, by experiment, to what stands in results/chip.json."""
    path = results_dir() / "chip.json"
    content = read_json(path) if path.is_file() else {}
    for experiment, parts in found.items():
        entry = content.setdefault(experiment, {})
        for part, values in parts.items():
            entry.setdefault(part, {}).update(values)
    tools = {name: version(name) for name in ("ziglang", "unicorn")}
    content["measured_on"] = {"thresholds": THRESHOLDS, **tools}
    write_json(path, content)
    return path


def main(given: Sequence[str] | None = None) -> None:
    """Measure and write."""
    from sparq_utils.data import load as load_data
    from sparq_utils.experiments import EXPERIMENTS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiments", nargs="*", default=["mlp-mnist", "lenet-mnist"])
    parser.add_argument("--emulated", type=int, default=200, help="images on the emulated core")
    parser.add_argument("--agreement", type=int, default=10_000, help="images on this machine")
    chosen = parser.parse_args(given)
    for experiment in chosen.experiments:
        pixels = load_data(EXPERIMENTS[experiment].data).test.pixels.numpy()
        found = measure(experiment, pixels, chosen.emulated, chosen.agreement)
        print(f"{experiment}: {write({experiment: found})}")


if __name__ == "__main__":
    main()
