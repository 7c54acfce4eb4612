"""The fault matrix of the Python interface: what cannot be is refused with a reason, one row each.

Each of these was once taken without a word, or ended somewhere deep inside another library.
"""

import numpy as np
import pytest
import torch
from make_trace import make_trace, with_logits
from small import patterns, tiny
from traitlets import TraitError

from sparq_utils.data import Images
from sparq_utils.networks.conversion import convert
from sparq_utils.networks.counting import count_layers
from sparq_utils.networks.inference import staged_inference
from sparq_utils.networks.levels import LevelActivation
from sparq_utils.networks.losses import joint_loss
from sparq_utils.networks.quantization import calibrate, quantize_aware, to_int8
from sparq_utils.networks.recipe import Recipe
from sparq_utils.networks.recording import record
from sparq_utils.networks.scoring import accuracy
from sparq_utils.networks.spiking import LIF
from sparq_utils.networks.training import train
from sparq_utils.traces.company import in_company
from sparq_utils.traces.energy import energy, power_w
from sparq_utils.traces.hierarchy import Hierarchy
from sparq_utils.traces.memory import MemoryModel
from sparq_utils.traces.policies import Table, Thresholds, at_exit, outcome
from sparq_utils.traces.prices import PAPER, PRICED, EnergyConstants
from sparq_utils.traces.sweeps import (
    choose_thresholds,
    pareto_front,
    sweep_thresholds,
    threshold_grid,
    thresholds_within,
)
from sparq_utils.widgets import BreakEvenExplorer, LIFExplorer, ThresholdExplorer

NAN, INF = float("nan"), float("inf")
NETWORK = tiny()
PIXEL = torch.zeros(1, 8, 8, dtype=torch.uint8)
LABELS = torch.tensor([0, 1])
BYTES = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
NANS = torch.full((2, 1, 8, 8), NAN)
TRACE = make_trace(3, 20)


def images(pixels=BYTES, labels=LABELS):
    return Images(pixels, labels, "name", "test", "by hand")


def loss(weights):
    return joint_loss(torch.zeros(3, 2, 10), torch.tensor([0, 1]), weights)


def spiking():
    return convert(NETWORK, timesteps=2, threshold=1.0)


def answers(given):
    return NETWORK(given)


def recorded(*samples):
    return record(NETWORK, list(samples), "ann")


GIVEN = {
    "pixels that are floats": (lambda: images(torch.rand(2, 1, 8, 8)), r"float32 .*\* 255"),
    "pixels of one channel unsaid": (lambda: images(BYTES[:, 0]), r"uint8 \[2, 8, 8\], expected"),
    "pixels that are an array": (lambda: images(BYTES.numpy()), "pixels are a ndarray"),
    "no labels": (lambda: images(labels=None), "labels are a NoneType"),
    "labels that are floats": (lambda: images(labels=torch.zeros(2)), "labels are float32"),
    "labels too few": (lambda: images(labels=torch.zeros(1).long()), "1 labels for 2 images"),
    "a label below 0": (lambda: images(labels=torch.tensor([0, -1])), "a label is -1"),
    "a number": (lambda: record(NETWORK, 7, "ann"), "a int holds no images"),
    "a generator": (lambda: record(NETWORK, iter([1]), "ann"), "batch 0 is a int, expected a pair"),
    "a sample without a label": (lambda: recorded(PIXEL), "sample 0 is a Tensor, expected a pair"),
    "a sample by name": (lambda: recorded({"image": PIXEL}), "sample 0 is a dict"),
    "a label that is text": (lambda: recorded((PIXEL, "cat")), "labels such as 'cat'"),
    "a label that is none": (lambda: recorded((PIXEL, None)), "labels such as None"),
    "a label that is one-hot": (lambda: recorded((PIXEL, [0, 1])), r"labels int64 \[1, 2\]"),
    "a label beyond the classes": (lambda: recorded((PIXEL, 10)), "up to 10, .* 0 to 9"),
    "an image that is text": (lambda: recorded(("cat", 1)), "image 0 is a str"),
    "an image that is none": (lambda: recorded((None, 1)), "image 0 is a NoneType"),
    "an image of two sizes": (
        lambda: recorded((PIXEL, 1), (PIXEL[:, :4], 1)),
        r"image 1 is \[1, 4, 8\], image 0 \[1, 8, 8\]",
    ),
    "an image of NaN": (lambda: recorded((PIXEL / NAN, 1)), "image 0 has pixels from nan"),
    "an image that is normalised": (lambda: recorded((PIXEL - 0.5, 1)), "leave Normalize out"),
    "a text for a data set": (lambda: record(NETWORK, "digits", "ann"), "sample 0 is a str"),
}

