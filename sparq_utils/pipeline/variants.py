"""Which network each recorded variant is, from the weights in a run's folder, and how it is run."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from sparq_utils.experiments import Experiment
from sparq_utils.networks.architectures import NETWORKS
from sparq_utils.networks.conversion import ClipFloorShift, convert, fold_batch_norm
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.int8 import load_int8
from sparq_utils.networks.quantization import dequantized, quantize_aware
from sparq_utils.networks.recording import record
from sparq_utils.networks.recording_in_time import record_temporal
from sparq_utils.results import files
from sparq_utils.results.files import TEMPORAL, TRACES
from sparq_utils.results.manifest import TRAININGS
from sparq_utils.traces.trace import ExitTrace

TIMESTEPS = {"snn": 32, "snn-rate": 32, "qsnn": 4, "qdsnn": 4, "qdsnn-sparse": 4}
"""T of the spiking variants, as in the paper."""

SPARSE = "qdsnn-sparse"
"""The INT8 spiking network that was trained for silence."""

INT8 = ("qdsnn", "qdann", SPARSE)
"""The networks that are fine-tuned with eight bits."""

CONVERTED = {
    "qdsnn": {"timesteps": TIMESTEPS["qdsnn"]},
    "qdann": {"timesteps": 1, "neurons": "levels", "levels": TIMESTEPS["qdsnn"]},
}
"""How those that start from the ANN are converted from it."""

IN_TIME = dict(zip(TEMPORAL, files.IN_TIME, strict=True))
"""How an INT8 network is recorded leaving in time: the variant, the criterion, the order."""


class ExperimentError(RuntimeError):
    """An experiment that cannot go on with what it finds."""


def variants(experiment: Experiment) -> list[str]:
    """The variants that are recorded for every seed of an experiment."""
    return [name for name in TRACES if name != "snn-rate" or experiment.data == "MNIST"]


def weights_file(variant: str) -> str:
    """The file of weights that a variant is made from."""
    variant = IN_TIME.get(variant, (variant,))[0]
    made_of = {"qsnn": "qdsnn", "qann": "qdann"} | {name: name for name in INT8}
    return f"{made_of.get(variant, 'ann')}.safetensors"


def network_of(variant: str, experiment: Experiment, folder: Path, levels: int) -> EarlyExitNetwork:
    """The network that a variant is recorded with, made from the weights in a run's folder.

    Raises as :func:`load_ann` does, for INT8 networks too.
    """
    return made_of(load_trained(folder / weights_file(variant), experiment, levels), variant)


def load_trained(path: Path, experiment: Experiment, levels: int) -> EarlyExitNetwork:
    """The network in one of a run's files of weights; raises as :func:`load_ann` does."""
    if path.stem in INT8:
        return load_known_int8(path, experiment)
    return load_ann(path, experiment, levels)


def made_of(trained: EarlyExitNetwork, variant: str) -> EarlyExitNetwork:
    """The network that a variant is recorded with, made from the one with its weights."""
    if variant in INT8 or variant in IN_TIME:
        return trained
    if variant[0] == "q":
        return trained.without_exits()
    if variant == "dynamic-ann":
        return fold_batch_norm(trained)
    if variant == "ann":
        return fold_batch_norm(trained).without_exits()
    encoding = "rate" if variant == "snn-rate" else "direct"
    return convert(trained, timesteps=TIMESTEPS[variant], encoding=encoding).without_exits()


def recorder_of(variant: str, timesteps: int) -> Callable[..., ExitTrace]:
    """The function of a network and images that records a variant, in batches that fit."""
    batch_size = max(10, 1000 // timesteps)
    if variant not in IN_TIME:
        return partial(record, variant=variant, batch_size=batch_size)
    source, criterion, order = IN_TIME[variant]
    how = {"criterion": criterion, "order": order, "batch_size": batch_size}
    return partial(record_temporal, variant=source, **how)


def untrained(
    name: str, experiment: Experiment, folder: Path, levels: int, seed: int = 0
) -> EarlyExitNetwork:
    """What the training of the weights `name` starts from, made of others in a run's folder.

    The ANN starts anew; a sparse network from the weights that its INT8 network was recorded with,
    dequantised, for those are kept wherever results are. Raises as :func:`load_ann` does.
    """
    if name == "ann":
        return new_network(experiment, levels, seed)
    source = folder / f"{TRAININGS[name].source}.safetensors"
    if name in CONVERTED:
        return quantize_aware(convert(load_ann(source, experiment, levels), **CONVERTED[name]))
    return quantize_aware(dequantized(load_known_int8(source, experiment)))


def new_network(experiment: Experiment, levels: int, seed: int = 0) -> EarlyExitNetwork:
    """The experiment's untrained dynamic ANN with clip-floor-shift activations."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # torch's initialisers know no other generator
        return NETWORKS[experiment.network](partial(ClipFloorShift, levels))


def load_ann(path: str | Path, experiment: Experiment, levels: int) -> EarlyExitNetwork:
    """The trained dynamic ANN from its recorded weights.

    Raises `FileNotFoundError`, or :class:`ExperimentError` for a damaged file or one of another
    network.
    """
    network = new_network(experiment, levels)
    if not Path(path).is_file():
        raise FileNotFoundError(f"no weights at {path}; 'python -m sparq_utils run' makes them")
    try:
        network.load_state_dict(load_file(path))
    except SafetensorError as error:
        raise ExperimentError(f"{path} is damaged ({error}); delete it") from error
    except RuntimeError as error:  # torch lists every layer that is missing or of another shape
        raise ExperimentError(
            f"{path} holds weights of another network than {experiment.network}; move it away"
        ) from error
    if not all(torch.isfinite(tensor).all() for tensor in network.state_dict().values()):
        raise ExperimentError(f"{path} holds weights that are not finite; move it away")
    if not all(m.threshold for m in network.modules() if isinstance(m, ClipFloorShift)):
        raise ExperimentError(f"{path} holds a threshold of 0; move it away")
    return network.eval()


def load_known_int8(path: Path, experiment: Experiment) -> EarlyExitNetwork:
    """A recorded INT8 network, if it can have been made of the experiment's ANN."""
    network = load_int8(path)
    ann = new_network(experiment, 1)
    found = (network.name, network.exits, network.timesteps)
    expected = (ann.name, ann.exits, TIMESTEPS.get(path.stem, 1))
    if found != expected:
        raise ExperimentError(
            "{} holds {} with {} exits at T={}, expected {} with {} at T={}; move it away".format(
                path, *found, *expected
            )
        )
    return network
