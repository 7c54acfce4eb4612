"""Energy models by hand arithmetic, and where the spike wins under each."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make_trace import make_trace
from small import patterns, pictures, tiny
from test_energy import counted

from sparq_utils.networks.conversion import ClipFloorShift, convert
from sparq_utils.networks.counting import count_layers
from sparq_utils.networks.quantization import calibrate, quantize_aware, to_int8
from sparq_utils.networks.recording import record
from sparq_utils.networks.shapes import shapes
from sparq_utils.networks.spiking import LIF
from sparq_utils.networks.wiring import named_layers
from sparq_utils.traces.energy import EnergyConstants, energy, memory_bytes
from sparq_utils.traces.energy_models import ENERGY_MODELS, Priced
from sparq_utils.traces.hierarchy import Hierarchy, needs_bytes, sram_byte_j
from sparq_utils.traces.lemaire import Lemaire
from sparq_utils.traces.memory import (
    COMPLETED_MODELS,
    MEMORY_MODELS,
    MemoryModel,
    memory_model,
    traffic_bits,
)
from sparq_utils.traces.prices import HOROWITZ_FP32, HOROWITZ_INT16_STATE, constants_for
from sparq_utils.traces.rivals import break_even, spike_rate, without_spikes
from sparq_utils.traces.trace import CAUSED_BY_SPIKES, TraceError, load_trace, save_trace
from sparq_utils.traces.yan import Yan


def with_counts(encoding="direct", weight_bits=8, timesteps=4, levels=None, **counts):
    """One image's counts, at one exit."""
    trace = counted(weight_bits=weight_bits, encoding=encoding, **counts)
    on = replace(trace.measured_on, timesteps=timesteps, levels=levels)
    return replace(trace, measured_on=on)


def opponent(**counts):
    return with_counts("analog", timesteps=1, levels=4, **counts)


def test_activations_of_few_levels_take_few_bits():
    trace = opponent(neurons=50, weights=1000, weight_passes=1000)
    assert memory_bytes(trace)[0, 0] == 1000 + 2 * 50 * 3 / 8  # five numbers: three bits
    binary = replace(trace, measured_on=replace(trace.measured_on, levels=1))
    assert memory_bytes(binary)[0, 0] == 1000 + 2 * 50 * 1 / 8


def test_constant_currents_are_read_at_every_step():
    counts = {"weights": 100, "weight_passes": 400, "lif_updates": 40, "current_reads": 24}
    trace = with_counts(**counts)
    before = memory_bytes(trace, "step-by-step")[0, 0]
    assert memory_bytes(trace, "step-by-step-currents")[0, 0] == before + 24 * 4
    # INT8 synapses answer in one byte, potentials fit two, spikes are a bit; written and read
    assert memory_bytes(trace, "step-by-step-exact")[0, 0] == 400 + 24 + 2 * 40 * 2 + 2 * 40 / 8
    assert memory_bytes(trace, "layer-by-layer")[0, 0] == 100 + 2 * 40 / 8
    floats = with_counts(weight_bits=32, **counts)
    both = (memory_bytes(floats, f"step-by-step-{name}") for name in ("exact", "currents"))
    assert len({float(bytes_[0, 0]) for bytes_ in both}) == 1


@pytest.mark.parametrize(("timesteps", "bits"), [(1, 16), (4, 16), (15, 16), (16, 32), (32, 32)])
def test_potentials_take_the_bits_that_hold_every_state(timesteps, bits):
    trace = with_counts(timesteps=timesteps, lif_updates=7)
    moved = traffic_bits(trace, "step-by-step-exact")["potentials"]
    assert moved[0, 0] == 2 * bits * 7
    states = (255 * timesteps + 1) * (timesteps + 1)  # a sum of currents and a spike count
    assert (states <= 2**16) or bits == 32


