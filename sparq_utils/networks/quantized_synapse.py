"""A synapse between a quantiser and a dequantiser: few bits in a network that floats."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.ao import quantization as ao

BITS = (8, 4, 2)
"""Bits that weights can have; currents and analog inputs have eight."""


def weight_quantiser(bits: int, per_channel: bool) -> Callable[[], nn.Module]:
    """Makes fake quantisers of weights: as many steps to both sides of zero as `bits` can name.

    Signed numbers of 8, 4 and 2 bits from -127, -7 and -1 to 127, 7 and 1, of a scale that the
    largest weight sets, in the layer or with `per_channel` in each output channel.
    """
    observer = ao.PerChannelMinMaxObserver if per_channel else ao.MinMaxObserver
    symmetric = torch.per_channel_symmetric if per_channel else torch.per_tensor_symmetric
    largest = 2 ** (bits - 1) - 1
    return ao.FakeQuantize.with_args(
        observer=observer,
        dtype=torch.qint8,
        quant_min=-largest,
        quant_max=largest,
        qscheme=symmetric,
    )


ACTIVATION = ao.FakeQuantize.with_args(
    observer=ao.MinMaxObserver,
    dtype=torch.quint8,
    quant_min=0,
    quant_max=255,
    qscheme=torch.per_tensor_affine,
)


class QuantizedSynapse(nn.Module):
    """QuantStub - convolution or linear layer - DeQuantStub: an INT8 region in a float network.

    Weights have `bits`, with a scale for the layer or `per_channel`; inputs and currents eight.
    `levels`, for inputs that are whole multiples of 1 / `levels`, is their number: 1 for spikes,
    as many as an activation has for levels, times the pooling area between. None means analog
    inputs, whose range is observed.
    """

    def __init__(
        self,
        synapse: nn.Module,
        levels: int | None = None,
        bits: int = 8,
        per_channel: bool = False,
    ) -> None:
        super().__init__()
        self.quant, self.synapse, self.dequant = ao.QuantStub(), synapse, ao.DeQuantStub()
        self.bits, weight = bits, weight_quantiser(bits, per_channel)
        self.qconfig = ao.QConfig(activation=ACTIVATION, weight=weight)
        if levels is not None:
            grid = ao.FixedQParamsFakeQuantize.with_args(
                observer=ao.FixedQParamsObserver.with_args(
                    scale=1 / levels, zero_point=0, dtype=torch.quint8, quant_min=0, quant_max=255
                )
            )
            self.quant.qconfig = ao.QConfig(activation=grid, weight=weight)

    def train(self, mode: bool = True) -> "QuantizedSynapse":
        """Observers watch in training mode alone: an evaluation leaves the network as it was."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, ao.FakeQuantize):
                module.enable_observer(mode)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Floats to floats; in between, fake-quantised or INT8."""
        return self.dequant(self.synapse(self.quant(x)))
