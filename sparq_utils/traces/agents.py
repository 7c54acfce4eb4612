"""How far agents that learn from the same validation images, by other chance, end up apart."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from sparq_utils.traces.energy import energy
from sparq_utils.traces.optimum import Objective
from sparq_utils.traces.policies import BIN_EDGES, at_exit, outcome
from sparq_utils.traces.qlearning import Learning, learn
from sparq_utils.traces.sweeps import thresholds_within
from sparq_utils.traces.trace import ExitTrace

State = Callable[[ExitTrace], tuple[ExitTrace, Sequence[float]]]
"""What a table knows of an image: a trace with its state for a confidence, and their bins' edges
(:mod:`sparq_utils.traces.states`)."""


def by_confidence(trace: ExitTrace) -> tuple[ExitTrace, Sequence[float]]:
    """The paper's state: an exit and the confidence there."""
    return trace, BIN_EDGES


def spread_of_agents(
    validation: ExitTrace,
    test: ExitTrace,
    agents: int = 20,
    objective: Objective | None = None,
    learning: Learning | None = None,
    state: State = by_confidence,
) -> pd.DataFrame:
    """What each of so many Q-learners reaches on test images: one row per agent, seeds 0, 1, ...

    Columns: accuracy (a fraction), energy_j (modelled, a mean per image), synaptic_ops, reward
    (on validation images), test_reward and tables (the number of greedy tables that the agent's
    was the best of, on validation images). Beside it, matched_accuracy and matched_energy_j are of
    the thresholds most accurate on validation images of those that need no more energy there than
    the agent. Raises `ValueError` for no agents.
    """
    if agents < 1:
        raise ValueError(f"{agents} agents: need at least 1")
    objective, joules = objective or Objective(), energy(test)
    spends = energy(validation).total  # [exits, samples]
    (seen, edges), (met, _) = state(validation), state(test)
    rows = []
    for seed in range(agents):
        learned = learn(seen, np.random.default_rng(seed), objective, learning, edges)
        leaving = learned.policy.leaving(met)
        budget = at_exit(spends, learned.policy.leaving(seen)).mean()
        matched = thresholds_within(validation, float(budget), spends).leaving(test)
        reached = outcome(test, leaving)
        rows.append(
            {
                "accuracy": reached.accuracy,
                "energy_j": sum(joules.mean_j(leaving).values()),
                "synaptic_ops": reached.mean_counts["synaptic_ops"],
                "reward": learned.mean_reward,
                "test_reward": objective.mean_reward(test, leaving),
                "tables": learned.tables,
                "matched_accuracy": outcome(test, matched).accuracy,
                "matched_energy_j": sum(joules.mean_j(matched).values()),
            }
        )
    return pd.DataFrame(rows)
