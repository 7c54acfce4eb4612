"""The neuron explorer: what one leaky integrate-and-fire neuron does with a current."""

from typing import ClassVar

import numpy as np
import traitlets

from sparq_utils.widgets.base import Explorer, Number, addressed, script

RESETS = ("subtract", "zero")


def simulate_lif(
    current: np.ndarray,
    beta: float = 1.0,
    threshold: float = 1.0,
    reset: str = "subtract",
    start: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """One LIF neuron: membrane potential float32 [T] and spikes uint8 [T].

    `current` [T] is the input at every step, `start` the first potential as a fraction of the
    threshold. A spike's reset acts one step later and every operation rounds to float32, as in
    `snntorch.Leaky`: U[t] = beta U[t-1] + I[t] - threshold S[t-1] ("subtract"), or U[t-1] = 0
    after a spike ("zero"). Raises `ValueError` for values out of range.
    """
    if reset not in RESETS:
        raise ValueError(f"unknown reset '{reset}'; choose one of {', '.join(RESETS)}")
    if not (0 <= beta <= 1 and threshold > 0):
        raise ValueError(f"need beta in [0, 1] and threshold > 0, got {beta} and {threshold}")
    current = np.asarray(current, np.float32)
    if current.ndim != 1 or current.size == 0 or not np.isfinite(current).all():
        raise ValueError(f"the current is [T] finite numbers, T at least 1, not {current.shape}")
    beta, threshold = np.float32(beta), np.float32(threshold)
    membrane, spikes = np.empty(current.size, np.float32), np.zeros(current.size, np.uint8)
    potential, fired = np.float32(start) * threshold, False
    for t, drive in enumerate(current):
        if fired and reset == "zero":
            potential = np.float32(0)
        potential = beta * potential + drive
        if fired and reset == "subtract":
            potential = potential - threshold
        fired = bool(potential > threshold)
        membrane[t], spikes[t] = potential, fired
    return membrane, spikes


class LIFExplorer(Explorer):
    """Give one neuron a current; see its membrane potential and its spikes.

    Synced: `current`, which lasts `current_steps` of `timesteps`; `beta`, `threshold`, `start`
    (first potential as a share of the threshold), `reset`. :attr:`response` is what the page
    draws.
    """

    _esm: ClassVar[str] = script("neuron.js")
    in_address = addressed(
        "current", "beta", "threshold", "start", "timesteps", "current_steps", "reset"
    )

    current = Number(0.3, min=0, max=2).tag(sync=True)
    beta = Number(0.95, min=0.5, max=1).tag(sync=True)
    threshold = Number(1.0, min=0.1, max=2).tag(sync=True)
    start = Number(0.0, min=0, max=1).tag(sync=True)
    timesteps = traitlets.Int(32, min=1, max=64).tag(sync=True)
    current_steps = traitlets.Int(64, min=0, max=64).tag(sync=True)
    reset = traitlets.Enum(RESETS, "subtract").tag(sync=True)

    @property
    def response(self) -> tuple[np.ndarray, np.ndarray]:
        """Membrane potential float32 [T] and spikes uint8 [T], as the page computes them."""
        current = np.where(np.arange(self.timesteps) < self.current_steps, self.current, 0)
        return simulate_lif(current, self.beta, self.threshold, self.reset, self.start)
