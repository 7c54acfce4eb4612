"""How long calls take, beside one another."""

from collections.abc import Callable
from statistics import median
from time import perf_counter


def median_seconds(*calls: Callable[[], object], repeats: int = 5) -> list[float]:
    """Median seconds of each call, run in turns, so that a disturbance hits all alike.

    Give ratios of them, not the seconds: these belong to one machine at one moment.
    """
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for call, times in zip(calls, taken, strict=True):
            start = perf_counter()
            call()
            times.append(perf_counter() - start)
    return list(map(median, taken))
