"""The numbers that the neurons and exits of the C file compute with."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sparq_utils.deploy.steps import Plan, Step

F32 = np.float32


def unit_of(layer: Mapping) -> np.float32:
    """What 1 is worth in the sums of a synapse."""
    return F32(layer["input_scale"]) * F32(layer["weight_scale"])


def units(layer: Mapping) -> tuple[np.float32, np.float32, np.float32]:
    """Of a synapse: sums in its bias's unit, sums to levels, levels to currents."""
    unit, scale = unit_of(layer), F32(layer["output_scale"])
    return F32(1) / unit, unit / scale, scale


def level_of(layer: Mapping, sums: np.ndarray) -> np.ndarray:
    """Levels 0 to 255 that sums [outputs, ...] become, as FBGEMM's kernels round."""
    inverse, to_levels, _ = units(layer)
    offsets = np.asarray(layer["bias"], F32).astype(float) * float(inverse)
    shifted = (sums + offsets.reshape(-1, *[1] * (sums.ndim - 1))).astype(F32)
    return np.clip(np.rint(shifted * to_levels).astype(int) + layer["output_zero_point"], 0, 255)


@dataclass
class WholeLevels:
    """Levels in whole numbers: ((sum << up) + offset) * factor >> (32 + down), within a byte."""

    offsets: np.ndarray
    factor: int
    up: int
    down: int


