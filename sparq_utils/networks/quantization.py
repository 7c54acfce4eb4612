"""Eight bits: quantisation-aware training and real INT8 kernels for (spiking) networks.

Every synapse becomes a QuantStub - synapse - DeQuantStub region; neurons stay in floating point.
Observers are plain MinMax, per tensor, 8 bits (Jacob et al., 2018), as in the paper. Spikes need
no observer: after average pooling over k positions they are multiples of 1/k, so a grid with that
step holds them exactly.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.ao import quantization as ao
from torch.ao.nn import quantized as nnq

from sparq_utils.networks.conversion import SYNAPSES, set_layers
from sparq_utils.networks.early_exit import EarlyExitNetwork, layers_of
from sparq_utils.networks.levels import LevelActivation
from sparq_utils.networks.pooling import pooling_area
from sparq_utils.networks.spiking import LIF

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


def quantize_aware(network: EarlyExitNetwork) -> EarlyExitNetwork:
    """A copy with fake quantisation in place, ready to be fine-tuned with :func:`train`.

    Batch norm must be folded already (:func:`~sparq_utils.networks.conversion.convert` and
    :func:`~sparq_utils.networks.conversion.fold_batch_norm` do); raises `ValueError` if it is not.
    """
    if any(isinstance(m, QuantizedSynapse) for m in network.modules()):
        raise ValueError(f"{network.name} has 8 bits already: prepare the network it was made of")
    if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules()):
        raise ValueError("fold batch norm first: use convert() or fold_batch_norm()")
    prepared = deepcopy(network)
    prepared.requires_grad_(True)
    after_stage: int | None = None
    if any(isinstance(m, LIF) for m in network.modules()) and not _direct(network):
        after_stage = 1
    for kind, _, part in prepared.parts():
        set_layers(part, list(layers_of(part)))  # a plain network nests its stages
        levels = after_stage
        for position, layer in enumerate(part):
            if isinstance(layer, SYNAPSES):
                # 8 bits hold 255 spikes; beyond, the range is observed as for analog inputs
                exact = levels if levels and levels <= 255 else None
                part[position] = QuantizedSynapse(layer, exact)
                levels = None
            elif isinstance(layer, LIF):
                levels = 1
            elif isinstance(layer, LevelActivation):
                levels = layer.levels
            elif isinstance(layer, nn.AvgPool2d) and levels:
                levels *= pooling_area(layer)
        if kind == "stage":
            after_stage = levels
    with quietly():
        torch.backends.quantized.engine = "fbgemm"
        return ao.prepare_qat(prepared.train(), inplace=True)


def _direct(network: EarlyExitNetwork) -> bool:
    """Whether the image drives the first neurons as a constant current."""
    return any(getattr(m, "constant_input", False) for m in network.modules())


@torch.no_grad()
def calibrate(prepared: EarlyExitNetwork, images: Tensor, batch_size: int = 250) -> None:
    """Let the observers of a prepared network see images, in place: post-training quantisation.

    Raises `ValueError` for images of another shape, or that hold NaN.
    """
    prepared.check_input(images)
    prepared.train()
    for batch in images.split(batch_size):
        prepared(batch)
    prepared.eval()


def to_int8(prepared: EarlyExitNetwork) -> EarlyExitNetwork:
    """A copy of a prepared network that runs on FBGEMM's INT8 kernels (x86 CPU).

    Raises `ValueError` for a network that :func:`quantize_aware` has not prepared.
    """
    if not any(isinstance(m, ao.FakeQuantize) for m in prepared.modules()):
        raise ValueError(f"{prepared.name} is not prepared for 8 bits: use quantize_aware() first")
    with quietly():
        torch.backends.quantized.engine = "fbgemm"
        return ao.convert(deepcopy(prepared).cpu().eval(), inplace=True)


@contextmanager
def quietly() -> Iterator[None]:
    """Without the notices that eager quantisation is to move to another package."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module="torch")
        warnings.filterwarnings("ignore", message=".*quantized tensor creation functions")
        yield


def size_bytes(network: nn.Module) -> int:
    """Bytes of all weights and biases as stored: 4 each in FP32, 1 a weight in INT8."""
    total = 0
    for module in network.modules():
        if isinstance(module, (nnq.Conv2d, nnq.Linear)):
            bias = module.bias()
            total += module.weight().numel() + (0 if bias is None else 4 * bias.numel())
        elif isinstance(module, SYNAPSES):
            total += sum(p.numel() * p.element_size() for p in module.parameters(recurse=False))
    return total
