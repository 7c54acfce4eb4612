"""What the C file costs on an emulated Cortex-M and on this machine, and whether it answers right.

python -m benchmarks.chip                   MLP and LeNet-5: results/chip.json, anew
python -m benchmarks.chip alexnet-cifar10 --agreement 1000 --emulated 0 --seconds 0
                                            adds AlexNet's agreement with its trace
"""

import argparse
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.timing import Case, Contest, run
from sparq_utils.deploy import constants, layout
from sparq_utils.deploy.cortex import Cortex
from sparq_utils.deploy.host import native
from sparq_utils.files import read_json, write_json
from sparq_utils.reference import read
from sparq_utils.results.files import load, results_dir, seeds, trace_path

THRESHOLDS = (0.6, 0.7)
KERNELS = {"event-driven": False, "dense": True}
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


def measure(experiment: str, pixels: np.ndarray, emulate: int, agree: int, seconds: float) -> dict:
    """Everything about one experiment; variants that are not recorded are missing."""
    found: dict = {"agreement": {}, "whole numbers": {}, "emulated": {}, "steps": {}, "speed": {}}
    for variant in VARIANTS:
        for seed in seeds(experiment) if agree else ():
            if network_path(experiment, variant, seed).is_file():
                name = f"{variant} seed {seed}"
                found["agreement"][name] = agreement(experiment, variant, seed, pixels[:agree])
        path = network_path(experiment, variant, 0)
        if agree and emulate and path.is_file():
            accuracies = whole_numbers(experiment, variant, pixels[:agree])
            found["whole numbers"][variant] = accuracies
        for kernels, dense in KERNELS.items() if emulate and path.is_file() else ():
            name = f"{variant} {kernels}"
            found["emulated"][name] = emulated(read(path), pixels[:emulate], 2, dense=dense)
        if emulate and path.is_file():
            name = f"{variant} whole numbers"
            found["emulated"][name] = emulated(read(path), pixels[:emulate], whole=True)
            found["emulated"][f"{name}, cortex-m0+"] = emulated(
                read(path), pixels[:emulate], whole=True, core="cortex-m0+"
            )
        if emulate and path.is_file():
            found["steps"][variant] = steps(read(path), pixels[: min(emulate, STEP_IMAGES)])
        if seconds and variant == "qdsnn":
            found["speed"] = speed(experiment, pixels[:100], seconds)
    return found


def steps(network: dict, pixels: np.ndarray) -> list[dict]:
    """What each idea of the kernels saves: instructions, one idea after the other in use."""
    found = []
    for number, step in enumerate(STEPS):
        with ExitStack() as without:
            flags = []
            for later in STEPS.values() if number == 0 else list(STEPS.values())[number + 1 :]:
                if isinstance(later, str):
                    flags.append(later)
                else:
                    for place, name, value in later:
                        without.enter_context(patch.object(place, name, value))
            core = Cortex(network, dense=number == 0, flags=flags)
        early, full = core(pixels, THRESHOLDS), core(pixels)
        counts = {"thresholds": early, "full": full}
        counts = {name: float(runs.instructions.mean()) for name, runs in counts.items()}
        found.append({"step": step, "images": len(pixels), "instructions": counts})
    return found


STEP_IMAGES = 20
"""Images that the ideas are compared on, one by one."""

STEPS: dict = {
    "every weight met": (),
    "only what arrives": (),
    "two half words at once": "-DPLAIN",
    "who fires at every step says so once": "-DUNSTEADY",
    "a window that sees nothing is copied": "-DRESTLESS",
    "positions side by side share a window": ((layout, "GROUPED", 1),),
    "levels and potentials in whole numbers": (
        (constants, "whole_levels", lambda *_: None),
        (constants, "spike_bounds", lambda *_: None),
    ),
}
"""Ideas of the kernels, and how to do without: a flag of the C file, or patches of its writer."""


def speed(experiment: str, pixels: np.ndarray, seconds: float) -> dict:
    """One image at a time, one thread: the peer's time over the C file's, by peer."""
    from sparq_utils.deploy import to_snntorch
    from sparq_utils.networks.inference import staged_inference
    from sparq_utils.networks.int8 import load_int8

    path = network_path(experiment, "qdsnn", 0)
    built, network = native(read(path)), load_int8(path).eval()
    twin = to_snntorch(network).eval()
    bytes_each = [pixels[i : i + 1] for i in range(len(pixels))]
    floats_each = (torch.from_numpy(pixels).float() / 255).split(1)

    def here(thresholds: Sequence[float] | None) -> Callable[[], np.ndarray]:
        return lambda: np.array([built(x, thresholds).prediction[0] for x in bytes_each])

    def staged() -> np.ndarray:
        told = [staged_inference(network, x, THRESHOLDS) for x in floats_each]
        return np.array([int(one.prediction[0]) for one in told])

    @torch.no_grad()
    def stepwise() -> np.ndarray:
        return np.array([int(twin(x)[-1].argmax()) for x in floats_each])

    def check(ours: np.ndarray, theirs: np.ndarray) -> None:
        assert (ours == theirs).mean() >= 0.97, "the peer gives other answers"

    rows, threads = {}, torch.get_num_threads()
    torch.set_num_threads(1)
    told = machine()
    try:
        for peer, way in {"PyTorch, staged": staged, "snnTorch, step loop": stepwise}.items():
            case = Case(experiment, peer, 1, lambda way=way: Contest(here(THRESHOLDS), way, check))
            row = asdict(run(case, seconds))
            per_image = {key: row[key] / len(pixels) for key in ("ours_ms", "peer_ms")}
            rows[peer] = {key: row[key] for key in ("ratio", "low", "high")} | per_image
    finally:
        torch.set_num_threads(threads)
    return {"machine": told, "images": len(pixels), "peers": rows}


def machine() -> str:
    """This machine in words."""
    from sparq_utils.networks.machine import made_on

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return ", ".join([*names[:1], made_on()])


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
    parser.add_argument("--seconds", type=float, default=20, help="of timing for each peer")
    chosen = parser.parse_args(given)
    for experiment in chosen.experiments:
        pixels = load_data(EXPERIMENTS[experiment].data).test.pixels.numpy()
        found = measure(experiment, pixels, chosen.emulated, chosen.agreement,
                        chosen.seconds)  # fmt: skip
        print(f"{experiment}: {write({experiment: found})}")


if __name__ == "__main__":
    main()
