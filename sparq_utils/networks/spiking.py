"""Leaky integrate-and-fire neurons, with time in the batch.

The membrane potential of one neuron, threshold theta, reset by subtraction one step later:

    U[t] = beta * U[t-1] + I[t] - theta * S[t-1],    S[t] = 1 if U[t] > theta else 0

as `snntorch.Leaky` computes it, spike for spike; with the other reset a neuron that fired goes on
from zero, U[t] = beta * (1 - S[t-1]) * U[t-1] + I[t]. Only this recurrence needs a loop over time;
synapses see all timesteps as one large batch [T*B, ...].
"""

from collections.abc import Callable
from math import inf
from numbers import Integral

import torch
from torch import Tensor, nn

from sparq_utils.networks import compiled

RESETS = ("subtract", "zero")
"""What a spike does to the membrane: takes the threshold off it, or empties it."""

Surrogate = Callable[[Tensor, float], Tensor]
"""dS/dU from the distance U - theta, which may be overwritten, and theta.

Fresh memory for as many numbers costs more than computing them.
"""


def triangular(distance: Tensor, threshold: float) -> Tensor:
    """Surrogate dS/dU: a triangle of area 1 and half-width theta around the threshold."""
    height = 1 / threshold
    return distance.abs_().mul_(-(height**2)).add_(height).clamp_(min=0)


def fast_sigmoid(distance: Tensor, threshold: float) -> Tensor:
    """Surrogate dS/dU of `snntorch.surrogate.fast_sigmoid(slope=25)`."""
    return distance.abs_().mul_(25).add_(1).square_().reciprocal_()


class _Integrate(torch.autograd.Function):
    """The LIF recurrence over T steps, with a surrogate for the gradient of the spike."""

    @staticmethod
    def forward(
        ctx,
        current: Tensor,
        start: float,
        beta: float,
        threshold: float,
        reset: str,
        surrogate: Surrogate,
    ) -> Tensor:
        membranes = compiled.steps_like(current[0], len(current))  # [T, ...], before the reset
        spikes = integrate(current, start, beta, threshold, reset, membranes)  # [T, ...]
        ctx.save_for_backward(membranes)
        ctx.beta, ctx.threshold, ctx.reset, ctx.surrogate = beta, threshold, reset, surrogate
        return spikes

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        (membranes,) = ctx.saved_tensors
        known = ctx.surrogate in (triangular, fast_sigmoid)
        if known and compiled.takes(membranes[0], ctx.reset):
            if grad.stride() != membranes.stride():
                grad = torch.empty_like(membranes).copy_(grad)
            grad_current = compiled.gradient_of_currents(
                grad, membranes, ctx.beta, ctx.threshold, ctx.surrogate is fast_sigmoid
            )
            return grad_current, None, None, None, None, None
        grad_current = ctx.surrogate(membranes - ctx.threshold, ctx.threshold).mul_(grad)
        for t in reversed(range(len(grad) - 1)):  # through the membrane, not through the reset
            later = grad_current[t + 1]
            if ctx.reset == "zero":  # nothing of an emptied membrane is left
                later = later * (membranes[t] <= ctx.threshold)
            grad_current[t].add_(later, alpha=ctx.beta)
        return grad_current, None, None, None, None, None


