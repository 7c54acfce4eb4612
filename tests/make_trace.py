"""A plausible random trace, for tests that need one without training anything."""

from dataclasses import replace

import numpy as np

from sparq_utils.traces.policies import Thresholds
from sparq_utils.traces.trace import CAUSED_BY_SPIKES, ExitTrace, MeasuredOn


def make_trace(exits: int = 3, samples: int = 500, seed: int = 0, classes: int = 10, **measured):
    rng = np.random.default_rng(seed)
    hard = rng.beta(2, 3, samples)
    skill = np.linspace(0.3, 0.8, exits)[:, None]
    chance = 1 / (1 + np.exp(-(skill - hard + 0.18) * 7))  # [exits, samples]
    labels = rng.integers(0, classes, samples).astype(np.uint8)
    wrong = (labels + rng.integers(1, classes, (exits, samples))) % classes
    prediction = np.where(rng.random((exits, samples)) < chance, labels, wrong).astype(np.uint8)
    confidence = np.clip(chance + rng.normal(0, 0.06, chance.shape), 0.1, 1).astype(np.float32)
    step = np.arange(1, exits + 1, dtype=np.int64)[:, None]
    acs = np.cumsum(rng.integers(50_000, 150_000, (exits, samples)), axis=0)
    counts = {
        "macs": 117_600 * np.ones_like(step),
        "acs": acs,
        "spikes": acs // 40,
        "dense_macs": 140_000 * step,
        "lif_updates": 20_000 * step,
        "neurons": 5_000 * step,
        "weights": 20_000 * step,
        "weight_passes": 80_000 * step,
        "current_reads": 4_000 * np.ones_like(step),
        "mac_weights": 117_600 * 160 * np.ones_like(step),
        "ac_weights": acs * 2_400,
        "update_neurons": 20_000 * 1_000 * step,
        "ac_neurons": acs * 1_000,
    }
    fields = {
        "network": "lenet5",
        "variant": "qdsnn",
        "timesteps": 4,
        "encoding": "direct",
        "weight_bits": 8,
        "seed": seed,
        "data": "MNIST",
        "split": "test",
        "provenance": "synthetic",
        "version": "0",
    }
    return ExitTrace(confidence, prediction, labels, counts, MeasuredOn(**{**fields, **measured}))


def with_logits(
    exits: int = 3,
    samples: int = 500,
    seed: int = 0,
    whole: bool = False,
    sharpness: float = 1.0,
    **measured,
):
    """A trace whose answers come from random logits, better from exit to exit, ten classes.

    `whole` keeps them as whole numbers; `sharpness` makes exits surer than they are right.
    """
    trace = make_trace(exits, samples, seed, **measured)
    rng = np.random.default_rng(seed + 1)
    skill = np.linspace(1, 3, exits)[:, None, None]
    right = skill * (trace.labels[:, None] == np.arange(10))  # [exits, samples, classes]
    noise = rng.normal(0, 1, samples * 10).reshape(samples, 10)
    logits = (1 + sharpness) * (right + 0.5 * noise + rng.normal(0, 0.7, right.shape))
    logits, scale = logits.astype(np.float32), None
    if whole:
        scale = np.linspace(0.01, 0.03, exits)
        logits = np.rint(logits / scale[:, None, None]).astype(np.int16)
    values = logits.astype(np.float64) * (1 if scale is None else scale[:, None, None])
    sure = np.exp(values) / np.exp(values).sum(-1, keepdims=True)  # [exits, samples, classes]
    return replace(
        trace,
        confidence=sure.max(-1).astype(np.float32),
        prediction=sure.argmax(-1).astype(np.uint8),
        logits=logits,
        logit_scale=scale,
    )


def rivals(samples=60, **change):
    """A spiking network at thresholds, and its opponent: counts of an analog network."""
    spiking, opponent = [], []
    for seed in (0, 1):
        ours = make_trace(samples=samples, seed=seed, **change)
        theirs = make_trace(
            samples=samples, seed=seed + 5, encoding="analog", timesteps=1, levels=4, **change
        )
        spiking_only = (*CAUSED_BY_SPIKES, "lif_updates", "current_reads", "update_neurons")
        nothing = {name: 0 * theirs.counts[name] for name in spiking_only}
        once = {"weight_passes": theirs.counts["weights"], "macs": 4 * theirs.counts["macs"]}
        theirs = replace(theirs, counts=theirs.counts | nothing | once)
        for side, trace in ((spiking, ours), (opponent, theirs)):
            side.append((trace, Thresholds((0.6, 0.7)).leaving(trace)))
    return spiking, opponent


def built(exits=3, samples=300):
    """What was built of a network, spikes and levels: traces, and instructions until an exit."""
    until = 2e5 * np.arange(1, exits + 1) + 0.25
    return {
        "spikes": (make_trace(exits, samples), {"event-driven": until, "dense": 2.5 * until}),
        "levels": (
            make_trace(exits, samples, 1),
            {"event-driven": 0.7 * until, "dense": 2 * until},
        ),
    }
