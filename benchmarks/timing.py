"""Two ways to do one thing, timed in turn in one run."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LIMIT_FLOOR = 0.85
"""Whoever spends so much of the time on products alone can hardly be faster on this machine."""

ROUND_SECONDS = 0.02
"""Something shorter is repeated within a round until it takes about so long."""


class UnavailableError(Exception):
    """What a row is measured with is not on this machine."""


@dataclass(frozen=True)
class Contest:
    """Our way and the peer's, both ready to run, and a check of what they return.

    Either may be a number instead, taken as seconds: a limit, or something else that was measured
    and is to be compared. `check(ours, theirs)` raises `AssertionError` unless both
    computed the same thing. The ratio of times is divided by `promised`, a speed-up that is
    expected anyway. `limit` does what no way around is known of: the products inside ours, alone.
    """

    ours: Callable[[], object] | float
    theirs: Callable[[], object] | float
    check: Callable[[object, object], None]
    promised: float = 1.0
    limit: Callable[[], object] | None = None


@dataclass(frozen=True)
class Case:
    """A row of the table: the peer's time over ours is to be at least `floor`.

    Where the contest has a limit, it will do as well if its time over ours is `LIMIT_FLOOR`.
    """

    name: str
    peer: str
    floor: float
    prepare: Callable[[], Contest]


@dataclass(frozen=True)
class Row:
    """A row as measured: the median ratio, its 10th and 90th percentile, median milliseconds.

    `limit_share` is the median of the limit's time over ours, None where there is no limit.
    """

    name: str
    peer: str
    ratio: float
    low: float
    high: float
    floor: float
    ours_ms: float
    peer_ms: float
    limit_share: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the floor is reached, or the limit nearly."""
        return self.ratio >= self.floor or (self.limit_share or 0) >= LIMIT_FLOOR


def verify(case: Case) -> Contest:
    """Prepare a case, run each way once, and check that both computed the same thing."""
    contest = case.prepare()
    contest.check(*(way() if callable(way) else way for way in (contest.ours, contest.theirs)))
    return contest


def run(case: Case, seconds: float, rounds: tuple[int, int] = (3, 60)) -> Row:
    """Check a case, then time it for about so many seconds."""
    contest = verify(case)  # also warms both up
    ways = [contest.ours, contest.theirs, *([contest.limit] if contest.limit else [])]
    ours, theirs, *limits = _in_turn(ways, seconds, rounds)
    ratios = [b / a / contest.promised for a, b in zip(ours, theirs, strict=True)]
    low, *_, high = statistics.quantiles(ratios, n=10, method="inclusive")
    return Row(
        name=case.name,
        peer=case.peer,
        ratio=statistics.median(ratios),
        low=low,
        high=high,
        floor=case.floor,
        ours_ms=1e3 * statistics.median(ours),
        peer_ms=1e3 * statistics.median(theirs),
        limit_share=statistics.median(b / a for a, b in zip(ours, limits[0], strict=True))
        if limits
        else None,
    )


def _in_turn(
    ways: Sequence[Callable[[], object] | float], seconds: float, rounds: tuple[int, int]
) -> list[list[float]]:
    """Seconds a call of each, round by round; every other round goes backwards."""
    repeats = [max(1, round(ROUND_SECONDS / max(once(way), 1e-7))) for way in ways]
    times: list[list[float]] = [[] for _ in ways]
    end = time.perf_counter() + seconds
    for number in range(rounds[1]):
        if number >= rounds[0] and time.perf_counter() > end:
            break
        for which in sorted(range(len(ways)), reverse=number % 2 == 0):
            times[which].append(once(ways[which], repeats[which]))
    return times


def once(way: Callable[[], object] | float, repeats: int = 1) -> float:
    """Seconds a call takes, the mean of `repeats` in a row; a limit takes what it says."""
    if not callable(way):
        return way
    start = time.perf_counter()
    for _ in range(repeats):
        way()
    return (time.perf_counter() - start) / repeats
