import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_trace import make_trace

from sparq_utils.traces import energy as module
from sparq_utils.traces.energy import (
    HOROWITZ_FP32,
    HOROWITZ_INT8,
    MEMORY_MODELS,
    PAPER,
    PRESETS,
    PRICED,
    EnergyConstants,
    MemoryModel,
    constants_for,
    energy,
    memory_bytes,
    power_w,
    priced_operations,
    sensitivity,
)
from sparq_utils.traces.policies import Thresholds
from sparq_utils.traces.trace import ExitTrace

FREE_MEMORY = EnergyConstants(4.6e-12, 0.03e-12, 0.9e-12, 0.1e-12, 0.0)


def counted(exits=1, samples=1, weight_bits=8, encoding="direct", **counts):
    """A trace with exactly these counts at every exit."""
    trace = make_trace(exits, samples, weight_bits=weight_bits, encoding=encoding)
    zero = np.zeros((exits, 1), dtype=np.int64)
    counts = {name: zero + counts.get(name, 0) for name in trace.counts}
    return ExitTrace(trace.confidence, trace.prediction, trace.labels, counts, trace.measured_on)


def test_table_4_follows_from_table_3():
    # 200.52 M MACs; 26.06 M ACs and 180,234 neurons x 32 steps; the same at 0.46 M and 4 steps
    ann = energy(counted(macs=200_515_584, encoding="analog"), FREE_MEMORY)
    assert ann.total[0, 0] * 1e6 == pytest.approx(922.4, abs=0.05)
    snn = energy(counted(acs=26_060_000, lif_updates=180_234 * 32), FREE_MEMORY)
    assert snn.synaptic[0, 0] * 1e6 == pytest.approx(0.78, abs=0.005)
    assert snn.lif[0, 0] * 1e6 == pytest.approx(5.77, abs=0.005)
    assert snn.total[0, 0] * 1e6 == pytest.approx(6.55, abs=0.005)
    qsnn = energy(counted(acs=460_000, lif_updates=180_234 * 4), FREE_MEMORY)
    assert qsnn.total[0, 0] * 1e6 == pytest.approx(0.73, abs=0.005)


def test_direct_coded_first_layer_pays_macs():
    parts = energy(counted(macs=10, acs=100, lif_updates=5), FREE_MEMORY)
    assert parts.synaptic[0, 0] == pytest.approx(10 * 4.6e-12 + 100 * 0.03e-12)
    assert parts.lif[0, 0] == pytest.approx(5 * 1.0e-12)
    assert parts.memory[0, 0] == 0


def test_as_printed():
    counts = {"macs": 10, "acs": 100, "spikes": 7, "dense_macs": 12}
    spiking = energy(counted(**counts), FREE_MEMORY, convention="printed")
    assert spiking.synaptic[0, 0] == pytest.approx(7 * 0.03e-12)  # Eq. 8, and nothing else
    ann = counted(encoding="analog", **{**counts, "acs": 0})
    assert energy(ann, FREE_MEMORY, convention="printed").synaptic[0, 0] == 12 * 4.6e-12
    assert energy(ann, FREE_MEMORY).synaptic[0, 0] == 10 * 4.6e-12
    with pytest.raises(ValueError, match="convention 'guess'"):
        energy(ann, convention="guess")


def test_memory_by_hand():
    counts = {"weights": 1000, "weight_passes": 4000, "macs": 300, "acs": 500, "lif_updates": 40}
    trace = counted(**counts)  # INT8: a byte a weight; a bit a spike, written and read: 10 bytes
    potentials = 40 * 2 * 4  # 40 updates, read and written, 4 bytes
    assert memory_bytes(trace, "step-by-step")[0, 0] == 4000 + 10 + potentials
    assert memory_bytes(trace, "layer-by-layer")[0, 0] == 1000 + 10
    assert memory_bytes(trace, "event-driven")[0, 0] == 300 + 500 + 10 + potentials
    assert memory_bytes(trace, MemoryModel(state_bits=8))[0, 0] == 4000 + 10 + 40 * 2
    ann = counted(encoding="analog", weight_bits=32, weights=1000, weight_passes=1000, neurons=50)
    for name in ("step-by-step", "layer-by-layer"):
        assert memory_bytes(ann, name)[0, 0] == 4 * 1000 + 2 * 4 * 50
    halved = MemoryModel(activation_bits=16)
    assert memory_bytes(ann, halved)[0, 0] == 4 * 1000 + 2 * 2 * 50