def test_sixteen_bits_hold_an_int8_networks_potentials():
    prepared = quantize_aware(convert(tiny(lambda: ClipFloorShift(4)), timesteps=4))
    calibrate(prepared, pictures(100))
    network = to_int8(prepared)
    seen = {}
    layers = [layer for _, _, _, layer in named_layers(network)]
    for synapse, neurons in pairwise(layers):
        if isinstance(neurons, LIF):
            neurons.register_forward_hook(
                lambda layer, inputs, output: seen.__setitem__(layer, (inputs[0], output))
            )
            seen[neurons] = None
            neurons.unit = synapse.synapse.scale
    with torch.no_grad():
        network(pictures(60))
    assert len(seen) == 7
    for layer, (current, spikes) in seen.items():
        steps = current.expand(4, *current.shape) if layer.constant_input else (
            current.unflatten(0, (4, -1)))  # fmt: skip
        whole = (steps / layer.unit).round().numpy().astype(np.int64)  # [T, B, ...]
        potential = np.zeros(whole.shape[1:], dtype=np.int16)  # 13 bits of sum, 3 of spike count
        fired = []
        for arriving in whole:
            total, count = potential >> 3, potential & 7
            total = total + arriving
            assert abs(total).max() < 2**12
            over = total * layer.unit + layer.threshold / 2 > layer.threshold * (count + 1)
            potential = ((total << 3) + count + over).astype(np.int16)
            fired.append(over)
        assert (np.stack(fired) == spikes.unflatten(0, (4, -1)).numpy().astype(bool)).all()


def test_recording_counts_constant_currents_and_nothing_else_has_any():
    spiking = convert(tiny(lambda: ClipFloorShift(4)), timesteps=4)
    trace = record(spiking, patterns(6, 1, "test"), "snn")
    assert trace.count("current_reads").tolist() == [[4 * 8 * 8 * 4] * 6] * 3  # 4 x 8x8, T = 4
    rows = count_layers(spiking, pictures(1))
    assert [r.name for r in rows if r.static.current_reads] == ["stage0.1"]
    rate = convert(tiny(lambda: ClipFloorShift(4)), timesteps=4, encoding="rate")
    assert not record(rate, patterns(6, 1, "test"), "snn-rate").count("current_reads").any()


def test_traces_recorded_before_say_what_they_lack(tmp_path):
    new = make_trace()
    counts = {name: count for name, count in new.counts.items() if name != "current_reads"}
    old = replace(new, counts=counts)
    with pytest.raises(TraceError, match="lacks the count 'current_reads'; record it again"):
        memory_bytes(old, "step-by-step-exact")
    analog = replace(old, measured_on=replace(old.measured_on, encoding="analog"))
    assert not analog.count("current_reads").any()
    for trace in (old, new):
        save_trace(trace, tmp_path / "trace.npz")
        assert load_trace(tmp_path / "trace.npz").counts.keys() == trace.counts.keys()


def test_constants_by_precision():
    assert constants_for(make_trace(weight_bits=8), "horowitz-exact") is HOROWITZ_INT16_STATE
    assert constants_for(make_trace(weight_bits=32), "horowitz-exact") is HOROWITZ_FP32


@pytest.mark.parametrize("name", ["horowitz", "horowitz-exact"])
@pytest.mark.parametrize(("bits", "multiply"), [(4, 0.1e-12), (2, 0.05e-12)])
def test_fewer_bits_make_multiplying_cheaper_and_nothing_else(name, bits, multiply):
    eight, few = (constants_for(make_trace(weight_bits=b), name) for b in (8, bits))
    assert few.mac_j == pytest.approx(multiply + 0.1e-12)  # the INT32 addition stays
    assert replace(few, mac_j=eight.mac_j) == eight
    assert f"{bits} / 8" in few.source


def test_weights_of_few_bits_have_currents_of_eight():
    counts = {"weights": 100, "weight_passes": 400, "lif_updates": 40, "current_reads": 24}
    four = memory_bytes(with_counts(weight_bits=4, **counts), "step-by-step-exact")[0, 0]
    eight = memory_bytes(with_counts(weight_bits=8, **counts), "step-by-step-exact")[0, 0]
    assert eight - four == 400 / 2


def test_a_chip_of_ones_own_has_its_own_prices():
    trace = with_counts(weights=1000, weight_passes=4000, neurons=8, lif_updates=32)
    own = {"near_j": 1e-12, "far_j": 50e-12}
    fits = energy(trace, hierarchy=Hierarchy(2000, **own)).memory[0, 0]
    assert fits == pytest.approx(float(memory_bytes(trace)[0, 0]) * 1e-12)
    small = energy(trace, hierarchy=Hierarchy(500, **own)).memory[0, 0]  # weights lie beyond
    assert small == pytest.approx(4000 * 50e-12 + float(memory_bytes(trace)[0, 0] - 4000) * 1e-12)
    for name in own:
        with pytest.raises(ValueError, match=f"{name} is -1"):
            Hierarchy(500, **{name: -1})


