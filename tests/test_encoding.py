import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparq_utils.networks.encoding import CODINGS, Direct, Latency, Rate


def test_direct_leaves_the_image_alone():
    images = torch.randn(3, 1, 4, 4)  # any current will do
    assert Direct(8)(images) is images


@pytest.mark.parametrize("value", [0.0, 0.1, 0.5, 0.93, 1.0])
def test_rate_spikes_with_the_pixels_probability(value):
    images = torch.full((1, 1, 100, 100), value)
    spikes = Rate(20, seed=1)(images)  # 200,000 draws
    assert spikes.shape == (20, 1, 100, 100)
    assert set(spikes.unique().tolist()) <= {0.0, 1.0}
    spread = (value * (1 - value) / 200_000) ** 0.5
    assert abs(float(spikes.mean()) - value) <= 5 * spread  # exact for 0 and 1


def test_rate_draws_each_step_and_sample_anew_but_by_its_seed():
    images = torch.full((2, 1, 30, 30), 0.5)
    first = Rate(2, seed=3)
    spikes = first(images).unflatten(0, (2, 2))  # [T, B, ...]
    pairs = [(spikes[0], spikes[1]), (spikes[:, 0], spikes[:, 1])]
    assert all(0.4 < float((a == b).float().mean()) < 0.6 for a, b in pairs)
    assert not torch.equal(first(images), spikes.flatten(0, 1))
    assert torch.equal(Rate(2, seed=3)(images), spikes.flatten(0, 1))
    assert not torch.equal(Rate(2, seed=4)(images), spikes.flatten(0, 1))


def test_rate_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    Rate(4)(torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), state)


@settings(max_examples=60, deadline=None)
@given(timesteps=st.integers(1, 20), pixel=st.floats(0, 1, width=32))
def test_latency_spikes_once_and_the_earlier_the_brighter(timesteps, pixel):
    spikes = Latency(timesteps)(torch.tensor([[pixel], [1.0]])).unflatten(0, (timesteps, 2))
    assert spikes[:, 1].flatten().tolist() == [1.0] + [0.0] * (timesteps - 1)
    times = spikes[:, 0].flatten().nonzero().flatten().tolist()
    silent = torch.tensor(pixel) < torch.tensor(0.5 / timesteps)
    assert len(times) == (0 if silent else 1)
    if times:
        # the spike's time tells the pixel to within one step
        assert abs((1 - pixel) * timesteps - times[0]) <= 1 + 1e-4


def test_latency_worked_by_hand():
    pixels = torch.tensor([[1.0, 0.8, 0.5, 0.3, 0.13, 0.12, 0.0]])
    spikes = Latency(4)(pixels)  # [4, 7]
    # (1 - x) * 4 = 0, 0.8, 2, 2.8, 3.48; pixels under 1/8 never spike
    assert spikes.tolist() == [
        [1, 1, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
        [0, 0, 1, 1, 0, 0, 0],
        [0, 0, 0, 0, 1, 0, 0],
    ]


@pytest.mark.parametrize("coding", ["rate", "latency"])
@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan"), float("inf")])
def test_pixels_outside_the_unit_interval_are_refused(coding, value):
    images = torch.rand(2, 1, 4, 4)
    images[1, 0, 2, 2] = value
    with pytest.raises(ValueError, match=r"pixels in \[0, 1\].*do not standardise"):
        CODINGS[coding](4)(images)


@pytest.mark.parametrize("coding", list(CODINGS))
@pytest.mark.parametrize("timesteps", [0, -3])
def test_no_timesteps_are_refused(coding, timesteps):
    with pytest.raises(ValueError, match=f"timesteps is {timesteps}"):
        CODINGS[coding](timesteps)


@pytest.mark.parametrize("coding", list(CODINGS))
def test_precision_is_kept(coding):
    images = torch.rand(2, 3, dtype=torch.float64).round()
    assert CODINGS[coding](5)(images).dtype == torch.float64
