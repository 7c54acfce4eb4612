import pytest
import torch
from torch import nn

from sparq_utils.networks.integer import IntegerSynapse, _as_bytes

pytestmark = pytest.mark.skipif(
    not hasattr(torch.ops.onednn, "qconv2d_pointwise"), reason="no INT8 kernels of oneDNN"
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("levels", [1, 4, 49])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(6, 16, 3, padding=1), (5, 6, 9, 9)),
        (nn.Conv2d(3, 5, (3, 2), stride=2, padding=(0, 1), bias=False), (2, 3, 8, 7)),
        (nn.Conv2d(4, 4, 3, dilation=2), (2, 4, 8, 8)),
        (nn.Linear(50, 7), (5, 50)),
        (nn.Linear(50, 7, bias=False), (1, 50)),
    ],
    ids=["conv", "strided", "dilated", "linear", "no bias"],
)
@torch.no_grad()
def test_it_is_as_exact_as_float32(layer, shape, levels):
    x = torch.randint(0, levels + 1, shape, generator=generator()).float() / levels
    fast = IntegerSynapse(layer, levels)
    exact = layer.double()(x.double())
    layer.float()
    torch.testing.assert_close(fast(x).double(), exact, rtol=0, atol=4e-7 * exact.abs().max())


@torch.no_grad()
def test_whole_numbers_are_exact():
    layer = nn.Linear(40, 6)
    layer.weight.copy_(torch.randint(-9999, 9999, (6, 40), generator=generator()))
    layer.bias.copy_(torch.arange(6.0))
    x = torch.randint(0, 2, (8, 40), generator=generator(1)).float()
    assert torch.equal(IntegerSynapse(layer, 1)(x), layer(x))


def test_three_bytes_hold_a_weight_to_23_bits():
    weight = torch.randn(5, 3, 2, 2, generator=generator()) * torch.logspace(-6, 6, 5).view(
        5, 1, 1, 1
    )
    weight[3] = 0  # a channel without weights
    limbs, scales = _as_bytes(weight)
    assert limbs.dtype == torch.int8
    value = (limbs.double() * scales.double().view(-1, 1, 1, 1)).unflatten(0, (3, 5)).sum(0)
    largest = weight.abs().amax((1, 2, 3), keepdim=True).double()
    assert ((value - weight.double()).abs() <= largest * 2.0**-22).all()