def test_sram_prices_are_horowitzs_at_his_sizes_and_rise_between():
    assert sram_byte_j(8 * 1024) * 8 == pytest.approx(10e-12)
    assert sram_byte_j(32 * 1024) * 8 == pytest.approx(20e-12)
    assert sram_byte_j(2**20) * 8 == pytest.approx(100e-12)
    assert sram_byte_j(16 * 1024) * 8 == pytest.approx(10e-12 * 2**0.5)  # halfway, by ratio
    assert sram_byte_j(0) == sram_byte_j(100) == sram_byte_j(8 * 1024)


def test_what_does_not_fit_lies_in_dram():
    # 30,000 bytes of weights; 1000 neurons of 16 bits and a spike, 100 currents of 8 bits
    counts = {"weights": 30_000, "weight_passes": 120_000, "neurons": 1000, "lif_updates": 4000}
    trace = with_counts(**counts, current_reads=400)
    assert needs_bytes(trace, "step-by-step-exact") == (30_000, (1000 * 17 + 100 * 8) / 8)
    working = 2225
    moved = 2 * 4000 * 17 / 8 + 400  # bytes of potentials and spikes, and of currents
    dram = 1300e-12 / 8
    for capacity, weight, other in [
        (2**20, sram_byte_j(30_000 + working), sram_byte_j(30_000 + working)),
        (30_000 + working, sram_byte_j(32_225), sram_byte_j(32_225)),
        (30_000 + working - 1, dram, sram_byte_j(working)),
        (working - 1, dram, dram),
    ]:
        found = Hierarchy(capacity).memory_j(trace, "step-by-step-exact")[0, 0]
        assert found == pytest.approx(120_000 * weight + moved * other, rel=1e-12)
    with pytest.raises(ValueError, match="capacity_bytes is 0"):
        Hierarchy(0)


def test_a_hierarchy_replaces_the_price_of_a_byte_alone():
    trace = make_trace()
    plain = energy(trace, "horowitz", "step-by-step")
    levels = energy(trace, "horowitz", "step-by-step", hierarchy=Hierarchy())
    np.testing.assert_array_equal(plain.synaptic, levels.synaptic)
    np.testing.assert_array_equal(plain.lif, levels.lif)
    assert (levels.memory < plain.memory).all()
    off = energy(trace, "horowitz", "step-by-step", hierarchy=Hierarchy(1))  # all of it in DRAM
    np.testing.assert_allclose(off.memory, plain.memory, rtol=1e-12)


def access_j(bits):
    return 13.2e-12 + 1.09e-17 * bits


def test_lemaire_by_hand():
    # two inputs drive three neurons: 6 weights, 3 biases; two spikes arrive, one leaves, T = 4
    held = {
        "mac_weights": 3 * 9,
        "ac_weights": 6 * 9,
        "update_neurons": 12 * 3,
        "ac_neurons": 6 * 3,
    }
    spiking = with_counts(acs=6, spikes=3, lif_updates=12, neurons=3, weights=9, **held)
    weight, potential, spike = access_j(9 * 8), access_j(3 * 16), access_j(0)
    parts = Lemaire().parts(spiking)
    assert parts.synaptic[0, 0] == pytest.approx(6 * 0.1e-12 + 6 * 0.1e-12 + 3 * 2 * 3.2e-12)
    assert parts.lif[0, 0] == pytest.approx((12 + 3) * 0.1e-12)  # biases at each step, resets
    expected = (6 + 3) * weight + 2 * 3 * spike + 2 * (6 + 12) * potential
    assert parts.memory[0, 0] == pytest.approx(expected, rel=1e-12)
    # the same layer of an ANN of five levels
    ann = opponent(macs=6, neurons=3, weights=9, mac_weights=(6 + 3) * 9)
    parts = Lemaire().parts(ann)
    assert parts.synaptic[0, 0] == pytest.approx(6 * 3.2e-12 + 6 * 0.1e-12)
    assert parts.lif[0, 0] == pytest.approx(3 * 0.1e-12)
    expected = (6 + 3) * weight + (6 + 3) * access_j(3 * 3)
    assert parts.memory[0, 0] == pytest.approx(expected, rel=1e-12)


