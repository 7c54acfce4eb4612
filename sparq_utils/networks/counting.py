"""Counting operations: as the paper's equations print them, and exact to the last one.

One multiply-accumulate (MAC) is one weight times one real number, added; one accumulate (AC) is
one weight added because a spike arrived. Which of the two a synapse does the network declares
(:mod:`sparq_utils.networks.wiring`).

A spike is counted once for every weight it really meets: the fan-out at its position, found by
carrying ones back through the synapse and the pooling before it, so that borders and stride are
exact. A pooled spike still meets every weight of the position it is pooled into.

The identity shortcut of a residual block is one connection per input: an AC per spike. Of an
analog value, a level too, it is one addition without a multiplication, and so one AC as well.
Adding up the two ways costs nothing beyond: both accumulate into the same sums.

Not counted: adding biases, batch norm (conversion folds it into the weights), and the additions
of average pooling itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn

from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.residual import IdentitySynapse
from sparq_utils.networks.shapes import Shapes, shapes
from sparq_utils.networks.spiking import LIF
from sparq_utils.networks.wiring import (
    UNITS,
    Synapse,
    dense_macs,
    exact_macs,
    fan_out,
    fan_out_at_source,
    is_spike_coded,
    is_spiking,
    named_layers,
    parameters_of,
    synapses,
)

__all__ = [
    "LayerCounts",
    "SpikeCounter",
    "Static",
    "count_layers",
    "count_shares",
    "dense_macs",
    "exact_macs",
    "fan_out",
    "static_counts",
    "synapses",
]

Part = tuple[str, int]
"""A stage or head: ("stage" or "head", index)."""


@dataclass(frozen=True)
class Static:
    """Counts of a layer, stage or head that do not depend on the image, over all its timesteps."""

    macs: int = 0
    dense_macs: int = 0
    neurons: int = 0
    lif_updates: int = 0
    weights: int = 0
    weight_passes: int = 0
    current_reads: int = 0
    mac_weights: int = 0
    update_neurons: int = 0

    def __add__(self, other: "Static") -> "Static":
        mine, theirs = vars(self), vars(other)
        return Static(**{name: mine[name] + theirs[name] for name in mine})


REPEATED = ("macs", "lif_updates", "weight_passes", "current_reads", "update_neurons")
"""The static counts that are paid again at every timestep a layer runs."""


@dataclass(frozen=True)
class LayerCounts:
    """What one layer costs, image by image and step by step.

    `name` is "stage0.2" (its position) or "input"; `kind` the type of layer; `operation` "mac" or
    "ac" for synapses, "neuron" for neurons, "input" for spike trains. `static` holds what is the
    same for all images. `acs` and `spikes` are int64 [T, B]: accumulates that arriving spikes
    trigger at its weights (or analog values at an identity), and spikes that it emits (Eq. 8).
    """

    name: str
    kind: str
    operation: str
    part: Part
    runs: int
    static: Static
    acs: Tensor
    spikes: Tensor


@dataclass(frozen=True)
class _Row:
    """One layer that costs anything, and, if it is a synapse, what drives it."""

    name: str
    part: Part
    layer: nn.Module
    operation: str
    runs: int
    static: Static
    synapse: Synapse | None = None
    additions: int = 0  # of analog values, each time it runs


def _rows(network: EarlyExitNetwork, known: Shapes, skip_zeros: bool) -> Iterator[_Row]:
    """Every layer that costs anything, in order of evaluation.

    A neuron is an activation or LIF unit, or a unit of an output layer, which integrates its
    input every step as the others do (so AlexNet has the paper's 180,234).
    """
    found = {synapse.layer: synapse for synapse in synapses(network)}
    layers = list(named_layers(network))
    outputs = {(kind, index): layer for kind, index, _, layer in layers if kind == "head"}
    updates = network.timesteps if is_spiking(network) else 0
    if is_spike_coded(network):
        steps = network.timesteps
        yield _Row("input", ("stage", 0), network.encoder, "input", steps, Static())
    for kind, index, name, layer in layers:
        part = (kind, index)
        is_unit = isinstance(layer, UNITS) or layer is outputs.get(part)
        neurons = known[layer][1].numel() if is_unit else 0
        constant = getattr(layer, "constant_input", False)  # the same currents at every step
        static = Static(
            neurons=neurons,
            lif_updates=neurons * updates,
            current_reads=neurons * updates if constant else 0,
            update_neurons=neurons * updates * neurons,
        )
        synapse = found.get(layer)
        if synapse:
            static += _synapse_counts(synapse, *known[layer], skip_zeros)
            is_identity = isinstance(layer, IdentitySynapse)
            additions = known[layer][0].numel() if is_identity and not synapse.spiking else 0
            operation = "ac" if synapse.spiking or is_identity else "mac"
            yield _Row(name, part, layer, operation, synapse.runs, static, synapse, additions)
        elif neurons:
            yield _Row(name, part, layer, "neuron", network.timesteps, static)


def _synapse_counts(
    synapse: Synapse, inputs: torch.Size, outputs: torch.Size, skip_zeros: bool
) -> Static:
    """What a synapse costs whatever the image."""
    parameters = parameters_of(synapse.layer)
    multiplies = not (synapse.spiking or isinstance(synapse.layer, IdentitySynapse))
    macs = exact_macs(synapse.layer, inputs, skip_zeros) if multiplies else 0
    return Static(
        macs=macs * synapse.runs,
        dense_macs=dense_macs(synapse.layer, outputs),
        weights=parameters,
        weight_passes=parameters * synapse.runs,
        mac_weights=(macs * synapse.runs + outputs.numel()) * parameters,
    )


def static_counts(network: EarlyExitNetwork, skip_zeros: bool = False) -> dict[Part, Static]:
    """What each stage and head costs whatever the image, by ("stage" or "head", index)."""
    counts = {(kind, index): Static() for kind, index, _ in network.parts()}
    for row in _rows(network, shapes(network), skip_zeros):
        counts[row.part] += row.static
    return counts


def count_shares(network: EarlyExitNetwork, what: str) -> list[float]:
    """The fraction of a count ("weights", "dense_macs", ...) in each stage, side exits left out.

    The last stage's includes the head that ends the network.
    """
    parts, last = static_counts(network), network.exits - 1
    counts = [getattr(parts["stage", stage], what) for stage in range(network.exits)]
    counts[-1] += getattr(parts["head", last], what)
    return [count / sum(counts) for count in counts]


def macs_to_exits(network: EarlyExitNetwork) -> list[int]:
    """MACs up to each exit, the heads on the way included."""
    parts = static_counts(network)
    steps = (parts["stage", e].macs + parts["head", e].macs for e in range(network.exits))
    return list(accumulate(steps))


class SpikeCounter:
    """Counts ACs and spikes of each sample, timestep and layer while a spiking network runs.

    Use as a context manager; after each forward pass take what was counted, by layer
    (`take_layers`), by part and step (`take_steps`) or by part (`take`). Parts are in order of
    `network.parts()`. Spikes are those that neurons (and a spike-coded input) emit: Eq. 8 as
    printed. Each layer of neurons is read once, whatever its spikes drive.
    """

    def __init__(self, network: EarlyExitNetwork, skip_zeros: bool = False) -> None:
        self.network, self.timesteps = network, network.timesteps
        known = shapes(network)
        self.rows = list(_rows(network, known, skip_zeros))
        self.parts = [(kind, index) for kind, index, _ in network.parts()]
        sizes = {"ac_weights": [], "ac_neurons": []}  # of the layer that each row's ACs are of
        for row in self.rows:
            sizes["ac_weights"].append(row.static.weights)
            sizes["ac_neurons"].append(known[row.layer][1].numel() if row.synapse else 0)
        self._sizes = {name: torch.tensor(each) for name, each in sizes.items()}
        self._columns: dict[nn.Module, list[int]] = {}
        fans: dict[nn.Module, list[Tensor]] = {}
        for number, row in enumerate(self.rows):
            if isinstance(row.layer, LIF) or row.operation == "input":
                self._columns[row.layer] = [number]
                fans[row.layer] = [torch.ones(known[row.layer][1], dtype=torch.float64)]
            elif row.synapse and row.synapse.spiking:
                self._columns[row.synapse.source].append(number)
                fan = fan_out_at_source(row.synapse, known, skip_zeros)
                fans[row.synapse.source].append(fan)
        self._fans = {source: torch.stack(columns) for source, columns in fans.items()}
        self._found: dict[nn.Module, list[Tensor]] = {}  # a batch may come in pieces

    def __enter__(self) -> "SpikeCounter":
        self._hooks = [
            source.register_forward_hook(self._hook(source, fans))
            for source, fans in self._fans.items()
        ]
        forget = self.network.encoder.register_forward_pre_hook(lambda *_: self._found.clear())
        self._hooks.append(forget)  # once a forward pass, before all others
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _hook(self, source: nn.Module, fans: Tensor):
        """Counts a source's spikes, weighted by each column of `fans` [columns, C, ...]."""
        fans = fans.reshape(
            *fans.shape[:2], -1
        )  # [columns, C, positions], [columns, F, 1] for features
        alike = bool((fans == fans[:, :1]).all())  # every channel has the same fan-out
        # No sum can exceed what all neurons firing at once trigger (or all inputs, if each has as
        # many events as it may): exact in float32 below 2**24, in float64 below 2**53.
        most = fans.sum((1, 2)).max() * getattr(source, "most", 1)
        exact = torch.float32 if most < 2**24 else torch.float64
        weights = (fans[:, 0] if alike else fans.flatten(1)).T.contiguous().to(exact)

        def count(_layer: nn.Module, _inputs: tuple[Tensor], spikes: Tensor) -> None:
            spikes = spikes.detach().float()  # [T*B, C, ...]
            if not alike:
                arrivals = spikes.flatten(1)  # [T*B, C * positions]
            elif spikes.ndim == 2:
                arrivals = spikes @ spikes.new_ones(spikes.shape[1], 1)  # [T*B, 1]
            else:  # sums over channels by matrix product: integers, exact in float32
                ones = spikes.new_ones(1, spikes.shape[1])
                arrivals = (ones @ spikes.flatten(2)).squeeze(1)  # [T*B, positions]
            counted = arrivals.to(exact) @ weights.to(spikes.device)  # [T*B, columns]
            steps = counted.long().cpu().unflatten(0, (self.timesteps, -1))  # [T, b, columns]
            self._found.setdefault(source, []).append(steps)

        return count

    def static_steps(self) -> dict[str, Tensor]:
        """What each timestep costs whatever the image: name of a count -> int64 [parts, T].

        What happens once (a direct-coded first layer's MACs, a weight's first use) is in step 0.
        """
        size = (len(self.parts), self.timesteps)
        steps = {name: torch.zeros(size, dtype=torch.int64) for name in vars(Static())}
        for row in self.rows:
            for name, count in vars(row.static).items():
                target = steps[name][self.parts.index(row.part)]  # [T]
                if name in REPEATED and row.runs > 1:
                    target += count // row.runs
                else:
                    target[0] += count
        return steps

    def take_layers(self, batch: int) -> tuple[Tensor, Tensor]:
        """ACs and spikes of the last forward pass, each int64 [rows, T, batch].

        Raises `RuntimeError` if the network has not run since they were last taken.
        """
        acs = torch.zeros(len(self.rows), self.timesteps, batch, dtype=torch.int64)
        spikes = torch.zeros_like(acs)
        for source, (own, *driven) in self._columns.items():
            if source not in self._found:
                raise RuntimeError("nothing was counted: run the network, inside the counter")
            counted = torch.cat(self._found.pop(source), 1)  # [T, B, columns]
            spikes[own] = counted[..., 0]
            for column, number in enumerate(driven, start=1):
                acs[number] = counted[..., column]
        for number, row in enumerate(self.rows):
            acs[number, : row.runs] += row.additions
        return acs, spikes

    def take_steps(self, batch: int) -> dict[str, Tensor]:
        """What the spikes of the last forward pass cost: by name, int64 [parts, T, batch].

        Beside `acs` and `spikes`, `ac_weights` and `ac_neurons` say how large the memories are
        that the accumulates read.
        """
        part_of = torch.tensor([self.parts.index(row.part) for row in self.rows], dtype=torch.int64)
        empty = torch.zeros(len(self.parts), self.timesteps, batch, dtype=torch.int64)
        acs, spikes = self.take_layers(batch)
        layers = {"acs": acs, "spikes": spikes}
        layers |= {name: acs * sizes[:, None, None] for name, sizes in self._sizes.items()}
        return {name: empty.index_add(0, part_of, counts) for name, counts in layers.items()}

    def take(self, batch: int) -> tuple[Tensor, Tensor]:
        """ACs and spikes of the last forward pass, each int64 [parts, batch]."""
        steps = self.take_steps(batch)
        return steps["acs"].sum(1), steps["spikes"].sum(1)


@torch.no_grad()
def count_layers(
    network: EarlyExitNetwork, images: Tensor, skip_zeros: bool = False
) -> list[LayerCounts]:
    """Run images [B, *input_shape] once, all heads included; what every layer cost, in order.

    The network is left in evaluation mode. Raises `ValueError` for images of another shape and
    for layers that cannot be counted.
    """
    network.eval().check_input(images)
    with SpikeCounter(network, skip_zeros) as counter:
        network(images)
        acs, spikes = counter.take_layers(len(images))
    return [
        LayerCounts(
            name=row.name,
            kind="input" if row.operation == "input" else type(row.layer).__name__,
            operation=row.operation,
            part=row.part,
            runs=row.runs,
            static=row.static,
            acs=acs[number],
            spikes=spikes[number],
        )
        for number, row in enumerate(counter.rows)
    ]