def whole_levels(step: Step, told_apart: np.ndarray) -> WholeLevels | None:
    """Whole numbers that give every sum of a synapse the level that :func:`level_of` gives it.

    Only levels that `told_apart` [255] tells from the one below them need be right. None if there
    are no such numbers.
    """
    weights = step.weights.reshape(len(step.weights), -1).astype(np.int64) * step.source.most
    lowest, highest = np.minimum(weights, 0).sum(1), np.maximum(weights, 0).sum(1)
    wanted = 1 + np.flatnonzero(told_apart)  # [n] levels
    first = _first_sums(step.layer, lowest, highest, wanted)  # [outputs, n]
    _, to_levels, _ = units(step.layer)
    up = 29 - int(np.ceil(np.log2(max(highest.max(), -lowest.min(), 256 / to_levels))))
    down = min(int(np.floor(np.log2(2.0 ** (up - 1) / to_levels))), 22)
    if up < 0 or down < 0:
        return None
    factor = int(float(to_levels) * 2.0 ** (32 + down - up))
    # a sum becomes the level if (sum << up) + offset reaches this
    needed = -(-(wanted << (32 + down)) // factor)  # [n]
    never, free = -(2**62), 2**62
    least = np.where(first <= highest[:, None], needed - (first << up), never).max(1, initial=never)
    most = np.where(first > lowest[:, None], needed - 1 - (first - 1 << up), free).min(
        1, initial=free
    )
    offsets = np.select([(least == never) & (most == free), least == never, most == free],
                        [0, most, least], (least + most) // 2)  # fmt: skip
    fits = (lowest << up) + offsets >= -(2**31), (highest << up) + offsets < 2**31
    if (least > most).any() or not np.all(fits):
        return None
    return WholeLevels(offsets, factor, up, down)


def _first_sums(
    layer: Mapping, lowest: np.ndarray, highest: np.ndarray, levels: np.ndarray
) -> np.ndarray:
    """The first sum of each output that becomes each level [n]: [outputs, n].

    That is from lowest to highest [outputs], or highest + 1 if none does: levels never fall.
    """
    below = np.repeat(lowest[:, None] - 1, len(levels), 1)
    reaches = np.repeat(highest[:, None] + 1, len(levels), 1)
    while (reaches - below > 1).any():
        middle = (below + reaches) // 2
        enough = level_of(layer, middle) >= levels
        reaches = np.where(enough, middle, reaches)
        below = np.where(enough, below, middle)
    return reaches


def answers(timesteps: int, layer: Mapping, neurons: Mapping) -> np.ndarray:
    """What neurons say to each of 256 levels of a current that lasts, [256].

    A level of theirs; or spikes, those of step t as bit t.
    """
    current = (np.arange(256) - layer["output_zero_point"]).astype(F32) * F32(layer["output_scale"])
    return _said(timesteps, neurons, current)


def _said(timesteps: int, neurons: Mapping, current: np.ndarray) -> np.ndarray:
    """The same of any currents, float32."""
    if neurons["kind"] == "levels":
        levels = neurons["levels"]
        steps = current / F32(neurons["threshold"] / levels) + F32(0.5)
        return np.floor(np.clip(steps, 0, levels)).astype(int)
    threshold, beta = F32(neurons["threshold"]), F32(neurons["beta"])
    potential = np.full_like(current, neurons["start"] * neurons["threshold"])
    fired, spikes = np.zeros_like(current), np.zeros(current.shape, int)
    for step in range(timesteps):
        potential = potential * beta + current - threshold * fired
        fired = (potential > threshold).astype(F32)
        spikes |= fired.astype(int) << step
    return spikes


def current_bounds(neurons: Mapping) -> np.ndarray:
    """The least currents, float32, to which neurons of a single step say 1, 2, ..."""
    wanted = np.arange(1, neurons.get("levels", 1) + 1)
    # the bits of floats from zero up, read as whole numbers, rise as they do
    below, reaches = np.zeros_like(wanted), np.full_like(wanted, 0x7F000000)
    while (reaches - below > 1).any():
        middle = (below + reaches) // 2
        with np.errstate(over="ignore"):  # infinitely many levels are enough
            enough = _said(1, neurons, middle.astype(np.uint32).view(F32)) >= wanted
        reaches = np.where(enough, middle, reaches)
        below = np.where(enough, below, middle)
    return reaches.astype(np.uint32).view(F32)


def currents(identity: Step) -> np.ndarray:
    """What each number that an identity hands on is worth as a current: float32 [numbers]."""
    most = identity.source.most
    return np.arange(most + 1, dtype=F32) / F32(most) * F32(identity.layer["amplitude"])


def spike_bounds(timesteps: int, layer: Mapping, neurons: Mapping) -> np.ndarray | None:
    """Levels, summed from step 0 to t, beyond which spike number S comes: [T, T] for t and S.

    Neurons that do not leak compare start + scale * levels - threshold * spikes with the threshold,
    in float32. None unless no sum of levels comes so close to that that rounding could decide.
    """
    if neurons["beta"] != 1:
        return None
    threshold, scale = float(F32(neurons["threshold"])), float(F32(layer["output_scale"]))
    start = float(F32(neurons["start"] * neurons["threshold"]))
    exact = (threshold * np.arange(1, timesteps + 1) - start) / scale
    largest = abs(start) + timesteps * (255 * scale + threshold)
    # a step rounds its current, the addition and the subtraction, each by half a last place
    rounded = 3 * timesteps * largest * 2.0**-24
    if (np.abs(exact - np.rint(exact)) * scale <= 2 * rounded).any():
        return None
    zeros = layer["output_zero_point"] * np.arange(1, timesteps + 1)
    return zeros[:, None] + np.floor(exact).astype(int)


def whole_biases(layer: Mapping) -> np.ndarray:
    """Biases in what 1 is worth in the sums."""
    return np.rint(np.asarray(layer["bias"], F32).astype(float) / unit_of(layer)).astype(int)


def whole_bounds(name: str, layer: Mapping, neurons: Mapping) -> np.ndarray:
    """Sums from which on a neuron of a single step says 1, 2, ..."""
    unit = unit_of(layer)
    if neurons["kind"] == "levels":
        levels = neurons["levels"]
        bounds = (np.arange(levels) + 0.5) * neurons["threshold"] / levels / unit
        return np.ceil(bounds).astype(int)
    threshold, _ = whole_neuron(name, layer, neurons)
    return np.array([int(threshold * (1 - neurons["start"])) + 1])


def whole_neuron(name: str, layer: Mapping, neurons: Mapping) -> tuple[int, int]:
    """Threshold and first potential in what 1 is worth in the sums."""
    if neurons["beta"] != 1:
        raise ValueError(f"{name}: whole numbers do not leak, beta must be 1")
    threshold = neurons["threshold"] / float(unit_of(layer))
    return round(threshold), round(threshold * neurons["start"])


def whole_currents(step: Step) -> np.ndarray:
    """What the numbers of an identity beside a step are worth in the step's sums."""
    worth = currents(step.beside).astype(float) / float(unit_of(step.layer))
    _check_worth(step, worth.max())
    return np.rint(worth).astype(int)


def whole_ratio(step: Step) -> int:
    """What 1 in the sums of the synapse beside a step is worth in the step's own, in 1/65536."""
    other = step.beside
    ratio = float(unit_of(other.layer)) / float(unit_of(step.layer))
    sums = np.abs(other.weights.astype(np.int64)).sum((1, 2, 3)).max() * other.source.most
    _check_worth(step, sums * max(ratio, 1))
    return round(65536 * ratio)


def _check_worth(step: Step, most: float) -> None:
    """Refuse currents that are too large beside the sums that they are added to."""
    if not most < 2**30:
        raise ValueError(f"{step.beside.name} brings up to {most:.3g} units of {step.name}, more "
                         "than 32 bits hold: without whole=True")  # fmt: skip


def decay(made: Plan, step: Step) -> np.ndarray:
    """65536 e**(-2**i units of a logit), while it is at least one."""
    unit = step.layer["input_scale"] * step.layer["weight_scale"] / made.timesteps
    return np.minimum(np.rint(65536 * np.exp(-unit * 2.0 ** np.arange(decays(made)))), 65535)


def decays(made: Plan) -> int:
    """So many powers of two of logit units until nothing is left of any exit's probability."""
    heads = [step for step in made.steps if step.is_exit]
    unit = min(step.layer["input_scale"] * step.layer["weight_scale"] for step in heads)
    return int(np.ceil(np.log2(12 * made.timesteps / unit)))
