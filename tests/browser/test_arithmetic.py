"""JavaScript and Python get the same numbers, to the last digit."""

import base64
from pathlib import Path

import numpy as np
import pytest
import torch
from make_trace import make_trace

from browser.spiking_lenet import digits, network, recorded
from sparq_utils.deploy import wasm
from sparq_utils.networks.int8 import load_int8
from sparq_utils.traces.policies import Oracle
from sparq_utils.traces.sweeps import pareto_front, sweep_thresholds
from sparq_utils.widgets import DigitExplorer, LIFExplorer, ThresholdExplorer
from sparq_utils.widgets.base import Explorer, pack, script

UNPACK = """
const bytes = Uint8Array.from(atob(given.data), (c) => c.charCodeAt(0));
const arrays = await unpack({ get: (name) =>
  ({ contents: given.contents, data: new DataView(bytes.buffer) })[name] });
"""
TRACE = UNPACK + "const trace = readTrace(given.about, arrays);"


def sent(explorer: Explorer, **more: object) -> dict:
    return {
        "contents": explorer.contents,
        "data": base64.b64encode(explorer.data).decode(),
        **more,
    }


def test_arrays_arrive_as_they_were_sent(module):
    rng = np.random.default_rng(0)
    arrays = {
        "uint8": rng.integers(0, 255, 7).astype(np.uint8),
        "int8": rng.integers(-128, 127, 9).astype(np.int8),
        "uint16": rng.integers(0, 2**16, 5).astype(np.uint16),
        "int32": rng.integers(-(2**31), 2**31, 5).astype(np.int32),
        "uint32": rng.integers(0, 2**32, 5).astype(np.uint32),
        "float32": rng.normal(size=11).astype(np.float32),
        "float64": rng.normal(size=3),
    }
    contents, data = pack(arrays)
    body = UNPACK + "return Object.fromEntries(Object.entries(arrays).map(([n, a]) => [n, [...a]]))"
    given = {"contents": contents, "data": base64.b64encode(data).decode()}
    found = module(script("state.js"), body, given)
    assert found == {name: array.tolist() for name, array in arrays.items()}


@pytest.mark.parametrize(("exits", "seed"), [(2, 0), (3, 1), (3, 2), (4, 3), (5, 4)])
def test_points_are_equal_to_the_last_digit(module, exits, seed):
    rng = np.random.default_rng(seed)
    trace = make_trace(exits, 400, seed)
    pairs = rng.random((60, exits - 1))
    # Thresholds exactly at a sample's confidence decide whether >= is computed alike.
    pairs[:20] = trace.confidence[:-1, rng.integers(0, 400, 20)].T
    static = make_trace(1, 300, seed + 1, variant="qsnn")
    explorer = ThresholdExplorer({"a": trace}, full={"a": static}, memory="event-driven")
    expected = []
    for pair in pairs:
        explorer.thresholds = pair.tolist()
        expected.append(explorer.point)
    body = (
        TRACE
        + """return given.pairs.map((pair) =>
        outcome(totals(trace, leaveAtThresholds(trace, pair)), given.joules, trace.full));"""
    )
    given = sent(
        explorer, about=explorer.traces[0], pairs=pairs.tolist(), joules=explorer.constants
    )
    assert module(explorer._esm, body, given) == expected


@pytest.mark.parametrize(("exits", "side"), [(2, 101), (3, 101), (4, 21), (5, 10)])
def test_the_cloud_is_the_sweep_of_all_thresholds(module, exits, side):
    trace = make_trace(exits, 300, seed=exits)
    explorer = ThresholdExplorer({"a": trace})
    body = (
        TRACE
        + """const grid = sweep(trace), cloud = cloudOf(grid, given.joules, "operations");
        return { side: grid.side, x: [...cloud.x], y: [...cloud.y], front: paretoFront(cloud) };"""
    )
    given = sent(explorer, about=explorer.traces[0], joules=explorer.constants)
    found = module(explorer._esm, body, given)
    expected = sweep_thresholds(trace, steps=side)
    assert found["side"] == side
    assert found["x"] == expected.cost.ravel().tolist()
    assert found["y"] == expected.accuracy.ravel().tolist()
    best = pareto_front(expected.cost, expected.accuracy)
    assert np.array_equal(expected.cost.ravel()[found["front"]], expected.cost.ravel()[best])


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_the_neuron_rounds_alike(module, reset):
    rng = np.random.default_rng(1)
    for _ in range(20):
        explorer = LIFExplorer(
            current=rng.uniform(0, 2), beta=rng.uniform(0.5, 1), threshold=rng.uniform(0.1, 2),
            start=rng.random(), timesteps=40, current_steps=30, reset=reset,
        )  # fmt: skip
        names = ("current", "beta", "threshold", "start", "timesteps", "current_steps", "reset")
        given = {name: getattr(explorer, name) for name in names}
        body = """const { membrane, spikes } = simulateLif(
            { ...given, current: currentOf({ get: (name) => given[name] }) });
            return [[...membrane], [...spikes]];"""
        assert module(explorer._esm, body, given) == [part.tolist() for part in explorer.response]


RECORDED = Path(__file__).parents[2] / "results/lenet-mnist/seed-0/qdsnn.safetensors"


@pytest.mark.parametrize("which", ["random weights", "recorded"])
def test_the_spiking_network_answers_alike_on_200_digits(module, which):
    if which == "recorded" and not RECORDED.is_file():
        pytest.skip("no recorded LeNet-5: run 'python -m sparq_utils run lenet-mnist' first")
    int8 = network() if which == "random weights" else load_int8(RECORDED)
    trace, (images, labels) = recorded(int8), digits()
    middle = [float(np.median(row)) for row in trace.confidence[:-1]]
    explorer = DigitExplorer(wasm(int8), images, labels, trace, thresholds=middle)
    body = (
        UNPACK
        + """const answersTo = await networkOf(arrays.code, given.network), area = 784;
        return Array.from(arrays.labels, (_, i) =>
            answersTo(arrays.images.subarray(i * area, (i + 1) * area)).answers);"""
    )
    found = module(explorer._esm, body, sent(explorer, network=explorer.network))
    with torch.no_grad():
        expected = int8(torch.from_numpy(images).unsqueeze(1) / 255).numpy()

    def take(name: str) -> np.ndarray:
        return np.array([[answer[name] for answer in digit] for digit in found]).swapaxes(0, 1)

    assert np.abs(take("logits") - expected).max() < 1e-3
    assert (take("prediction") == expected.argmax(-1)).all()
    if which == "recorded":  # random weights tie: their softmax rounds two classes to one number
        assert (take("prediction") == trace.prediction).all()
    assert (take("acs") == trace.counts["acs"]).all()
    # Each half of the samples leaves at exit 1: none may lie so close that rounding decides.
    leaves = take("confidence")[:-1] >= np.array(middle)[:, None]
    assert (leaves == (trace.confidence[:-1] >= np.array(middle)[:, None])).all()
    assert 0 < leaves[0].mean() < 1


def test_the_oracle_policy_travels_whole(module):
    trace = make_trace(3, 257)
    explorer = ThresholdExplorer({"a": trace}, presets={"a": {"Oracle": Oracle()}})
    name = next(p["leaving"] for p in explorer.traces[0]["presets"] if p["name"] == "Oracle")
    found = module(explorer._esm, UNPACK + f"return [...arrays['0/{name}']];", sent(explorer))
    assert found == Oracle().leaving(trace).tolist()
