"""A synapse between a quantiser and a dequantiser: eight bits in a network that floats."""

import torch
from torch import Tensor, nn
from torch.ao import quantization as ao

WEIGHT = ao.FakeQuantize.with_args(
    observer=ao.MinMaxObserver,
    dtype=torch.qint8,
    quant_min=-127,
    quant_max=127,
    qscheme=torch.per_tensor_symmetric,
)
ACTIVATION = ao.FakeQuantize.with_args(
    observer=ao.MinMaxObserver,
    dtype=torch.quint8,
    quant_min=0,
    quant_max=255,
    qscheme=torch.per_tensor_affine,
)


class QuantizedSynapse(nn.Module):
    """QuantStub - convolution or linear layer - DeQuantStub: an 8-bit region in a float network.

    `levels`, for inputs that are whole multiples of 1 / `levels`, is their number: 1 for spikes,
    as many as an activation has for levels, times the pooling area between. None means analog
    inputs, whose range is observed.
    """

    def __init__(self, synapse: nn.Module, levels: int | None = None) -> None:
        super().__init__()
        self.quant, self.synapse, self.dequant = ao.QuantStub(), synapse, ao.DeQuantStub()
        self.qconfig = ao.QConfig(activation=ACTIVATION, weight=WEIGHT)
        if levels is not None:
            grid = ao.FixedQParamsFakeQuantize.with_args(
                observer=ao.FixedQParamsObserver.with_args(
                    scale=1 / levels, zero_point=0, dtype=torch.quint8, quant_min=0, quant_max=255
                )
            )
            self.quant.qconfig = ao.QConfig(activation=grid, weight=WEIGHT)

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
