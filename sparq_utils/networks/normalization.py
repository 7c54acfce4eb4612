"""Input normalisation, and what is left of it once the first synapse has taken it over.

(x - mean) / std is linear, so the synapse behind it can do it: weights divided by std, and a bias
less by what mean would add. Only a convolution's border is not: it is zero after normalisation,
which is the mean before, and so the image is framed with that.
"""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from sparq_utils.networks.pooling import pair


class Normalize(nn.Module):
    """(x - mean) / std, a number per channel: images [B, C, H, W] to the same shape.

    Raises `ValueError` unless there are as many means as positive standard deviations.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or not all(s > 0 for s in std):
            raise ValueError(f"mean is {mean} and std {std}: need one of each for every channel, "
                             "and positive deviations")  # fmt: skip
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Images as their statistics say."""
        return (x - self.mean.view(-1, 1, 1)) / self.std.view(-1, 1, 1)


class Frame(nn.Module):
    """A border around an image, of one value per channel: [B, C, H, W] to [B, C, H+2t, W+2l]."""

    def __init__(self, values: Sequence[float], border: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("values", torch.as_tensor(values, dtype=torch.float32))
        self.border = tuple(border)

    def forward(self, x: Tensor) -> Tensor:
        """The image, framed."""
        top, left = self.border
        sides = (left, left, top, top)
        frame = pad(torch.zeros_like(x[:1]), sides, value=1.0) * self.values.view(-1, 1, 1)
        return pad(x, sides) + frame  # [B, C, H+2t, W+2l]

    def extra_repr(self) -> str:
        """What it puts around an image."""
        return f"values={self.values.tolist()}, border={self.border}"


def take_over(normalize: Normalize, synapse: nn.Conv2d | nn.Linear) -> list[nn.Module]:
    """The layers that do to an image what a normalisation and a synapse did, exactly.

    A linear layer takes flattened images. Raises `ValueError` for padding that is no number.
    """
    mean, std = normalize.mean.double(), normalize.std.double()  # [C]
    taken = deepcopy(synapse)
    weight = synapse.weight.detach().double()
    if isinstance(synapse, nn.Linear):
        places = synapse.in_features // len(mean)
        means, stds = (v.repeat_interleave(places)[None] for v in (mean, std))  # [1, F_in]
    else:
        if isinstance(synapse.padding, str) or synapse.padding_mode != "zeros":
            raise ValueError(
                f"a normalised image's convolution with padding={synapse.padding!r} and "
                f"padding_mode='{synapse.padding_mode}': give padding as numbers, of zeros"
            )
        each = synapse.out_channels // synapse.groups  # outputs of a group of channels
        means, stds = (
            v.view(synapse.groups, -1).repeat_interleave(each, 0)[..., None, None]
            for v in (mean, std)
        )  # [C_out, C_in of a group, 1, 1]
    scaled = weight / stds
    bias = torch.zeros(len(weight)) if synapse.bias is None else synapse.bias.detach()
    shifted = bias.double() - (scaled * means).flatten(1).sum(1)  # [C_out]
    taken.weight = nn.Parameter(scaled.to(synapse.weight.dtype))
    taken.bias = nn.Parameter(shifted.to(synapse.weight.dtype))
    border = (0, 0) if isinstance(synapse, nn.Linear) else pair(synapse.padding)
    if border == (0, 0):
        return [taken]
    taken.padding = (0, 0)
    return [Frame(mean.tolist(), border), taken]