TORCH = {
    "images of doubles": (lambda: answers(torch.zeros(1, 1, 8, 8).double()), "got torch.float64"),
    "images of halves": (lambda: answers(torch.zeros(1, 1, 8, 8).half()), "got torch.float16"),
    "images of bytes": (lambda: answers(BYTES), "got torch.uint8"),
    "images of NumPy": (lambda: answers(np.zeros((1, 1, 8, 8))), "takes tensors, got a ndarray"),
    "images of another size": (lambda: answers(torch.zeros(1, 1, 9, 9)), r"got \[1, 1, 9, 9\]"),
    "one image alone": (lambda: answers(torch.zeros(1, 8, 8)), r"got \[1, 8, 8\]"),
    "images of NaN": (lambda: answers(NANS), "NaN or infinite"),
    "NaN in stages": (lambda: staged_inference(NETWORK, NANS, (0.5, 0.5)), "NaN or infinite"),
    "NaN counted": (lambda: count_layers(NETWORK, NANS), "NaN or infinite"),
    "NaN in INT8": (lambda: int8()(NANS), "NaN or infinite"),
    "batches of -1": (lambda: accuracy(NETWORK, patterns(4), batch_size=-1), "batches of -1"),
    "no images": (lambda: accuracy(NETWORK, patterns(4).take(0)), "no images"),
    "classes it has not": (lambda: accuracy(NETWORK, [(PIXEL, 99)]), "labels up to 99"),
    "trained on such": (
        lambda: train(tiny(), [(PIXEL, 99)] * 8, patterns(8), Recipe(1, batch_size=8)),
        "labels up to 99",
    ),
    "all exits of weight 0": (lambda: Recipe(1, exit_weights=(0, 0, 0)), "not all of them 0"),
    "an exit's weight NaN": (lambda: Recipe(1, exit_weights=(1, NAN)), "exit weights are"),
    "loss with weights of 0": (lambda: loss([0, 0, 0]), "not all of them 0"),
    "mixup NaN": (lambda: Recipe(1, mixup_alpha=NAN), "mixup_alpha is nan"),
    "mixup below 0": (lambda: Recipe(1, mixup_alpha=-1), "mixup_alpha is -1"),
    "a rate NaN": (lambda: Recipe(1, learning_rate=NAN), "learning_rate is nan"),
    "warming up to the end": (lambda: Recipe(1, warmup_epochs=1), "warmup_epochs is 1"),
    "small images of no size": (lambda: Recipe(2, small_epochs=1), "of 0 pixels"),
    "8 bits twice": (lambda: quantize_aware(quantize_aware(spiking())), "is quantised already"),
    "8 bits unprepared": (lambda: to_int8(spiking()), "use quantize_aware"),
    "8 bits from NaN": (lambda: calibrate(quantize_aware(spiking()), NANS), "NaN"),
    "balanced on NumPy": (
        lambda: convert(NETWORK, np.zeros((1, 1, 8, 8)), 2, threshold="percentile"),
        "takes tensors",
    ),
    "a threshold without end": (lambda: LIF(INF, 4), "threshold is inf"),
    "a level's threshold NaN": (lambda: LevelActivation(NAN, 4), "threshold is nan"),
    "T a fraction": (lambda: convert(NETWORK, timesteps=1.5, threshold=1.0), "timesteps is 1.5"),
    "T a truth": (lambda: LIF(1.0, True), "timesteps is True"),
}


def int8():
    prepared = quantize_aware(spiking())
    calibrate(prepared, torch.rand(8, 1, 8, 8))
    return to_int8(prepared)


def leaving(exit):
    return np.full(20, exit)


def break_even(exit):
    return BreakEvenExplorer({"a": ([(TRACE, leaving(exit))], [(TRACE, leaving(2))])})


