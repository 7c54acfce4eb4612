"""What the first seed alone compares: ways to convert, and penalties on spikes."""

from dataclasses import replace
from functools import partial

from sparq_utils.files import write_json
from sparq_utils.networks.conversion import convert
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.quantization import to_int8
from sparq_utils.networks.scoring import accuracy
from sparq_utils.pipeline.seed import Seed
from sparq_utils.pipeline.variants import SPARSE, load_ann, network_of, recorder_of
from sparq_utils.results.manifest import CONVERSIONS, PENALTIES

CONVERSION_TIMESTEPS = (1, 2, 4, 8, 16, 32, 64)


def compare_conversions(run: Seed) -> None:
    """Accuracy against T for each way to convert, on the first test images; to a JSON file."""
    path = run.folder / CONVERSIONS
    run.check(CONVERSIONS)
    if path.is_file():
        return
    ann = load_ann(run.folder / "ann.safetensors", run.experiment, run.profile.levels)
    images = run.splits.test.take(run.profile.conversions)
    calibration = run.splits.train.floats(slice(0, 500))
    ways = {
        "weight copy": {"threshold": "copy"},
        "percentile balancing": {"threshold": "percentile"},
        "clip-floor-shift": {"threshold": "clip-floor-shift"},
        "clip-floor-shift, beta 0.95": {"threshold": "clip-floor-shift", "beta": 0.95},
        "clip-floor-shift, rate-coded": {"threshold": "clip-floor-shift", "encoding": "rate"},
    }
    methods: dict[str, dict[int, float]] = {}
    for way, settings in ways.items():
        methods[way] = {}
        for timesteps in CONVERSION_TIMESTEPS:
            snn = convert(ann, calibration, timesteps, **settings).without_exits()
            batch_size = max(5, 1000 // timesteps)
            right = accuracy(snn, images, batch_size, processes=run.processes)
            methods[way][timesteps] = right[0]
    found = {
        "experiment": run.experiment.name,
        "seed": run.seed,
        "data": images.provenance,
        "images": len(images),
        "ann_accuracy": accuracy(ann, images, processes=run.processes)[-1],
        "methods": methods,
    }
    run.keep(CONVERSIONS, partial(write_json, content=found))


def compare_penalties(run: Seed) -> None:
    """Accuracy and spikes on validation images for each penalty on spikes; to a JSON file.

    Each penalty's network starts from the recorded INT8 one and is fine-tuned by the same recipe.
    `points` hold, by exit, the `accuracy` and the `spike_rate` (per neuron and timestep, up to
    that exit); the first one, of penalty None, is where they start.
    """
    run.check(PENALTIES)
    if (run.folder / PENALTIES).is_file():
        return
    points = []
    for penalty in (None, *run.profile.penalties):
        network = _with_penalty(run, penalty)
        recorder = recorder_of(SPARSE, network.timesteps)
        trace = run.recorded(recorder, network, run.splits.validation)
        rate = trace.count("spikes") / trace.count("lif_updates")  # [exits, images]
        right, spikes = trace.correct.mean(1).tolist(), rate.mean(1).tolist()
        points.append({"penalty": penalty, "accuracy": right, "spike_rate": spikes})
    found = {
        "experiment": run.experiment.name,
        "seed": run.seed,
        "data": run.splits.validation.provenance,
        "split": "validation",
        "images": len(run.splits.validation),
        "chosen": run.profile.silence.spike_penalty,
        "points": points,
    }
    run.keep(PENALTIES, partial(write_json, content=found))


def _with_penalty(run: Seed, penalty: float | None) -> EarlyExitNetwork:
    """The INT8 network that a penalty leads to; None: the one that all start from."""
    chosen = run.profile.silence
    if penalty in (None, chosen.spike_penalty):
        variant = "qdsnn" if penalty is None else SPARSE
        return network_of(variant, run.experiment, run.folder, run.profile.levels)
    recipe = replace(chosen, spike_penalty=penalty)
    return to_int8(run.trained(SPARSE, recipe, f"silence-{penalty:g}.pt")[0])