def test_lemaire_gives_each_layer_memories_of_its_own_size():
    prepared = quantize_aware(convert(tiny(lambda: ClipFloorShift(4)), timesteps=4))
    calibrate(prepared, pictures(100))
    network, images = to_int8(prepared), patterns(5, 1, "test")
    trace, known = record(network, images, "qdsnn"), shapes(network)
    sizes = {name: known[layer][1].numel() for _, _, name, layer in named_layers(network)}
    expected = np.zeros(5)
    for layer in count_layers(network, images.floats()):
        acs, spikes = (count.sum(0).numpy() for count in (layer.acs, layer.spikes))
        expected += 2 * spikes * access_j(0)
        if layer.operation in ("mac", "ac"):
            outputs, static = sizes[layer.name], layer.static
            expected += (static.macs + outputs + acs) * access_j(static.weights * 8)
            expected += 2 * acs * access_j(outputs * 16)
            neurons = trace.count("neurons")[-1, 0]
            expected += static.macs * access_j(neurons)  # pixels
        expected += 2 * layer.static.lif_updates * access_j(layer.static.neurons * 16)
    np.testing.assert_allclose(Lemaire().parts(trace).memory[-1], expected)
    lacking = {name: count for name, count in trace.counts.items() if name != "ac_weights"}
    with pytest.raises(TraceError, match="lacks the count 'ac_weights'"):
        Lemaire().parts(replace(trace, counts=lacking))


@pytest.mark.parametrize("model", ENERGY_MODELS.values(), ids=list(ENERGY_MODELS))
def test_every_model_prices_every_trace_and_says_whence(model):
    assert model.source and ENERGY_MODELS[model.name] is model
    opposed = make_trace(encoding="analog", timesteps=1, levels=4)
    for trace in (make_trace(), make_trace(weight_bits=32), opposed):
        total = model.parts(trace).total
        assert total.shape == (3, 500) and (total > 0).all()
        assert (np.diff(total, axis=0) >= 0).all()  # going on is never cheaper


def test_the_papers_model_is_the_one_that_tables_use():
    trace = make_trace()
    for name in ("step-by-step", "layer-by-layer", "event-driven"):
        for constants in ("paper", "horowitz"):
            ours = ENERGY_MODELS[f"{constants}-{name}"].parts(trace)
            np.testing.assert_array_equal(ours.total, energy(trace, constants, name).total)


def test_break_even_by_hand():
    # a pJ a MAC and a tenth an AC; nothing else costs: 100 + 0.1 x 500 against 200
    model = Priced(
        "toy", "here", EnergyConstants(1e-12, 1e-13, 0, 0, 0), memory_model("layer-by-layer")
    )
    spiking = with_counts(macs=100, acs=500, spikes=10, lif_updates=200)
    leave = np.zeros(1, dtype=np.int64)
    found = break_even(model, [(spiking, leave)], [(opponent(macs=200), leave)])
    assert found.spiking_j == pytest.approx(150e-12) and found.opponent_j == pytest.approx(200e-12)
    assert found.rate == 0.05 and found.spike_wins
    assert found.ratio == pytest.approx(0.75)
    assert found.break_even == pytest.approx(0.10)  # twice the spikes: 100 + 0.1 x 1000
    # in silence it costs 100: an opponent below can not be beaten
    assert break_even(model, [(spiking, leave)], [(opponent(macs=90), leave)]).break_even == 0
    free = replace(model, constants=EnergyConstants(1e-12, 0, 0, 0, 0))  # spikes cost nothing
    assert break_even(free, [(spiking, leave)], [(opponent(macs=101), leave)]).break_even == np.inf
    assert break_even(free, [(spiking, leave)], [(opponent(macs=99), leave)]).break_even == 0


@settings(max_examples=30, deadline=None)
@given(
    model=st.sampled_from(list(ENERGY_MODELS.values())),
    seed=st.integers(0, 99),
    share=st.floats(0.05, 3),
)
def test_at_the_break_even_rate_both_cost_the_same(model, seed, share):
    spiking = make_trace(seed=seed)
    rng = np.random.default_rng(seed)
    leaving, others = rng.integers(0, 3, (2, 500))
    theirs = make_trace(seed=seed + 1, encoding="analog", timesteps=1, levels=4)
    macs = (theirs.counts["macs"] * share * 40).astype(np.int64)
    theirs = replace(theirs, counts=theirs.counts | {"macs": macs})
    found = break_even(model, [(spiking, leaving)], [(theirs, others)])
    assert found.rate == pytest.approx(spike_rate(spiking, leaving))
    if 0 < found.break_even < np.inf:
        scale = found.break_even / found.rate
        scaled = {
            name: np.rint(spiking.counts[name] * scale).astype(np.int64)
            for name in CAUSED_BY_SPIKES
        }
        then = replace(spiking, counts=spiking.counts | scaled)
        energy_j = model.parts(then).total[leaving, np.arange(500)].mean()
        assert energy_j == pytest.approx(found.opponent_j, rel=1e-4)  # counts are whole numbers
    silent = model.parts(without_spikes(spiking)).total[leaving, np.arange(500)].mean()
    assert (found.break_even == 0) == (silent >= found.opponent_j)
    assert found.spike_wins == (found.rate < found.break_even)


