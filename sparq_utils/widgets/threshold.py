"""The threshold explorer: what leaving early buys, for every threshold, policy and price."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import traitlets

from sparq_utils.results.variants import LABELS
from sparq_utils.traces.energy import EnergyConstants, MemoryModel
from sparq_utils.traces.policies import LastExit, Policy, Thresholds
from sparq_utils.traces.trace import ExitTrace
from sparq_utils.widgets.base import Explorer, addressed, pack, script, smallest
from sparq_utils.widgets.pricing import (
    checked_leaving,
    checked_points,
    checked_prices,
    countable,
    energy_parts_j,
    precision,
    price_presets,
    prices,
    totals,
)

NEVER = "Never leave early"
PAPER_THRESHOLDS = (0.2, 0.4), (0.6, 0.7)
"""The paper's two configurations (Table 1)."""

CLASS_NAMES = {
    "CIFAR-10": [
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ],
    "MNIST": [str(digit) for digit in range(10)],
}


class ThresholdExplorer(Explorer):
    """Move the thresholds of early exits; see accuracy, energy and operations answer.

    `traces` are dynamic variants by label ("LeNet-5, QDSNN"). `full` gives the trace of each
    label's full network, without side heads (or leave it out: the last exit stands for it, side
    heads included). `presets` are policies by label and name, or where they leave, int [samples].
    `paper_points` by label: see :func:`~sparq_utils.widgets.pricing.paper_points`. `constants`,
    `memory` and `convention` price operations: see :mod:`sparq_utils.traces.energy`.

    Synced with the page: `selected` (label), `thresholds`, `preset` (a policy in force instead
    of thresholds, or ""), `constants` (:data:`~sparq_utils.widgets.pricing.Prices`).
    :attr:`point` is what they give.

    Raises `ValueError` for thresholds, labels, points or policies that do not fit the traces.
    """

    _esm: ClassVar[str] = script("threshold.js")
    in_address = addressed("selected", "thresholds", "preset", "axis", "show_paper", "constants")

    traces = traitlets.List().tag(sync=True)
    selected = traitlets.Unicode().tag(sync=True)
    thresholds = traitlets.List(traitlets.Float()).tag(sync=True)
    preset = traitlets.Unicode("").tag(sync=True)
    constants = traitlets.Dict().tag(sync=True)
    constant_presets = traitlets.List().tag(sync=True)
    axis = traitlets.Enum(("energy", "operations"), "energy").tag(sync=True)
    show_paper = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        traces: Mapping[str, ExitTrace],
        paper_points: Mapping[str, list[dict]] | None = None,
        constants: EnergyConstants | str = "paper",
        memory: MemoryModel | str = "step-by-step",
        presets: Mapping[str, Mapping[str, Policy | np.ndarray]] | None = None,
        full: Mapping[str, ExitTrace] | None = None,
        thresholds: Sequence[float] | None = None,
        convention: str = "fan-out",
        **kwargs: object,
    ) -> None:
        if not traces:
            raise ValueError("no traces given; a threshold explorer needs at least one")
        paper_points, presets, full = paper_points or {}, presets or {}, full or {}
        for given in (paper_points, presets, full):
            if unknown := set(given) - set(traces):
                raise ValueError(f"no trace is called {sorted(unknown)}; there are {list(traces)}")
        self._traces, self._counts, self._policies, self._full = dict(traces), {}, {}, {}
        described, arrays = [], {}
        for index, (label, trace) in enumerate(traces.items()):
            if trace.exits < 2:
                raise ValueError(f"'{label}' has one exit: it has no thresholds; pass it as `full`")
            self._counts[label] = countable(trace, memory, convention)
            self._policies[label] = _policies(trace, presets.get(label, {}))
            self._full[label] = self._full_network(label, full.get(label), memory, convention)
            described.append(
                {
                    "key": label,
                    "label": label,
                    "prefix": str(index),
                    "bits_per_weight": precision(trace),
                    "exits": trace.exits,
                    "samples": trace.samples,
                    **_classes(trace),
                    "full": self._full[label],
                    "paper": checked_points(paper_points.get(label, [])),
                    "presets": _described(self._policies[label]),
                }
            )
            arrays |= {f"{index}/{name}": array for name, array in self._arrays(label).items()}
        contents, data = pack(arrays)
        first, priced = next(iter(traces)), [*traces.values(), *full.values()]
        start = _start(traces[first]) if thresholds is None else list(thresholds)
        Thresholds(tuple(start)).check(traces[first].exits)
        super().__init__(
            contents=contents,
            data=data,
            traces=described,
            selected=first,
            thresholds=start,
            constants=prices(constants, priced),
            constant_presets=price_presets(priced),
            **kwargs,
        )

    def _full_network(
        self, label: str, full: ExitTrace | None, memory: MemoryModel | str, convention: str
    ) -> dict:
        """Totals of the full network: its own trace's, else those of the last exit."""
        trace = full or self._traces[label]
        counts = countable(full, memory, convention) if full else self._counts[label]
        everybody = np.full(trace.samples, trace.exits - 1)
        return {
            "own": full is not None,
            "label": LABELS.get(trace.measured_on.variant, trace.measured_on.variant),
            "samples": trace.samples,
            "bits_per_weight": precision(trace),
            "right": int(trace.correct[-1].sum()),
            "leaving": np.bincount(everybody, minlength=trace.exits).tolist(),
            **totals(counts, everybody),
        }

    def _arrays(self, label: str) -> dict[str, np.ndarray]:
        """One trace's arrays for the page."""
        trace = self._traces[label]
        arrays = {
            "confidence": trace.confidence,
            "correct": trace.correct.astype(np.uint8),
            "labels": trace.labels,
        }
        arrays |= {name: smallest(count) for name, count in self._counts[label].items()}
        for position, policy in enumerate(self._policies[label].values()):
            if isinstance(policy, np.ndarray):
                arrays[f"policy-{position}"] = policy.astype(np.uint8)
        return arrays

    @property
    def leaving(self) -> np.ndarray:
        """The exit at which each sample leaves, by the preset in force or the thresholds."""
        policy = self._policies[self.selected].get(self.preset)
        if isinstance(policy, np.ndarray):
            return policy
        return Thresholds(tuple(self.thresholds)).leaving(self._traces[self.selected])

    @property
    def point(self) -> dict:
        """Accuracy and shares as fractions, modelled joules and operations per image.

        Keys: accuracy, energy_j, parts, synaptic_ops, speed_up, shares. The page shows the
        same numbers to the last digit.
        """
        trace, leaving = self._traces[self.selected], self.leaving
        sums = totals(self._counts[self.selected], leaving) | {"samples": trace.samples}
        parts = energy_parts_j(sums, self.constants[precision(trace)])
        ops, full = (sums["macs"] + sums["acs"]) / trace.samples, self._full[self.selected]
        full_ops = (full["macs"] + full["acs"]) / full["samples"]
        right = int(trace.correct[leaving, np.arange(trace.samples)].sum())
        return {
            "accuracy": right / trace.samples,
            "energy_j": parts["synaptic"] + parts["lif"] + parts["memory"],
            "parts": parts,
            "synaptic_ops": ops,
            "speed_up": full_ops / ops if ops else float("inf"),
            "shares": (np.bincount(leaving, minlength=trace.exits) / trace.samples).tolist(),
        }

    @traitlets.validate("thresholds")
    def _within(self, proposal: dict) -> list[float]:
        """Refuse thresholds outside [0, 1], and another number than the network has."""
        Thresholds(tuple(proposal["value"])).check(self._traces[self.selected].exits)
        return proposal["value"]

    @traitlets.validate("constants")
    def _priced(self, proposal: dict) -> dict:
        """Refuse prices that are missing, negative or not finite."""
        bits = {one["bits_per_weight"] for about in self.traces for one in (about, about["full"])}
        return checked_prices(proposal["value"], bits)

    @traitlets.validate("preset")
    def _offered(self, proposal: dict) -> str:
        """Refuse the name of a policy that the selected network has not."""
        names = ["", *self._policies[self.selected]]
        if proposal["value"] not in names:
            raise ValueError(f"no policy is called '{proposal['value']}'; there are {names[1:]}")
        return proposal["value"]

    @traitlets.validate("selected")
    def _known(self, proposal: dict) -> str:
        """Refuse a label that no trace has."""
        if proposal["value"] not in self._traces:
            known = list(self._traces)
            raise ValueError(f"no trace is called '{proposal['value']}'; there are {known}")
        return proposal["value"]

    @traitlets.observe("selected")
    def _fitting(self, _change: dict) -> None:
        """As many thresholds as the selected network asks for, and a policy that it has."""
        if self.preset not in self._policies[self.selected]:
            self.preset = ""
        if len(self.thresholds) != self._traces[self.selected].exits - 1:
            self.thresholds = _start(self._traces[self.selected])