def constants(value):
    return EnergyConstants(**dict.fromkeys(PRICED, value))


POINT = {"name": "a", "accuracy": 90, "synaptic_ops": 1, "energy_j": 1}
NUMPY = {
    "an exit of -1, priced": (lambda: energy(TRACE).mean_j(leaving(-1)), "one of 3 exits"),
    "an exit too many": (lambda: energy(TRACE).mean_j(leaving(3)), "one of 3 exits"),
    "half an exit": (lambda: at_exit(TRACE.confidence, leaving(0.5)), "'leaving' is float64"),
    "an exit of -1, scored": (lambda: outcome(TRACE, leaving(-1)), "one of 3 exits"),
    "exits of other samples": (lambda: outcome(TRACE, leaving(1)[:3]), "each of 20 samples"),
    "an exit of -1, compared": (lambda: break_even(-1), "one of 3 exits"),
    "costs of NaN": (lambda: choose_thresholds(TRACE, cost=TRACE.confidence * NAN), "costs are"),
    "costs below 0": (lambda: sweep_thresholds(TRACE, -TRACE.confidence), "costs are finite"),
    "a loss of NaN": (lambda: choose_thresholds(TRACE, max_loss=NAN), "max_loss is nan"),
    "a budget of NaN": (lambda: thresholds_within(TRACE, NAN), "max_cost is nan"),
    "a budget below 0": (lambda: thresholds_within(TRACE, -1), "max_cost is -1"),
    "a front of NaN": (lambda: pareto_front(np.array([NAN]), np.array([1.0])), "are numbers"),
    "a front of two sizes": (lambda: pareto_front(np.ones(1), np.ones(2)), "one of each"),
    "one threshold in all": (lambda: threshold_grid(1), "steps is 1"),
    "steps of a half": (lambda: threshold_grid(2.5), "steps is 2.5"),
    "a threshold of NaN": (lambda: Thresholds((NAN,)), "threshold nan"),
    "a table of numbers": (lambda: Table(np.zeros((3, 13))), "table is float64"),
    "company of NaN": (lambda: in_company(with_logits(3, 9), np.eye(3) * NAN), "finite|triang"),
    "potentials of NaN bits": (lambda: MemoryModel(state_bits=NAN), "state_bits is nan"),
    "potentials of half a bit": (lambda: MemoryModel(state_bits=1.5), "state_bits is 1.5"),
    "a chip of NaN bytes": (lambda: Hierarchy(NAN), "capacity_bytes is nan"),
    "joules of NaN": (lambda: constants(NAN), "mac_j is nan"),
    "joules below 0": (lambda: constants(-1.0), "mac_j is -1.0"),
    "joules that are text": (lambda: constants("cheap"), "mac_j is cheap"),
    "power of NaN joules": (lambda: power_w(NAN, 1), "energy is nan"),
    "power in no time": (lambda: power_w(1, 0), "positive time"),
    "an explorer's beta of NaN": (lambda: LIFExplorer(beta=NAN), "beta is nan"),
    "an explorer's T of 0": (lambda: LIFExplorer(timesteps=0), "less than 1"),
    "an explorer's rate of NaN": (lambda: setattr(break_even(1), "rate", NAN), "rate is nan"),
    "an explorer's point unpriced": (lambda: points({"name": "a"}), "'a' cannot be drawn"),
    "an explorer's point in words": (lambda: points(POINT | {"accuracy": "9"}), "cannot be drawn"),
    "an explorer's prices in a list": (lambda: prices([PAPER.mac_j]), "missing or unknown"),
}


def points(*given):
    return ThresholdExplorer({"a": TRACE}, paper_points={"a": given})


def prices(given):
    ThresholdExplorer({"a": TRACE}).constants = {"8": given}


ROWS = GIVEN | TORCH | NUMPY


@pytest.mark.parametrize("fault", ROWS)
def test_what_cannot_be_is_refused_with_a_reason(fault):
    act, told = ROWS[fault]
    with pytest.raises((ValueError, TraitError), match=told) as error:
        act()
    assert "\n" not in str(error.value)


def test_no_row_hides_another():
    assert len(ROWS) == len(GIVEN) + len(TORCH) + len(NUMPY)
