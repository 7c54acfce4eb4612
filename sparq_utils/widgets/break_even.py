"""The break-even explorer: when the spike wins, one knob at a time."""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import numpy as np
import traitlets

from sparq_utils.traces.energy import mean_at
from sparq_utils.traces.memory import activation_bits, memory_model, state_bits
from sparq_utils.traces.prices import EnergyConstants, one_of
from sparq_utils.traces.rivals import Left, spike_rate
from sparq_utils.traces.trace import ExitTrace
from sparq_utils.widgets.base import Explorer, Number, addressed, script
from sparq_utils.widgets.joules import MEMORIES
from sparq_utils.widgets.pricing import checked_prices, price_presets, prices

KNOBS = ("rate", "timesteps", "bits")
"""What a term may be proportional to: spikes per neuron and step, T, the bits of a weight."""

MOST_STEPS = 15
"""Up to here 16-bit potentials suffice (:func:`~sparq_utils.traces.memory.state_bits`)."""


class BreakEvenExplorer(Explorer):
    """Turn one knob at a time; a sentence says who needs less modelled energy, and by how much.

    `rivals` maps a label to a spiking network and its opponent, each a sequence of
    (trace, leaving) pairs, one per seed, as :func:`~sparq_utils.traces.rivals.break_even` takes
    them. The energy of both is a sum of terms (:func:`terms`): an amount, the constant that
    prices it, and the knobs it is proportional to. The knobs start at what was recorded.

    Synced: `selected` (label), `memory` (one of :data:`~sparq_utils.widgets.joules.MEMORIES`),
    `constants` (:data:`~sparq_utils.widgets.pricing.Prices`), and the knobs `rate`, `timesteps`,
    `bits`. :attr:`point` is what they give. Raises `ValueError` without rivals, and for a network
    without spikes or seeds.
    """

    _esm: ClassVar[str] = script("break-even.js")
    in_address = addressed("selected", "memory", "rate", "timesteps", "bits", "constants")

    rivals = traitlets.Dict().tag(sync=True)
    memories = traitlets.List().tag(sync=True)
    constant_presets = traitlets.List().tag(sync=True)
    selected = traitlets.Unicode().tag(sync=True)
    memory = traitlets.Unicode().tag(sync=True)
    constants = traitlets.Dict().tag(sync=True)
    rate = Number(min=0, max=1).tag(sync=True)
    timesteps = traitlets.Int(min=1, max=MOST_STEPS).tag(sync=True)
    bits = traitlets.Int(min=1, max=32).tag(sync=True)

    def __init__(
        self,
        rivals: Mapping[str, tuple[Sequence[Left], Sequence[Left]]],
        constants: EnergyConstants | str = "paper",
        memory: str = "step-by-step",
        **kwargs: object,
    ) -> None:
        if not rivals:
            raise ValueError("no rivals given; a break-even explorer needs at least one pair")
        one_of("memory model", memory, tuple(MEMORIES))
        described = {label: _described(label, *pair) for label, pair in rivals.items()}
        traces = [trace for pair in rivals.values() for side in pair for trace, _ in side]
        first = next(iter(described))
        kwargs = {"selected": first, **described[first]["recorded"]} | kwargs
        super().__init__(
            rivals=described,
            memories=[{"name": name, "about": about} for name, about in MEMORIES.items()],
            constant_presets=price_presets(traces),
            memory=memory,
            constants=prices(constants, traces),
            **kwargs,
        )

    @property
    def point(self) -> dict[str, float]:
        """Modelled joules per image of both, and the spike rate at which they meet.

        Keys: spiking_j, opponent_j and break_even, under which the spiking network needs less: 0
        where it would lose in silence too, above 1 where it wins at any rate.
        """
        chosen = self.rivals[self.selected]
        price = self.constants[chosen["bits_per_weight"]]
        knobs = {name: getattr(self, name) for name in KNOBS}

        def joules(side: str, **change: float) -> float:
            return energy_j(chosen["terms"][self.memory][side], price, knobs | change)

        silent, opponent = joules("spiking", rate=0.0), joules("opponent")
        slope = joules("spiking", rate=1.0) - silent
        even = (opponent - silent) / slope if slope else np.inf
        return {
            "spiking_j": joules("spiking"),
            "opponent_j": opponent,
            "break_even": even if silent < opponent else 0.0,
        }

    @traitlets.validate("constants")
    def _priced(self, proposal: dict) -> dict:
        """Refuse prices that are missing, negative or not finite."""
        bits = {one["bits_per_weight"] for one in self.rivals.values()}
        return checked_prices(proposal["value"], bits)

    @traitlets.validate("memory")
    def _known_memory(self, proposal: dict) -> str:
        """Refuse a memory model that is not offered."""
        one_of("memory model", proposal["value"], tuple(MEMORIES))
        return proposal["value"]

    @traitlets.validate("selected")
    def _known(self, proposal: dict) -> str:
        """Refuse a label that no pair has."""
        one_of("network", proposal["value"], tuple(self.rivals))
        return proposal["value"]