def test_seeds_count_alike():
    model = ENERGY_MODELS["horowitz-event-driven-exact"]
    seeds = [(make_trace(seed=s), np.full(500, 2)) for s in range(3)]
    rivals = [(make_trace(seed=9, encoding="analog", levels=4), np.full(500, 2))]
    whole = break_even(model, seeds, rivals)
    each = [break_even(model, [seed], rivals) for seed in seeds]
    assert whole.spiking_j == pytest.approx(np.mean([one.spiking_j for one in each]))
    assert whole.rate == pytest.approx(np.mean([one.rate for one in each]))


def test_only_spikes_can_break_even():
    leave = np.full(500, 2)
    ann = make_trace(encoding="analog", levels=4)
    silent = {"spikes": np.zeros((3, 1), np.int64), "lif_updates": np.zeros((3, 1), np.int64)}
    ann = replace(ann, counts=ann.counts | silent)
    with pytest.raises(ValueError, match="has no spikes: give the spiking one first"):
        break_even(ENERGY_MODELS["lemaire"], [(ann, leave)], [(make_trace(), leave)])
    with pytest.raises(ValueError, match="at least one trace"):
        break_even(ENERGY_MODELS["lemaire"], [], [(ann, leave)])


def test_memory_models_say_what_they_leave_out():
    assert MEMORY_MODELS["step-by-step"] == MemoryModel()
    for name, model in (MEMORY_MODELS | COMPLETED_MODELS).items():
        assert model.name == name and memory_model(name) is model


@pytest.mark.parametrize(
    ("timesteps", "weight_bits", "published"),
    [(5, 4, 0.057), (2, 4, 0.104), (2, 8, 0.123), (3, 8, 0.082)],
)
def test_yans_break_even_is_the_published_one(timesteps, weight_bits, published):
    """A layer of fan-in 4096, typical neuromorphic hardware; only the first one set the price."""
    connections, neurons = 4096 * 4096, 4096
    fired = int(neurons * timesteps * published)
    ours = with_counts(
        weight_bits=weight_bits, timesteps=timesteps, acs=fired * 4096, spikes=fired,
        lif_updates=neurons * timesteps,
    )  # fmt: skip
    theirs = with_counts("analog", weight_bits, 1, levels=timesteps, macs=connections)
    nonzero = 2 * timesteps * published / (1 + timesteps)  # of the average case that it considers
    leave = np.zeros(1, dtype=np.int64)
    found = break_even(Yan(zeros=1 - nonzero), [(ours, leave)], [(theirs, leave)])
    assert found.break_even == pytest.approx(published, rel=0.025)
    assert abs(found.ratio - 1) < 0.025


def test_yan_by_hand():
    trace = with_counts(macs=10, acs=100, spikes=5, lif_updates=8, timesteps=4)
    parts = Yan(hops=2, zeros=0.25).parts(trace)
    accumulate, weight = 0.05448e-12, 8 * 0.0367e-12
    assert parts.synaptic[0, 0] == pytest.approx((100 + 10 * 3 * 0.75) * accumulate)
    assert parts.lif[0, 0] == pytest.approx((8 + 5) * accumulate)
    moved = 2 * (100 * 3.0e-12 + 10 * 3 * 0.25e-12)  # five levels take three bits
    assert parts.memory[0, 0] == pytest.approx(moved + 110 * weight)
    theirs = Yan(zeros=1).parts(opponent(macs=10))
    assert theirs.total[0, 0] == pytest.approx(10 * (3 * 0.25e-12 + weight))
    for wrong in ({"hops": -1}, {"zeros": 1.5}, {"hops": float("nan")}):
        with pytest.raises(ValueError, match="no such chip"):
            Yan(**wrong)
