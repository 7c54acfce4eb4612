"""An inference copy of a network whose layers run in the form that is fastest on this machine.

What is fastest depends on the processor, the batch and how many spikes there are: matrix units for
bytes favour :class:`~sparq_utils.networks.integer.IntegerSynapse`, silence favours
:class:`~sparq_utils.networks.events.EventSynapse`, and small layers are best left alone. No name
of a processor tells, so a short measurement does, on the first inputs that arrive.
"""

import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from itertools import pairwise
from math import inf

import torch
from torch import Tensor, nn

from sparq_utils.networks.early_exit import EarlyExitNetwork
from sparq_utils.networks.events import EventSynapse, PooledLIF, can_skip_zeros
from sparq_utils.networks.integer import IntegerSynapse, can_add_bytes
from sparq_utils.networks.residual import swap_layers
from sparq_utils.networks.spiking import LIF
from sparq_utils.networks.wiring import Synapse, synapses

SMALLEST = 2**16
"""Layers with fewer weights stay: looking for spikes would take longer than it saves."""

SIDE_BY_SIDE = 64
"""From so many channels on they lie side by side in memory, where pooling is fastest then."""

ROUNDS = 3
"""How often each form is timed."""

HOPELESS = 1.5
"""A form that takes so many times as long as the best is not timed again."""


def optimize_for_inference(network: EarlyExitNetwork, smallest: int = SMALLEST) -> EarlyExitNetwork:
    """An inference copy of a network, on a CPU, that gives the same answers up to rounding.

    Synapses of at least `smallest` weights whose inputs are spikes or levels become
    :class:`FastestSynapse`, neurons pool their own spikes, and channels lie side by side in memory
    where there are many. Weights are copied as they are now. Count operations on the network, not
    on the copy. Raises `ValueError` for a layer that cannot be counted.
    """
    fast = deepcopy(network).cpu().eval().requires_grad_(False)
    dtype = next((weight.dtype for weight in fast.parameters()), torch.float32)
    with torch.no_grad():  # how many images fit the cache is asked of the layers as they are
        next(fast.pieces(torch.zeros(1, *fast.input_shape, dtype=dtype)))
    swapped: dict[nn.Module, nn.Module] = {}
    for synapse in synapses(fast):
        forms = _forms(synapse)
        if forms and synapse.layer.weight.numel() >= smallest:
            swapped[synapse.layer] = FastestSynapse(synapse.layer, forms)
    for module in list(fast.modules()):
        if isinstance(module, nn.Sequential):
            swapped |= _pooled(module)
        elif isinstance(module, nn.Conv2d) and module.out_channels >= SIDE_BY_SIDE:
            module.to(memory_format=torch.channels_last)
    swap_layers(fast, swapped)
    return fast


def _pooled(layers: nn.Sequential) -> dict[nn.Module, nn.Module]:
    """What stands in the place of neurons and of average pooling right after them."""
    swapped: dict[nn.Module, nn.Module] = {}
    for layer, after in pairwise(layers):
        if type(layer) is LIF and isinstance(after, nn.AvgPool2d):
            swapped |= {layer: PooledLIF(layer, after), after: nn.Identity()}
    return swapped


Form = Callable[[], nn.Module]


def _forms(synapse: Synapse) -> list[Form]:
    """Other forms that a synapse can run in."""
    layer, timesteps, forms = synapse.layer, synapse.runs, []
    if synapse.levels is None:
        return forms
    if can_add_bytes(layer, synapse.most):
        forms.append(partial(IntegerSynapse, layer, synapse.levels))
    if can_skip_zeros(layer):
        forms += [
            partial(EventSynapse, layer, timesteps, together)
            for together in (1, 2, 4)
            if together <= timesteps
        ]
    return forms


class FastestSynapse(nn.Module):
    """A synapse in the fastest of several forms, measured for each size of input that arrives.

    Sizes within a factor of two share a measurement. The forms agree up to rounding.
    """

    def __init__(self, layer: nn.Module, others: Sequence[Form]) -> None:
        super().__init__()
        self.layer, self.others = layer, others
        self.built: dict[int, nn.Module] = {0: layer}  # by number: the layer, then the others
        self.chosen: dict[tuple, int] = {}  # by size of the input

    def forward(self, x: Tensor) -> Tensor:
        """Inputs [T*B, ...] to currents."""
        size = (len(x).bit_length(), x.shape[1:], torch.get_num_threads())
        if size not in self.chosen:
            self.chosen[size] = self._fastest_for(x)
        return self.built[self.chosen[size]](x)

    def _fastest_for(self, x: Tensor) -> int:
        """The number of the form that takes least time; those that never do are let go."""
        forms = {number: make() for number, make in enumerate(self.others, start=1)} | self.built
        best = dict.fromkeys(forms, inf)
        for turn in range(ROUNDS + 1):
            for number, form in forms.items():
                if turn > 1 and best[number] > HOPELESS * min(best.values()):
                    continue
                start = time.perf_counter()
                form(x)
                if turn:  # the first one packs weights and warms up
                    best[number] = min(best[number], time.perf_counter() - start)
        fastest = min(best, key=best.get)
        self.built = {n: forms[n] for n in {0, fastest, *self.chosen.values()}}
        return fastest

    def extra_repr(self) -> str:
        """What was chosen so far, by the size of the input."""
        return ", ".join(
            f"up to {2**bits - 1} rows: {type(self.built[number]).__name__}"
            for (bits, *_), number in self.chosen.items()
        )
