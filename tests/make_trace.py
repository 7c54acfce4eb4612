"""A plausible random trace, for tests that need one without training anything."""

import numpy as np

from sparq_utils.traces.trace import ExitTrace, MeasuredOn


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