class LIF(nn.Module):
    """A layer of LIF neurons: input currents [T*B, ...] to binary spikes [T*B, ...].

    `threshold` in units of the current; `beta` in (0, 1], the membrane's decay a step;
    `start`, the initial membrane potential as a fraction of the threshold (1/2 rounds to the
    nearest spike count instead of down). `reset` is "subtract" or "zero", which loses what exceeds
    the threshold. With `constant_input` it takes [B, ...], the same current at every step. Raises
    `ValueError` for values out of range.
    """

    def __init__(
        self,
        threshold: float,
        timesteps: int,
        beta: float = 1.0,
        start: float = 0.5,
        constant_input: bool = False,
        surrogate: Surrogate = triangular,
        reset: str = "subtract",
    ) -> None:
        super().__init__()
        if not 0 < threshold < inf:
            raise ValueError(f"threshold is {threshold}, expected a positive number")
        if not 0 < beta <= 1:
            raise ValueError(f"beta is {beta}, expected a decay in (0, 1]")
        check_timesteps(timesteps)
        if not 0 <= start <= 1:
            raise ValueError(f"start is {start}, expected a fraction of the threshold in [0, 1]")
        if reset not in RESETS:
            raise ValueError(f"unknown reset '{reset}', expected 'subtract' or 'zero'")
        self.threshold, self.timesteps, self.beta, self.reset = threshold, timesteps, beta, reset
        self.start, self.constant_input, self.surrogate = start, constant_input, surrogate

    def forward(self, current: Tensor) -> Tensor:
        """Currents to spikes; a batch that T does not divide raises `RuntimeError`."""
        steps = self.steps(current)
        how = (self.start * self.threshold, self.beta, self.threshold, self.reset)
        if torch.is_grad_enabled() and current.requires_grad:
            spikes = _Integrate.apply(steps, *how, self.surrogate)
        else:
            spikes = integrate(steps, *how)
        return spikes.flatten(0, 1)  # [T*B, ...]

    def steps(self, current: Tensor) -> Tensor:
        """Currents as they arrive step by step, [T, B, ...]."""
        if self.constant_input:
            return current.expand(self.timesteps, *current.shape)
        return current.unflatten(0, (self.timesteps, -1))

    def extra_repr(self) -> str:
        """What tells one layer from another."""
        return (
            f"threshold={self.threshold:.3f}, timesteps={self.timesteps}, beta={self.beta}, "
            f"reset={self.reset}, constant_input={self.constant_input}"
        )


def check_timesteps(timesteps: int) -> None:
    """Raise `ValueError` unless T is a whole number of at least 1."""
    if isinstance(timesteps, bool) or not isinstance(timesteps, Integral) or timesteps < 1:
        raise ValueError(f"timesteps is {timesteps!r}, expected a whole number of at least 1")


def integrate(
    current: Tensor,
    start: float,
    beta: float,
    threshold: float,
    reset: str = "subtract",
    membranes: Tensor | None = None,
) -> Tensor:
    """Spikes [T, ...] for currents [T, ...], membrane potentials starting at `start`.

    In C where :mod:`~sparq_utils.networks.compiled` takes the currents and spikes subtract, bit for
    bit the same.
    Writes the potentials before each reset to `membranes` [T, ...]; without, nothing is kept but
    one a neuron.
    """
    if compiled.takes(current[0], reset):
        return compiled.integrate(current, start, beta, threshold, membranes=membranes)
    before, fired = torch.full_like(current[0], start), None
    spikes = compiled.steps_like(before, len(current))
    kept = [before] * len(current) if membranes is None else membranes
    for arriving, membrane, spike in zip(current, kept, spikes, strict=True):
        _step(before, fired, arriving, beta, threshold, reset, membrane, spike)
        before, fired = membrane, spike
    return spikes


def _step(
    before: Tensor,
    fired: Tensor | None,
    arriving: Tensor,
    beta: float,
    threshold: float,
    reset: str,
    membrane: Tensor,
    spike: Tensor,
) -> None:
    """One timestep, written to `membrane` and `spike`, rounded in the order snnTorch rounds."""
    if reset == "zero" and fired is not None:
        before = torch.mul(before, 1 - fired, out=membrane)
    if beta == 1:
        torch.add(before, arriving, out=membrane)
    else:
        torch.mul(before, beta, out=membrane).add_(arriving)
    if reset == "subtract" and fired is not None:
        membrane.sub_(fired, alpha=threshold)
    torch.gt(membrane, threshold, out=spike)
