"""Eight bits or fewer: quantisation-aware training and INT8 kernels for (spiking) networks.

Every synapse becomes a QuantStub - synapse - DeQuantStub region; neurons stay in floating point.
Observers are plain MinMax, per tensor, 8 bits (Jacob et al., 2018), as in the paper; weights may
have 4 or 2, or a scale per output channel, and run on the same kernels. Spikes need no observer:
after average pooling over k positions they are multiples of 1/k, so a grid with that step holds
them exactly.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.ao import quantization as ao
from torch.ao.nn import quantized as nnq

from sparq_utils.networks.conversion import SYNAPSES
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.quantized_synapse import BITS, QuantizedSynapse
from sparq_utils.networks.residual import swap_layers
from sparq_utils.networks.wiring import Synapse, synapses

INT8_SYNAPSES = (nnq.Conv2d, nnq.Linear)
"""Layers of weights on INT8 kernels."""


def quantize_aware(
    network: EarlyExitNetwork, bits: int = 8, per_channel: bool = False
) -> EarlyExitNetwork:
    """A copy with fake quantisation in place, ready to be fine-tuned with :func:`train`.

    `bits` of the weights: 8, 4 or 2 (-1, 0 and 1); currents between layers keep 8. With
    `per_channel` each output channel has a scale of its own. Batch norm must be folded already
    (:func:`~sparq_utils.networks.conversion.convert` and
    :func:`~sparq_utils.networks.conversion.fold_batch_norm` do). Raises `ValueError` if it is not,
    and for other `bits`.
    """
    if bits not in BITS:
        raise ValueError(f"bits is {bits}, expected one of {', '.join(map(str, BITS))}")
    if any(isinstance(m, QuantizedSynapse) for m in network.modules()):
        raise ValueError(f"{network.name} is quantised already: prepare the network it was made of")
    if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules()):
        raise ValueError("fold batch norm first: use convert() or fold_batch_norm()")
    prepared = deepcopy(network)
    prepared.requires_grad_(True)
    swapped = {
        synapse.layer: QuantizedSynapse(synapse.layer, _exact_levels(synapse), bits, per_channel)
        for synapse in synapses(prepared)
        if isinstance(synapse.layer, SYNAPSES)
    }
    swap_layers(prepared, swapped)
    with quietly():
        torch.backends.quantized.engine = "fbgemm"
        return ao.prepare_qat(prepared.train(), inplace=True)


def _exact_levels(synapse: Synapse) -> int | None:
    """Levels of a synapse's input that 8 bits hold exactly; None where its range is observed."""
    return synapse.levels if synapse.most and synapse.most <= 255 else None


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
        raise ValueError(f"{prepared.name} is not prepared for INT8: use quantize_aware() first")
    with quietly():
        torch.backends.quantized.engine = "fbgemm"
        return ao.convert(deepcopy(prepared).cpu().eval(), inplace=True)


def dequantized(network: EarlyExitNetwork) -> EarlyExitNetwork:
    """A floating-point copy of an INT8 network: its weights as they are, nothing else rounded.

    What :func:`quantize_aware` takes to fine-tune an INT8 network further. Raises `ValueError` for
    a network that is not INT8.
    """
    floating = deepcopy(network)
    swapped = {m: _floating(m.synapse) for m in floating.modules() if is_int8(m)}
    if not swapped:
        raise ValueError(f"{network.name} is no INT8 network: to_int8() makes one")
    swap_layers(floating, swapped)
    return floating


def is_int8(layer: nn.Module) -> bool:
    """Whether a layer is a synapse on INT8 kernels."""
    return isinstance(layer, QuantizedSynapse) and isinstance(layer.synapse, INT8_SYNAPSES)


def _floating(synapse: nn.Module) -> nn.Module:
    """The convolution or linear layer that an INT8 one stands for."""
    weight, bias = synapse.weight().dequantize(), synapse.bias()
    if isinstance(synapse, nnq.Linear):
        layer = nn.Linear(synapse.in_features, synapse.out_features, bias=False)
    else:
        geometry = (synapse.kernel_size, synapse.stride, synapse.padding, synapse.dilation)
        channels = (synapse.in_channels, synapse.out_channels)
        layer = nn.Conv2d(*channels, *geometry, synapse.groups, bias=False)
    layer.weight = nn.Parameter(weight)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone())
    return layer


@contextmanager
def quietly() -> Iterator[None]:
    """Without the notices that eager quantisation is to move to another package."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module="torch")
        warnings.filterwarnings("ignore", message=".*quantized tensor creation functions")
        yield


def size_bytes(network: nn.Module) -> int:
    """Bytes of all weights and biases, packed: 4 each in FP32, else as the weights' bits say."""
    regions = (m for m in network.modules() if isinstance(m, QuantizedSynapse))
    total, bits = 0, {region.synapse: region.bits for region in regions}
    for module in network.modules():
        if isinstance(module, INT8_SYNAPSES):
            bias = module.bias()
            total += -(-module.weight().numel() * bits[module] // 8)
            total += 0 if bias is None else 4 * bias.numel()
        elif isinstance(module, SYNAPSES):
            total += sum(p.numel() * p.element_size() for p in module.parameters(recurse=False))
    return total
