"""The Q-learning explorer: how the table learns when to leave."""

from typing import ClassVar

import numpy as np
import traitlets

from sparq_utils.traces.optimum import Optimum
from sparq_utils.traces.qlearning import CONTINUE, LEAVE, Learned, greedy, implied_thresholds
from sparq_utils.widgets.base import Explorer, addressed, pack, script


class QLearningExplorer(Explorer):
    """Slide over the episodes of a learning run; see the Q-table, its thresholds, its reward.

    `learned` must have been recorded (`Learning(record_every=...)`); `optimum` is the exact
    one on the same trace, objective and bins. Synced: `snapshot`, the index of a recorded
    table. Raises `ValueError` without a history.
    """

    _esm: ClassVar[str] = script("learning.js")
    in_address = addressed("snapshot")

    about = traitlets.Dict().tag(sync=True)
    snapshot = traitlets.Int(0, min=0).tag(sync=True)

    def __init__(self, learned: Learned, optimum: Optimum, **kwargs: object) -> None:
        if not learned.history:
            raise ValueError("no history: learn with Learning(record_every=100), for example")
        if optimum.leave.shape != learned.leave.shape:
            raise ValueError("the optimum is for other exits or confidence bins than the history")
        self._history = learned.history
        visited = learned.visits.any(axis=-1)  # [exits, bins]
        tables = np.stack([snapshot.q for snapshot in learned.history])  # [n, exits, bins, 2]
        gain = (tables[..., LEAVE] - tables[..., CONTINUE])[:, :-1]  # [n, exits - 1, bins]
        self._thresholds = [
            # what has been learned by then: bins visited later still hold zeros
            implied_thresholds(greedy(one.q), np.nan_to_num(one.q).any(axis=-1), learned.bin_edges)
            for one in learned.history
        ]
        contents, data = pack(
            {
                "gain": gain.astype(np.float32),
                "optimum": optimum.leave[:-1].astype(np.uint8),
                "visited": visited[:-1].astype(np.uint8),
            }
        )
        about = {
            "exits": tables.shape[1],
            "bins": tables.shape[2],
            "edges": list(learned.bin_edges),
            "episodes": [one.episode for one in learned.history],
            "rewards": [float(one.mean_reward) for one in learned.history],
            "thresholds": [list(thresholds) for thresholds in self._thresholds],
            "best_reward": float(optimum.mean_reward),
        }
        kwargs.setdefault("snapshot", len(learned.history) - 1)
        super().__init__(contents=contents, data=data, about=about, **kwargs)

    @property
    def thresholds(self) -> tuple[float | None, ...]:
        """The confidence thresholds that the selected Q-table implies; None: never leaves."""
        return self._thresholds[self.snapshot]

    @traitlets.validate("snapshot")
    def _recorded(self, proposal: dict) -> int:
        """Refuse an index that was not recorded."""
        if proposal["value"] >= len(self._history):
            raise ValueError(f"there are {len(self._history)} recorded tables, counted from 0")
        return proposal["value"]
