"""The chip explorer: thresholds against instructions that an emulated core has counted."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import traitlets

from sparq_utils.traces.microcontrollers import NRF52840, Microcontroller
from sparq_utils.traces.policies import Thresholds
from sparq_utils.traces.prices import one_of
from sparq_utils.traces.sweeps import pareto_front, sweep_thresholds, threshold_grid
from sparq_utils.traces.trace import ExitTrace
from sparq_utils.widgets.base import Explorer, addressed, pack, script

Built = Mapping[str, tuple[ExitTrace, Mapping[str, np.ndarray]]]
"""What was built of a network: by name ("spikes", "levels") a trace, and for each kind of kernels
the instructions until every exit, float64 [exits]."""


class ChipExplorer(Explorer):
    """Move the thresholds; see instructions per image and accuracy of every file answer.

    `networks` maps a label ("LeNet-5") to what was built of it (:data:`Built`). Who leaves where
    follows from the traces, what that costs from instructions until an exit, a mean over the
    emulated images. `part` turns instructions into images per second and joules, modelled, at one
    instruction per cycle.

    Synced: `selected` (label) and `thresholds`, in whole hundredths. :attr:`point` is what they
    give. Raises `ValueError` for networks that cannot stand side by side.
    """

    _esm: ClassVar[str] = script("chip.js")
    in_address = addressed("selected", "thresholds")

    networks = traitlets.List().tag(sync=True)
    about = traitlets.Dict().tag(sync=True)
    selected = traitlets.Unicode().tag(sync=True)
    thresholds = traitlets.List(traitlets.Float()).tag(sync=True)

    def __init__(
        self,
        networks: Mapping[str, Built],
        part: Microcontroller = NRF52840,
        thresholds: Sequence[float] = (0.6, 0.7),
        **kwargs: object,
    ) -> None:
        if not networks:
            raise ValueError("no networks given; a chip explorer needs at least one")
        self._networks = {label: _checked(label, built) for label, built in networks.items()}
        described, arrays = [], {}
        for index, (label, built) in enumerate(self._networks.items()):
            about, found = _described(label, built, f"{index}")
            described.append(about)
            arrays |= found
        contents, data = pack(arrays)
        super().__init__(
            contents=contents,
            data=data,
            networks=described,
            about={"part": part.name, "clock_hz": part.clock_hz, "cycle_j": part.cycle_j},
            selected=next(iter(networks)),
            thresholds=list(thresholds),
            **kwargs,
        )

    @property
    def point(self) -> dict[str, dict]:
        """What every file does at the thresholds, by name and kernels ("spikes, dense").

        Keys: accuracy and shares as fractions, instructions and modelled energy_j per image, and
        images per_second.
        """
        found = {}
        for name, (trace, kernels) in self._networks[self.selected].items():
            leaving = Thresholds(tuple(self.thresholds)).leaving(trace)
            counts = np.bincount(leaving, minlength=trace.exits)
            right = int(trace.correct[leaving, np.arange(trace.samples)].sum())
            for kind, until in kernels.items():
                total = 0.0
                for count, instructions in zip(counts, until, strict=True):  # as JavaScript sums
                    total += int(count) * float(instructions)
                mean = total / trace.samples
                found[f"{name}, {kind}"] = {
                    "accuracy": right / trace.samples,
                    "instructions": mean,
                    "energy_j": mean * self.about["cycle_j"],
                    "per_second": self.about["clock_hz"] / mean,
                    "shares": (counts / trace.samples).tolist(),
                }
        return found

    @traitlets.validate("thresholds")
    def _within(self, proposal: dict) -> list[float]:
        """Refuse thresholds outside [0, 1], finer ones than the page knows, and too many."""
        given = np.array(proposal["value"], float)
        trace, _ = next(iter(self._networks[self.selected].values()))
        Thresholds(tuple(given)).check(trace.exits)
        if not np.allclose(100 * given, np.rint(100 * given), atol=1e-9):
            raise ValueError(f"thresholds {given.tolist()} are no whole hundredths")
        return (np.rint(100 * given) / 100).tolist()

    @traitlets.validate("selected")
    def _known(self, proposal: dict) -> str:
        """Refuse a label that no network has."""
        one_of("network", proposal["value"], tuple(self._networks))
        return proposal["value"]

    @traitlets.observe("selected")
    def _fitting(self, _change: dict) -> None:
        """As many thresholds as the selected network asks for."""
        trace, _ = next(iter(self._networks[self.selected].values()))
        if len(self.thresholds) != trace.exits - 1:
            self.thresholds = [0.7] * (trace.exits - 1)


def _checked(label: str, built: Built) -> Built:
    """What was built of a network; raises `ValueError` unless all of it fits together."""
    if len({(trace.exits, trace.samples) for trace, _ in built.values()}) != 1:
        raise ValueError(f"the traces of '{label}' differ in exits or samples, or there are none")
    checked = {}
    for name, (trace, kernels) in built.items():
        if trace.exits < 2 or not kernels:
            raise ValueError(f"'{label}, {name}' has one exit or no kernels: nothing to compare")
        checked[name] = trace, {kind: np.asarray(until, float) for kind, until in kernels.items()}
        for kind, until in checked[name][1].items():
            if until.shape != (trace.exits,) or not (np.diff(until, prepend=0) > 0).all():
                raise ValueError(
                    f"'{label}, {name}, {kind}': instructions until {trace.exits} exits rise from "
                    f"one to the next; given are {until.tolist()}"
                )
    return checked


def _described(label: str, built: Built, prefix: str) -> tuple[dict, dict[str, np.ndarray]]:
    """One network as the page reads it, and its arrays by name."""
    files, arrays, traces = [], {}, []
    for place, (name, (trace, kernels)) in enumerate(built.items()):
        reached = np.searchsorted(
            threshold_grid(), trace.confidence[:-1].astype(np.float64), side="right"
        )  # how many hundredths: as much as a slider asks, in a byte
        arrays[f"{prefix}/{place}/reached"] = reached.astype(np.uint8)
        arrays[f"{prefix}/{place}/correct"] = trace.correct.astype(np.uint8)
        traces.append({"name": name, "prefix": f"{prefix}/{place}"})
        for kind, until in kernels.items():
            number = f"{prefix}/front-{len(files)}"
            sweep = sweep_thresholds(trace, np.broadcast_to(until[:, None], trace.confidence.shape))
            best = pareto_front(sweep.cost, sweep.accuracy)
            arrays[f"{number}/x"] = sweep.cost.ravel()[best].astype(np.float32)
            arrays[f"{number}/y"] = sweep.accuracy.ravel()[best].astype(np.float32)
            files.append(
                {"name": name, "kind": kind, "of": place, "front": number, "until": until.tolist()}
            )
    trace, _ = next(iter(built.values()))
    about = {"key": label, "exits": trace.exits, "samples": trace.samples}
    return about | {"traces": traces, "files": files}, arrays