def energy_j(
    terms: Iterable[Mapping], price: Mapping[str, float], knobs: Mapping[str, float]
) -> float:
    """Modelled joules per image: each term's amount, times its constant, times its knobs."""
    factors = {**knobs, "level_bits": int(knobs["timesteps"]).bit_length()}
    total = 0.0
    for term in terms:
        value = term["amount"] * price[term["price"]]
        for name in term["times"]:
            value *= factors[name]
        total += value
    return total


def _described(label: str, spiking: Sequence[Left], opponent: Sequence[Left]) -> dict:
    """One pair as the page reads it: its terms by memory model, and what was recorded."""
    if not spiking or not opponent:
        raise ValueError(f"'{label}' lacks seeds: give at least one trace of each network")
    rate = float(np.mean([spike_rate(*left) for left in spiking]))
    if not rate:
        raise ValueError(f"'{label}' has no spikes: give the spiking network first")
    bits = {str(trace.measured_on.weight_bits) for side in (spiking, opponent) for trace, _ in side}
    if len(bits) > 1:
        raise ValueError(f"'{label}' compares weights of {' and '.join(sorted(bits))} bits")
    on = spiking[0][0].measured_on
    if on.timesteps > MOST_STEPS:
        raise ValueError(f"'{label}' has T = {on.timesteps}; at most {MOST_STEPS} can be compared")
    return {
        "terms": {
            name: {"spiking": terms(spiking, name, rate), "opponent": terms(opponent, name)}
            for name in MEMORIES
        },
        "recorded": {"rate": rate, "timesteps": on.timesteps, "bits": on.weight_bits},
        "bits_per_weight": bits.pop(),
    }


def terms(seeds: Sequence[Left], memory: str, rate: float = 1.0) -> list[dict]:
    """The energy of a network as a sum of terms, means per image over all seeds.

    Each has an `amount`, the `price` it is paid at (a constant's name), and the knobs that it is
    proportional to (`times`): T and the bits of a weight; "rate", of which the recorded one is
    `rate`; "level_bits", what an activation of T + 1 levels takes. A direct-coded first layer is
    computed once, whatever T.
    """
    each = [_terms_of(trace, leaving, memory, rate) for trace, leaving in seeds]
    return [
        {**same[0], "amount": float(np.mean([one["amount"] for one in same]))}
        for same in zip(*each, strict=True)
        if any(one["amount"] for one in same)
    ]


def _terms_of(trace: ExitTrace, leaving: np.ndarray, memory: str, rate: float) -> list[dict]:
    """The terms of one seed, zeros included."""
    model, steps = memory_model(memory), trace.measured_on.timesteps
    potential, current = state_bits(trace, model)

    def mean(name: str) -> float:
        return mean_at(trace.count(name), leaving)

    def term(amount: float, price: str, *times: str) -> dict:
        return {"amount": amount, "price": price, "times": list(times)}

    def bits(amount: float, *times: str) -> dict:
        return term(amount / 8, "byte_j", *times)

    macs, acs, updates = mean("macs"), mean("acs") / (rate * steps), mean("lif_updates") / steps
    again = (mean("weight_passes") - mean("weights")) / (steps - 1) if steps > 1 else 0.0
    if model.weights == "once":
        fetched = [bits(mean("weights"), "bits"), bits(0.0, "bits", "timesteps")]
    elif model.weights == "timestep":
        fetched = [bits(mean("weights") - again, "bits"), bits(again, "bits", "timesteps")]
    else:
        fetched = [bits(macs, "bits"), bits(acs, "bits", "rate", "timesteps")]
    if trace.measured_on.encoding != "analog":
        activations = bits(2 * updates, "timesteps")
    elif trace.measured_on.levels is not None:
        activations = bits(2 * mean("neurons"), "level_bits")
    else:
        activations = bits(2 * activation_bits(trace, model) * mean("neurons"))
    reads = mean("current_reads") / steps if model.currents else 0.0
    return [
        term(macs, "mac_j"),
        term(acs, "ac_j", "rate", "timesteps"),
        term(updates, "decay_j", "timesteps"),
        term(updates, "compare_j", "timesteps"),
        *fetched,
        bits(2 * potential * updates, "timesteps"),
        activations,
        bits(current * reads, "timesteps"),
    ]