def _start(trace: ExitTrace) -> list[float]:
    """Where the sliders stand at first."""
    return [0.8] * (trace.exits - 1)


def _classes(trace: ExitTrace) -> dict:
    """How many classes there are and what they are called."""
    classes = int(max(trace.labels.max(), trace.prediction.max())) + 1
    data = next((name for name in CLASS_NAMES if name in trace.measured_on.data), "MNIST")
    names = [*CLASS_NAMES[data], *map(str, range(10, classes))]
    return {"classes": classes, "class_names": names[:classes]}


def _policies(
    trace: ExitTrace, extra: Mapping[str, Policy | np.ndarray]
) -> dict[str, Thresholds | np.ndarray]:
    """Policies by name: thresholds as they are, others as `leaving` int64 [samples]."""
    found: dict[str, Policy | np.ndarray] = {}
    if trace.exits == 3:
        found |= {f"Thresholds {a}/{b}": Thresholds((a, b)) for a, b in PAPER_THRESHOLDS}
    found |= {**extra, NEVER: LastExit()}
    for name, policy in found.items():
        if isinstance(policy, Thresholds):
            policy.check(trace.exits)
        elif isinstance(policy, np.ndarray):
            found[name] = checked_leaving(name, policy, trace)
        elif hasattr(policy, "leaving"):
            found[name] = policy.leaving(trace)
        else:
            raise ValueError(f"policy '{name}' is a {type(policy).__name__}; give a policy such as "
                             "Thresholds((0.6, 0.7)), or the exit of each sample")  # fmt: skip
    return found


def _described(policies: Mapping[str, Thresholds | np.ndarray]) -> list[dict]:
    """Policies as the page reads them: thresholds in place, leaving exits by array name."""
    return [
        {"name": name, "thresholds": list(policy)}
        if isinstance(policy, Thresholds)
        else {"name": name, "leaving": f"policy-{position}"}
        for position, (name, policy) in enumerate(policies.items())
    ]
