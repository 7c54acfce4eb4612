"""How far agents that learn from the same validation images, by other chance, end up apart."""

import numpy as np
import pandas as pd

from sparq_utils.traces.energy import energy
from sparq_utils.traces.optimum import Objective
from sparq_utils.traces.policies import outcome
from sparq_utils.traces.qlearning import Learning, learn
from sparq_utils.traces.trace import ExitTrace


def spread_of_agents(
    validation: ExitTrace,
    test: ExitTrace,
    agents: int = 20,
    objective: Objective | None = None,
    learning: Learning | None = None,
) -> pd.DataFrame:
    """What each of so many Q-learners reaches on test images: one row per agent, seeds 0, 1, ...

    Columns: accuracy (a fraction), energy_j (modelled, a mean per image), synaptic_ops, reward
    (on validation images) and tables (the number of greedy tables that the agent's was the best
    of, there). Raises `ValueError` for no agents.
    """
    if agents < 1:
        raise ValueError(f"{agents} agents: need at least 1")
    joules, rows = energy(test), []
    for seed in range(agents):
        learned = learn(validation, np.random.default_rng(seed), objective, learning)
        leaving = learned.policy.leaving(test)
        reached = outcome(test, leaving)
        rows.append(
            {
                "accuracy": reached.accuracy,
                "energy_j": sum(joules.mean_j(leaving).values()),
                "synaptic_ops": reached.mean_counts["synaptic_ops"],
                "reward": learned.mean_reward,
                "tables": learned.tables,
            }
        )
    return pd.DataFrame(rows)