@pytest.mark.parametrize("constants", [*PRESETS, "horowitz"])
@pytest.mark.parametrize("memory", [*MEMORY_MODELS, "step-by-step-currents", "event-driven-exact"])
@pytest.mark.parametrize("convention", module.CONVENTIONS)
def test_breakdowns_add_up(constants, memory, convention):
    trace = make_trace()
    parts = energy(trace, constants, memory, convention)
    assert parts.total.shape == (3, 500)
    np.testing.assert_array_equal(parts.total, parts.synaptic + parts.lif + parts.memory)
    assert (np.diff(parts.total, axis=0) >= 0).all()  # going on is never cheaper
    leaves = Thresholds((0.6, 0.7)).leaving(trace)
    mean = sum(parts.mean_j(leaves).values())
    assert mean == pytest.approx(np.mean(parts.total[leaves, np.arange(500)]), rel=1e-12)
    priced = priced_operations(trace, leaves, constants, memory, convention)
    assert sum(priced.values()) == pytest.approx(mean, rel=1e-12)


def test_constants():
    assert pytest.approx(PAPER.mac_j) == HOROWITZ_FP32.mac_j == 4.6e-12  # 0.9 + 3.7 pJ
    int8, fp32 = make_trace(weight_bits=8), make_trace(weight_bits=32)
    assert constants_for(int8, "horowitz") is HOROWITZ_INT8
    assert constants_for(fp32, "horowitz") is HOROWITZ_FP32
    assert constants_for(fp32, "paper") is constants_for(int8, "paper") is PAPER
    with pytest.raises(ValueError, match=r"16-bit weights \(only 2, 4, 8 and 32\)"):
        constants_for(make_trace(weight_bits=16), "horowitz")
    with pytest.raises(ValueError, match="paper"):
        constants_for(int8, "papper")
    assert all(preset.source for preset in PRESETS.values())


@pytest.mark.parametrize("value", [-1e-12, float("nan"), float("inf")])
def test_impossible_constants(value):
    with pytest.raises(ValueError, match="decay_j"):
        EnergyConstants(1e-12, 1e-12, value, 1e-12, 1e-12)


@pytest.mark.parametrize("choice", [{"weights": "twice"}, {"state": "moon"}, {"state_bits": 0}])
def test_impossible_memory(choice):
    with pytest.raises(ValueError, match=next(iter(choice))):
        MemoryModel(**choice)


def test_unknown_memory_name():
    with pytest.raises(ValueError, match="layer-by-layer"):
        memory_bytes(make_trace(), "by magic")


def test_power():
    assert power_w(888e-3, 1.802) == pytest.approx(0.493, abs=5e-4)  # Table 2, AlexNet SNN
    with pytest.raises(ValueError, match="positive"):
        power_w(1.0, 0.0)


joules = st.fixed_dictionaries({name: st.floats(1e-9, 1e-3) for name in PRICED})


@given(first=joules, second=joules)
def test_break_even_makes_energies_equal(first, second):
    for row in sensitivity(first, second):
        factor, name = row["break_even"], row["constant"]
        if factor is not None and 1e-6 < factor < 1e6:
            scaled = [sum(side.values()) + (factor - 1) * side[name] for side in (first, second)]
            assert scaled[0] == pytest.approx(scaled[1], rel=1e-6)


def test_sensitivity_by_hand():
    zero = dict.fromkeys(PRICED, 0.0)
    ann, snn = zero | {"mac_j": 10.0, "byte_j": 1.0}, zero | {"ac_j": 1.0, "byte_j": 4.0}
    rows = sensitivity(ann, snn)  # the ANN needs 11, the SNN 5
    assert [row["constant"] for row in rows[:2]] == ["mac_j", "byte_j"]
    # a MAC at 0.4 of its price, bytes at 3 times, an AC at 7 times
    assert [row["break_even"] for row in rows[:3]] == pytest.approx([0.4, 3.0, 7.0])
    assert [row["break_even"] for row in rows[3:]] == [None, None]
    assert rows[0]["first_share"] == pytest.approx(10 / 11)
    assert rows[0]["second_share"] == 0.0
