"""Inference on a batch in pieces gives what the whole batch gives."""

import pytest
import torch
from small import pictures, tiny

from sparq_utils.networks import early_exit as networks
from sparq_utils.networks.conversion import convert
from sparq_utils.networks.counting import SpikeCounter
from sparq_utils.networks.inference import staged_inference
from sparq_utils.networks.spiking import LIF


def spiking(encoding="direct", timesteps=4):
    network = tiny().double()
    images = pictures(9, dtype=torch.float64)
    return convert(network, images, timesteps, 1.0, "percentile", encoding, 90), images


def sizes(network, images):
    with torch.no_grad():
        return [len(piece) for piece in network.pieces(images)]


@pytest.fixture
def small_pieces(monkeypatch):
    # the largest output of an image is the first one: 4 channels, 8x8, float64, T = 4
    monkeypatch.setattr(networks, "PIECE_BYTES", 2 * (4 * 8 * 8 * 8 * 4) + 100)


def test_a_batch_that_fits_stays_whole():
    network, images = spiking()
    assert sizes(network, images) == [9]


@pytest.mark.parametrize(("encoding", "rows"), [("direct", 1), ("latency", 4)])
def test_pieces_are_as_large_as_the_largest_output_allows(small_pieces, encoding, rows):
    network, images = spiking(encoding)
    assert sizes(network, images) == [rows * n for n in (2, 2, 2, 2, 1)]


def test_pieces_follow_the_precision(monkeypatch):
    monkeypatch.setattr(networks, "PIECE_BYTES", 4 * (4 * 8 * 8 * 4 * 4))  # T = 4, float32
    network = convert(tiny(), pictures(9), 4, threshold="percentile")
    assert sizes(network, pictures(9)) == [4, 4, 1]
    assert sizes(network.double(), pictures(9, dtype=torch.float64)) == [2, 2, 2, 2, 1]


def test_one_image_is_never_split(monkeypatch):
    monkeypatch.setattr(networks, "PIECE_BYTES", 1)
    network, images = spiking()
    assert sizes(network, images) == [1] * 9


@pytest.mark.parametrize("encoding", ["direct", "rate", "latency"])
def test_pieces_change_nothing(monkeypatch, encoding):
    network, images = spiking(encoding)
    draws = getattr(network.encoder, "generator", torch.Generator())
    state = draws.get_state()
    with torch.no_grad():
        whole = network.forward_steps(images)
        answers = staged_inference(network, images, (0.3, 0.4))
        draws.set_state(state)
        monkeypatch.setattr(networks, "PIECE_BYTES", 20_000)
        torch.testing.assert_close(network.forward_steps(images), whole)
        again = staged_inference(network, images, (0.3, 0.4))
    assert len(sizes(network, images)) > 1
    assert torch.equal(answers.prediction, again.prediction)
    assert torch.equal(answers.exit, again.exit)
    torch.testing.assert_close(answers.confidence, again.confidence)


def test_counts_are_those_of_the_whole_batch(monkeypatch):
    network, images = spiking("rate")
    network, images = network.float(), images.float()
    counts = []
    for limit in (2**30, 20_000):
        monkeypatch.setattr(networks, "PIECE_BYTES", limit)
        network.encoder.generator.manual_seed(3)
        with SpikeCounter(network) as counter, torch.no_grad():
            network(images)
            counts.append(counter.take_steps(len(images)))
    for name, count in counts[0].items():
        assert torch.equal(count, counts[1][name]) and count.sum() > 0


def test_training_and_gradients_keep_the_batch_whole(small_pieces):
    network, images = spiking()
    assert len(list(network.pieces(images))) == 1
    with torch.no_grad():
        assert len(list(network.train().pieces(images))) == 1


def test_watchers_of_layers_see_only_the_batch():
    network, images = spiking()
    seen = []
    for module in network.modules():
        if isinstance(module, LIF):
            module.register_forward_hook(lambda m, _, out: seen.append(len(out)))
    with torch.no_grad():
        network(images)
    assert seen == [4 * len(images)] * len(seen) and len(seen) == 7
