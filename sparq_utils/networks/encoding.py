"""Input coding: how an image in [0, 1] becomes what a spiking network receives over T steps."""

import torch
from torch import Tensor, nn


class _Encoder(nn.Module):
    """Checks that T is positive and that pixels are in [0, 1] where they become spikes."""

    def __init__(self, timesteps: int) -> None:
        super().__init__()
        if timesteps < 1:
            raise ValueError(f"timesteps is {timesteps}, expected at least 1")
        self.timesteps = timesteps

    @staticmethod
    def check(images: Tensor) -> None:
        """Raise `ValueError` for pixels outside [0, 1]."""
        if images.numel() and not (images.min() >= 0 and images.max() <= 1):
            raise ValueError(
                "spike trains need pixels in [0, 1], got "
                f"[{images.min():.3g}, {images.max():.3g}]: do not standardise them before coding"
            )


class Direct(_Encoder):
    """The image itself is a constant input current: [B, ...] stays [B, ...]."""

    def forward(self, images: Tensor) -> Tensor:
        """Unchanged: the first synapse runs once and its neurons see the same current T times."""
        return images


class Rate(_Encoder):
    """Bernoulli spike trains: a pixel of 0.3 spikes in about 30 % of the steps."""

    def __init__(self, timesteps: int, seed: int = 0) -> None:
        super().__init__(timesteps)
        self.generator = torch.Generator().manual_seed(seed)

    def forward(self, images: Tensor) -> Tensor:
        """[B, ...] in [0, 1] to spikes [T*B, ...], time-major."""
        self.check(images)
        shape = (self.timesteps, *images.shape)
        draws = torch.rand(shape, generator=self.generator).to(images.device)  # [T, B, ...]
        return (draws < images).to(images.dtype).flatten(0, 1)  # [T*B, ...]


class Latency(_Encoder):
    """One spike a pixel, the earlier the brighter; pixels under 1/(2T) stay silent."""

    def forward(self, images: Tensor) -> Tensor:
        """[B, ...] in [0, 1] to spikes [T*B, ...], time-major."""
        self.check(images)
        step = ((1 - images) * self.timesteps).floor().clamp(max=self.timesteps - 1)  # [B, ...]
        times = torch.arange(self.timesteps, device=images.device)
        times = times.view(-1, *[1] * images.ndim)  # [T, 1, ...]
        spikes = (step == times) & (images >= 0.5 / self.timesteps)  # [T, B, ...]
        return spikes.to(images.dtype).flatten(0, 1)  # [T*B, ...]


class Events(_Encoder):
    """Events that are in time already: how many arrive at each input in each of T steps.

    Several events in one step are counted, stored and paid for as so many spikes.
    """

    most = 255
    """Events that an input may receive in one step: a byte, which INT8 synapses hold exactly."""

    def check(self, events: Tensor) -> None:
        """Raise `ValueError` unless events are whole numbers from 0 to 255."""
        if events.numel() and not (
            events.min() >= 0 and events.max() <= self.most and torch.equal(events, events.round())
        ):
            raise ValueError(
                f"events are counts from 0 to {self.most}, got numbers in [{events.min():.3g}, "
                f"{events.max():.3g}], whole or not: give one channel per polarity, do not "
                "normalise or mix them (Recipe(mixup_alpha=0)), and spread many over more steps"
            )

    def forward(self, events: Tensor) -> Tensor:
        """[B, T, ...] counts to [T*B, ...], time-major."""
        self.check(events)
        return events.transpose(0, 1).flatten(0, 1)


ENCODERS = {"direct": Direct, "rate": Rate, "latency": Latency}
"""What makes spikes of an image over time, by name; each is built with T."""

CODINGS = ENCODERS | {"events": Events}
"""All input codings by name, that of inputs which are in time already among them."""


def coding_of(encoder: nn.Module) -> str:
    """The name of a network's input coding; "analog" where there is none, as in an ANN."""
    return next((name for name, kind in CODINGS.items() if type(encoder) is kind), "analog")
