"""Run the benchmarks: `python -m benchmarks [words]`, all rows or those whose name has a word.

Writes `_build/bench.json`, a list of {name, peer, ratio, low, high, floor, ours_ms, peer_ms}, and
`_build/bench-growth.json`, and prints a table. A ratio is the peer's time over ours, the median
of rounds in which both ran in turn; low and high are its 10th and 90th percentile. The exit status
is 1 if a row is under its floor. Threads are torch's own setting: OMP_NUM_THREADS sets it.
"""

import argparse
import sys
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import torch

from benchmarks.timing import Row, UnavailableError, run, verify
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
    options = parser.parse_args()
    try:
        from benchmarks import exits, explorers, growth, inference, pipeline, policies, process
    except ModuleNotFoundError as error:
        print(f"{error}; install the peers: 'make bench' does, or\n  python -m pip install "
              "--no-deps -r benchmarks/requirements.txt", file=sys.stderr)  # fmt: skip
        return 2
    modules = (inference, exits, pipeline, policies, explorers, process)
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
    write_json(BUILD / "bench.json", [asdict(row) for row in rows])
    if not options.words:
        write_json(BUILD / "bench-growth.json", growth.measure())
    return int(failed > 0 or any(row.ratio < row.floor for row in rows))


def line(row: Row) -> str:
    """One row of the printed table."""
    verdict = "ok   " if row.ratio >= row.floor else "UNDER"
    spread = f"{row.ratio:8.2f}x [{row.low:.2f}, {row.high:.2f}]"
    return (
        f"{verdict} {spread:28} at least {row.floor:6.2f}  {row.name} | {row.peer} "
        f"({row.ours_ms:.3g} ms, {row.peer_ms:.3g} ms)"
    )


if __name__ == "__main__":
    sys.exit(main())
