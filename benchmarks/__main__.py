"""Run the benchmarks: `python -m benchmarks [words]`, all rows or those whose name has a word.

Writes `_build/bench.json`, a list of {name, peer, ratio, low, high, floor, ours_ms, peer_ms,
limit_share, holds}, and `_build/bench-growth.json`, and prints a table. A ratio is the peer's time
over ours, the median of rounds in which both ran in turn; low and high are its 10th and 90th
percentile. The limit's share is the time of the products alone over ours. The exit status is 1 if
a row is under its floor and not near its limit either. Threads are torch's own setting:
OMP_NUM_THREADS. With `--record` a whole run is kept in results/bench.json, as that of its kind of
machine.
"""

import argparse
import sys
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import torch

from benchmarks.machines import keep
from benchmarks.timing import LIMIT_FLOOR, Row, UnavailableError, run, verify
from sparq_utils.data import DataError
from sparq_utils.files import write_json

BUILD = Path(__file__).resolve().parent.parent / "_build"


def main() -> int:
    """Measure, print, write; 1 if a row is under its floor."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("words", nargs="*", help="only rows whose name or peer has one of these")
    parser.add_argument("--seconds", type=float, default=6.0, help="about so long a row")
    parser.add_argument("--check", action="store_true", help="compare results, time nothing")
    parser.add_argument("--list", action="store_true", help="name the rows, run nothing")
    parser.add_argument("--record", action="store_true", help="keep the run among the results")
    options = parser.parse_args()
    if options.record and (options.words or options.check or options.list):
        parser.error("--record keeps whole runs: name no rows with it")
    try:
        from benchmarks import (
            exits,
            explorers,
            growth,
            in_c,
            inference,
            pipeline,
            policies,
            process,
        )  # fmt: skip
    except ModuleNotFoundError as error:
        print(f"{error}; install the peers: 'make bench' does, or\n  python -m pip install "
              "--no-deps -r benchmarks/requirements.txt", file=sys.stderr)  # fmt: skip
        return 2
    modules = (inference, exits, in_c, pipeline, policies, explorers, process)
    cases = [
        case
        for case in chain.from_iterable(module.cases() for module in modules)
        if not options.words or any(word in f"{case.name} {case.peer}" for word in options.words)
    ]
    if options.list:
        print("\n".join(f"{case.name} | {case.peer} | {case.floor:.2f}" for case in cases))
        return 0
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, "
          f"{torch.backends.cpu.get_cpu_capability()}")  # fmt: skip
    rows, failed, skipped = [], 0, {}
    for case in cases:
        try:
            if options.check:
                verify(case)
                print(f"same  {case.name} | {case.peer}", flush=True)
                continue
            rows.append(run(case, options.seconds))
        except (DataError, UnavailableError) as error:
            skipped.setdefault(str(error), []).append(f"{case.name} | {case.peer}")
        except Exception as error:  # a row that fails must not take the others along
            print(f"FAILED {case.name} | {case.peer}: {type(error).__name__}: {error}", flush=True)
            failed += 1
        else:
            print(line(rows[-1]), flush=True)
    for reason, names in skipped.items():
        print(f"SKIPPED: {'; '.join(names)} ({reason})")
    if options.check:
        return int(failed > 0)
    found = [asdict(row) | {"holds": row.holds} for row in rows]
    write_json(BUILD / "bench.json", found)
    if not options.words:
        grown = growth.measure()
        write_json(BUILD / "bench-growth.json", grown)
        if options.record:
            print(f"kept in {keep(found, grown)}")
    return int(failed > 0 or not all(row.holds for row in rows))


def line(row: Row) -> str:
    """One row of the printed table."""
    verdict = "ok   " if row.holds else "UNDER"
    spread = f"{row.ratio:8.2f}x [{row.low:.2f}, {row.high:.2f}]"
    asked = f"at least {row.floor:6.2f}"
    if row.limit_share is not None:
        asked += f" or {LIMIT_FLOOR} of the limit: {row.limit_share:.2f}"
    return (
        f"{verdict} {spread:28} {asked}  {row.name} | {row.peer} "
        f"({row.ours_ms:.3g} ms, {row.peer_ms:.3g} ms)"
    )


if __name__ == "__main__":
    sys.exit(main())
