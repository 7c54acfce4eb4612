"""An exit trace as a gymnasium environment, and the textbook agent that steps through it.

:func:`sparq_utils.traces.qlearning.learn` is the fast way; this is the standard one, for agents of
other libraries, and the oracle that the fast one is tested against.
"""

from collections.abc import Sequence

import numpy as np

from sparq_utils.traces.optimum import Objective
from sparq_utils.traces.policies import BIN_EDGES, confidence_bins
from sparq_utils.traces.qlearning import (
    CONTINUE,
    LEAVE,
    Learned,
    Learning,
    Progress,
    draw_episodes,
)
from sparq_utils.traces.trace import ExitTrace

try:
    import gymnasium
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "the exit environment needs gymnasium: pip install gymnasium", name="gymnasium"
    ) from error

ENVIRONMENT_ID = "sparq/Exit-v0"
"""What `gymnasium.make` knows the environment by, once this module is imported."""


class ExitEnvironment(gymnasium.Env):
    """One image travels from exit to exit of a trace until the agent lets it leave.

    Observation: (exit, confidence bin). Actions: 0 continues and pays 0, 1 leaves and pays
    Eq. 1. At the last exit both leave. `reset(options={"image": i})` starts with image i of the
    trace, else with a random one.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - gymnasium's own interface

    def __init__(
        self,
        trace: ExitTrace,
        objective: Objective | None = None,
        bin_edges: Sequence[float] = BIN_EDGES,
    ):
        self.bins = confidence_bins(trace, bin_edges)  # [exits, samples]
        self.rewards = (objective or Objective()).rewards(trace)  # [exits, samples]
        self.observation_space = gymnasium.spaces.MultiDiscrete([trace.exits, len(bin_edges) + 1])
        self.action_space = gymnasium.spaces.Discrete(2)
        self.image: int | None = None
        self.exit = 0

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """Start with an image at the first exit."""
        super().reset(seed=seed)
        samples = self.bins.shape[1]
        image = (options or {}).get("image")
        self.image = int(self.np_random.integers(samples)) if image is None else int(image)
        if not 0 <= self.image < samples:
            raise ValueError(f"image {self.image} is not in a trace of {samples}")
        self.exit = 0
        return self._observation(), {"image": self.image}

    def step(self, action: int):
        """Continue or leave. Raises `RuntimeError` before the first reset."""
        if self.image is None:
            raise RuntimeError("call reset() before step()")
        info = {"image": self.image}
        if action == CONTINUE and self.exit < self.bins.shape[0] - 1:
            self.exit += 1
            return self._observation(), 0.0, False, False, info
        return self._observation(), float(self.rewards[self.exit, self.image]), True, False, info

    def _observation(self) -> np.ndarray:
        """Exit and confidence bin of the image: int64 [2]."""
        return np.array([self.exit, self.bins[self.exit, self.image]], dtype=np.int64)


def learn_by_stepping(
    trace: ExitTrace,
    rng: np.random.Generator,
    objective: Objective | None = None,
    learning: Learning | None = None,
    bin_edges: Sequence[float] = BIN_EDGES,
) -> Learned:
    """The agent of :func:`sparq_utils.traces.qlearning.learn`, stepping the environment.

    Given an equal `rng` it returns the same Q-table, bit for bit. The environment is made as
    gymnasium makes any other, with its usual wrappers.
    """
    objective, learning = objective or Objective(), learning or Learning()
    environment = gymnasium.make(
        ENVIRONMENT_ID, trace=trace, objective=objective, bin_edges=tuple(bin_edges)
    )
    progress = Progress(trace, objective, learning, bin_edges)
    last = trace.exits - 1
    q = np.zeros((trace.exits, len(bin_edges) + 1, 2))
    visits = np.zeros(q.shape, dtype=np.int64)
    episode = 0
    for image, draw, epsilon in zip(*draw_episodes(trace, learning, rng), strict=True):
        state, _ = environment.reset(options={"image": image})
        ended = False
        while not ended:
            index, here = state
            if index == last:
                action = LEAVE
            elif draw[index] < epsilon:
                action = LEAVE if draw[index] < epsilon / 2 else CONTINUE
            else:
                action = LEAVE if q[index, here, LEAVE] > q[index, here, CONTINUE] else CONTINUE
            following, reward, ended, _, _ = environment.step(action)
            ahead = q[tuple(following)]
            value = 0.0 if ended else ahead[LEAVE] if following[0] == last else ahead.max()
            target = reward + objective.gamma * value
            q[index, here, action] += learning.eta * (target - q[index, here, action])
            visits[index, here, action] += 1
            state = following
        episode += 1
        if progress.stop(
            episode, q[..., CONTINUE].ravel().tolist(), q[..., LEAVE].ravel().tolist()
        ):
            break
    return progress.finish(episode, visits)


gymnasium.register(ENVIRONMENT_ID, entry_point=ExitEnvironment)
