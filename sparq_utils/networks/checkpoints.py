"""A training's state after each epoch, so that one that was stopped goes on from there exactly."""

import json
from dataclasses import asdict
from pathlib import Path

import torch

from sparq_utils.files import write_whole
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.recipe import Recipe
from sparq_utils.samples import Source, Stream


class CheckpointError(RuntimeError):
    """A checkpoint that is damaged or belongs to another run."""


def identity(network: EarlyExitNetwork, training: Source, recipe: Recipe, seed: int) -> dict:
    """What a checkpoint must agree with to be resumed."""
    names = [f"{n} {list(p.shape)}" for n, p in network.named_parameters()]
    return {
        "network": network.name,
        "parameters": names,
        "data": training.provenance
        if isinstance(training, Stream)
        else f"{training.provenance}, {len(training)} images",
        "recipe": json.dumps(asdict(recipe)),
        "seed": seed,
    }


def save(
    path: Path,
    network: EarlyExitNetwork,
    optimizer: torch.optim.Optimizer,
    identified: dict,
    history: list[dict],
) -> None:
    """Write the state after an epoch, whole or not at all."""
    state = {
        "identity": identified,
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": history,
    }
    write_whole(path, lambda file: torch.save(state, file))


def resume(
    path: str | Path | None,
    network: EarlyExitNetwork,
    optimizer: torch.optim.Optimizer,
    identified: dict,
    device: torch.device,
) -> list[dict]:
    """Load the state of an interrupted run, if there is one; its learning curve so far."""
    if path is None or not Path(path).is_file():
        return []
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        found, history = dict(state["identity"]), list(state["history"])
        if "recipe" in found:  # of fields that are newer than it, it did the defaults
            recipe = asdict(Recipe(1)) | json.loads(found["recipe"])
            found["recipe"] = json.dumps(recipe)
    except Exception as error:  # damaged archives fail in many ways
        kind = type(error).__name__  # their texts run over many lines
        raise CheckpointError(f"{path} is no usable checkpoint ({kind}); delete it") from error
    for key, expected in identified.items():
        if found.get(key) != expected:
            raise CheckpointError(f"{path} belongs to a run with another {key}; delete it or use "
                                  "another path")  # fmt: skip
    try:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} does not fit the network {network.name}; delete it"
        ) from error
    return history
