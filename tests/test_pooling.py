import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import avg_pool2d

from sparq_utils.networks import pooling
from sparq_utils.networks.pooling import AveragePool


def images(shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    high=st.integers(1, 4),
    wide=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_it_pools_as_pytorch_does_and_spikes_exactly(rows, columns, high, wide, seed):
    x = images((2, 3, rows * high, columns * wide), seed)
    pool = AveragePool((rows, columns))
    torch.testing.assert_close(pool(x), avg_pool2d(x, (rows, columns)))
    spikes = (x > 0).float()
    assert torch.equal(pool(spikes), avg_pool2d(spikes, (rows, columns)))


def test_gradients_are_those_of_pytorch():
    x = images((2, 3, 6, 8), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(AveragePool(2), x)


def test_pools_within_inference_mode_and_outside_share_their_matrix():
    pooling._adder.cache_clear()
    x = images((1, 1, 4, 4))
    with torch.inference_mode():
        AveragePool(2)(x)
    AveragePool(2)(x.requires_grad_()).sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 0.25))


@pytest.mark.parametrize(
    ("pool", "shape"),
    [
        (AveragePool(2), (1, 2, 5, 4)),  # a row is left over
        (AveragePool(2), (1, 2, 4, 7)),
        (AveragePool(3, stride=1), (1, 2, 6, 6)),  # windows overlap
        (AveragePool(2, padding=1), (1, 2, 4, 4)),
        (AveragePool(2), (1, 1, 2, 2 * pooling.WIDEST)),
        (AveragePool(2), (2, 4, 4)),  # no batch
    ],
    ids=["odd rows", "odd columns", "overlap", "padding", "wide", "unbatched"],
)
def test_where_no_product_applies_pytorch_pools(pool, shape):
    x = images(shape)
    expected = avg_pool2d(x, pool.kernel_size, pool.stride, pool.padding)
    assert torch.equal(pool(x), expected)


def test_other_layouts_and_precisions_pool_too():
    x = images((2, 4, 6, 6))
    last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(AveragePool(2)(last), AveragePool(2)(x))
    torch.testing.assert_close(AveragePool(2)(x.bfloat16()), avg_pool2d(x.bfloat16(), 2))
    sliced = images((2, 4, 6, 12))[..., ::2]
    torch.testing.assert_close(AveragePool(2)(sliced), avg_pool2d(sliced, 2))
