"""The whole inference of an INT8 network with early exits, in NumPy alone, on one page.

A specification, not a fast program, to be read top to bottom. PyTorch's kernels, the C file and
the book's pages compute what it says: the same predictions, exits and counts, image by image.

    answers = run(read("results/lenet-mnist/seed-0/qdsnn.safetensors"), images)
    leaving = exits_at(answers, (0.6, 0.7))  # where each image leaves, int64 [N]
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sparq_utils.int8_file import read as read  # and check: here they are taken to be right

F32 = np.float32  # what FBGEMM's kernels and the neurons compute in, one operation after the other


@dataclass(frozen=True)
class Signal:
    """What flows between layers: `values` float32 [steps, N, ...], one step for an image."""

    values: np.ndarray
    shared: int = 0  # how many pooled spikes a value is the mean of; 0: values that are no spikes


@dataclass(frozen=True)
class Answers:
    """What every exit says of every image, and what it costs to get there.

    `logits` float32 [exits, N, classes]; `confidence` float32, `prediction` int64 and each of
    `counts` int64, [exits, N]: "acs" (a weight added because a spike arrived), "macs" (weights
    times other inputs) and "spikes", cumulative, heads on the way included.
    """

    logits: np.ndarray
    confidence: np.ndarray
    prediction: np.ndarray
    counts: dict[str, np.ndarray]


def run(network: Mapping, images: np.ndarray, company: np.ndarray | None = None) -> Answers:
    """Every exit's answer to images float32 [N, C, H, W] in [0, 1].

    `network` as :func:`read` or :func:`~sparq_utils.networks.int8.export_int8` gives it; with
    `company` weights [exits, exits] exits answer together with those before them. Raises
    `ValueError` for images of another shape and networks that take spikes.
    """
    coding, shape = network["encoding"], list(network["input_shape"])
    if coding not in ("direct", "analog") or not len(images) or list(images.shape[1:]) != shape:
        raise ValueError(f"{images.shape} for {coding} coding, expected direct, [N, {shape}]")
    exits = sum(part.startswith("head") for part in {layer["part"] for layer in network["layers"]})
    spent = {name: np.zeros(len(images), np.int64) for name in ("acs", "macs", "spikes")}
    logits, costs = [], []
    features = Signal(images.astype(F32)[None])  # [1, N, C, H, W]
    for exit_ in range(exits):
        features = through(network, f"stage{exit_}", features, spent)
        steps = through(network, f"head{exit_}", features, spent).values  # [T, N, classes]
        logits.append(steps.sum(0) / F32(len(steps)))
        costs.append({name: count.copy() for name, count in spent.items()})
    logits = np.stack(logits)  # [exits, N, classes]
    counts = {name: np.stack([cost[name] for cost in costs]) for name in spent}
    said = logits if company is None else in_company(logits, company)
    return Answers(logits, softmax(said).max(-1), said.argmax(-1), counts)


def through(network: Mapping, part: str, signal: Signal, spent: dict) -> Signal:
    """A signal through the layers of a stage or head, adding to what was spent, each [n]."""
    waiting: list[Signal] = []  # of residual blocks: what arrives, then what the branch gives
    for layer in (layer for layer in network["layers"] if layer["part"] == part):
        values, kind = signal.values, layer["kind"]
        if kind in ("conv", "linear"):
            spent["acs" if signal.shared else "macs"] += meetings(layer, numbers(signal))
            signal = Signal(synapse(layer, values))
        elif kind == "identity":  # one connection from each input, all of one weight
            spent["acs"] += per_image(numbers(signal))
            signal = Signal(values * F32(layer["amplitude"]))
        elif kind == "branch":
            waiting.append(signal)
        elif kind == "shortcut":
            waiting[-1], signal = signal, waiting[-1]
        elif kind == "add":
            signal = Signal(waiting.pop().values + values)
        elif kind == "lif":
            signal = Signal(fire(layer, values, network["timesteps"]), shared=1)
            spent["spikes"] += per_image(signal.values)
        elif kind == "levels":
            signal = Signal(nearest_level(layer, values))
        elif kind == "avgpool":
            signal = Signal(pool(layer, values), signal.shared * int(np.prod(layer["kernel"])))
        elif kind == "frame":
            signal = Signal(frame(layer, values))
        elif kind == "flatten":
            signal = Signal(values.reshape(*values.shape[:2], -1), signal.shared)
        else:
            raise ValueError(f"no layer of kind '{kind}' is known here")
    return signal


def taps(layer: Mapping, x: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A layer's weights [out, in], tap by tap, and what each meets, [steps, n, in, ...].

    A linear layer is a single tap. Beyond its border an image is zero.
    """
    weight = layer["weight"].astype(float)
    if layer["kind"] == "linear":
        yield weight, x
        return
    groups = layer.get("groups", 1)  # nothing leads from one to another
    inside = np.kron(np.eye(groups), np.ones((len(weight) // groups, weight.shape[1])))
    weight = np.tile(weight, (1, groups, 1, 1)) * inside[..., None, None]
    down, right = layer["stride"]
    x = np.pad(x, [(0, 0)] * 3 + [(border, border) for border in layer["padding"]])
    rows, columns = np.subtract(x.shape[-2:], weight.shape[2:]) + 1
    for dy, dx in np.ndindex(*weight.shape[2:]):
        yield weight[:, :, dy, dx], x[..., dy : dy + rows : down, dx : dx + columns : right]


def meetings(layer: Mapping, arriving: np.ndarray) -> np.ndarray:
    """How often what arrives, [steps, n, ...], meets a weight: int64 [n]."""
    met = sum(per_image(seen) for _, seen in taps(layer, arriving))
    return len(layer["weight"]) // layer.get("groups", 1) * met


def numbers(signal: Signal) -> np.ndarray:
    """How many spikes each value stands for; a value that is no spike counts as one."""
    values = signal.values
    return np.rint(values * signal.shared) if signal.shared else np.ones_like(values)


def per_image(whole: np.ndarray) -> np.ndarray:
    """Sums of whole numbers [steps, n, ...] over all but the images: int64 [n]."""
    return whole.sum((0, *range(2, whole.ndim)), float).astype(np.int64)


def synapse(layer: Mapping, x: np.ndarray) -> np.ndarray:
    """Eight bits in, eight bits out, whole numbers in between: float32 [steps, n, ...] to same.

    Halves round to the even number. Sums are whole and below 2**53: float64 holds them.
    """
    zero, out_zero = layer["input_zero_point"], layer["output_zero_point"]
    scale, out_scale = F32(layer["input_scale"]), F32(layer["output_scale"])
    unit = scale * F32(layer["weight_scale"])  # what 1 is worth in the sums; one, or [out]
    q = np.clip(np.rint(x * (F32(1) / scale)) + zero, 0, 255) - zero
    sums = sum(np.tensordot(seen, w, (2, 1)) for w, seen in taps(layer, q.astype(float)))
    offset = layer["bias"].astype(float) * (F32(1) / unit)  # fused with the addition, unrounded
    shifted = (sums.astype(F32) + offset).astype(F32)  # [steps, n, ..., out]
    level = np.rint(shifted * (unit / out_scale)) + out_zero
    current = (np.clip(level, 0, 255) - out_zero).astype(F32) * out_scale
    return np.moveaxis(current, -1, 2)  # [steps, n, out, ...]


def fire(layer: Mapping, current: np.ndarray, timesteps: int) -> np.ndarray:
    """Leaky integrate-and-fire: currents [T, n, ...], or one that lasts [1, n, ...], to spikes.

    U[t] = beta * U[t-1] + I[t] - threshold * S[t-1], and S[t] = 1 where U[t] > threshold; neurons
    that reset to zero forget U[t-1] after a spike instead.
    """
    threshold, beta = F32(layer["threshold"]), F32(layer["beta"])
    potential = np.full_like(current[0], layer["start"] * layer["threshold"])
    fired, spikes = np.zeros_like(potential), []
    for arriving in np.broadcast_to(current, (timesteps, *current.shape[1:])):
        kept, taken = (1 - fired, 0) if layer.get("reset") == "zero" else (1, threshold * fired)
        potential = potential * kept * beta + arriving - taken
        fired = (potential > threshold).astype(F32)
        spikes.append(fired)
    return np.stack(spikes)


def nearest_level(layer: Mapping, current: np.ndarray) -> np.ndarray:
    """The spiking neuron's rival: k / levels, k = 0, ..., levels, in a single step."""
    levels = layer["levels"]
    steps = np.clip(current / F32(layer["threshold"] / levels) + F32(0.5), 0, levels)
    return np.floor(steps) / F32(levels)


def pool(layer: Mapping, x: np.ndarray) -> np.ndarray:
    """Means over windows side by side: [steps, n, C, H, W] to [steps, n, C, H/k, W/k]."""
    tall, wide = layer["kernel"]
    rows, columns = x.shape[-2] // tall * tall, x.shape[-1] // wide * wide
    corners = np.ndindex(tall, wide)
    return sum(x[..., y:rows:tall, z:columns:wide] for y, z in corners) / F32(tall * wide)


def frame(layer: Mapping, x: np.ndarray) -> np.ndarray:
    """Images with a border of one value per channel: what was zero once they were normalised."""
    top, left = layer["border"]
    framed = np.empty((*x.shape[:3], x.shape[3] + 2 * top, x.shape[4] + 2 * left), F32)
    framed[:] = np.array(layer["values"], F32)[:, None, None]
    framed[..., top : top + x.shape[3], left : left + x.shape[4]] = x
    return framed


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities along the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def in_company(logits: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Logits [exits, N, classes] of exits that add up, weighted, what they and earlier ones say.

    Row e weighs exits 0, ..., e; softmax does not see that logits are not log-probabilities.
    """
    return np.einsum("ef,fnc->enc", np.tril(weights), logits).astype(F32)


def exits_at(answers: Answers, thresholds: Sequence[float]) -> np.ndarray:
    """Where each image leaves, int64 [N]: the first exit that is sure enough, else the last."""
    sure = answers.confidence[:-1] >= np.array(thresholds, float)[:, None]  # [exits - 1, N]
    return np.vstack([sure, np.ones_like(answers.confidence[:1], bool)]).argmax(0)
