"""Hours of ill treatment, for a quiet machine: `python tests/endurance.py kills 50`.

`kills N` kills a run at N random moments, each time in a new folder, resumes it and compares every
file with those of a run that was left alone; `pairs N` starts two runs at once in one folder, N
times: each must end well or be refused in one line. `disk N` runs on a small file system named by
`--out` (such as a tmpfs) with N rising amounts of it filled, then frees it and resumes. No pytest
collects this file: one run of LeNet-5's smoke profile takes about half a minute.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

KEPT = {".npz", ".safetensors", ".json"}


def start(out: Path, experiment: str) -> subprocess.Popen:
    """A run of the smoke profile, its errors kept."""
    command = [sys.executable, "-m", "sparq_utils", "run", experiment, "--profile", "smoke"]
    return subprocess.Popen([*command, "--out", out], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)  # fmt: skip


def finish(out: Path, experiment: str) -> float:
    """Run to the end; the seconds it took. Raises `SystemExit` if it fails."""
    began = time.monotonic()
    run = start(out, experiment)
    _, error = run.communicate()
    if run.returncode:
        raise SystemExit(f"a run that was left alone failed: {error}")
    return time.monotonic() - began


def contents(out: Path) -> dict[str, bytes]:
    """Everything recorded below a folder."""
    files = (path for path in out.rglob("*") if path.suffix in KEPT)
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def verdict(found: dict[str, bytes], expected: dict[str, bytes]) -> str:
    """Whether two runs recorded the same, and where not."""
    odd = [name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)]
    return f"NOT IDENTICAL: {', '.join(sorted(odd))}" if odd else "identical"


def one_line(error: str) -> bool:
    """Whether a run was refused by one line, progress bars aside."""
    lines = [line for line in error.splitlines() if line.startswith("error: ")]
    return len(lines) == 1 and "Traceback" not in error


def kills(number: int, experiment: str, out: Path, expected: dict, seconds: float) -> Iterator[str]:
    for _ in range(number):
        run, after = start(out, experiment), random.uniform(0.1, 1.0) * seconds
        time.sleep(after)
        run.send_signal(signal.SIGKILL)
        run.communicate()
        finish(out, experiment)
        yield f"killed after {after:.1f} s: {verdict(contents(out), expected)}"
        shutil.rmtree(out)


def pairs(number: int, experiment: str, out: Path, expected: dict, seconds: float) -> Iterator[str]:
    for _ in range(number):
        runs = [start(out, experiment)]
        time.sleep(random.uniform(0, 0.3) * seconds)
        runs.append(start(out, experiment))
        errors = [run.communicate()[1] for run in runs]
        codes = [run.returncode for run in runs]
        refused = [error for code, error in zip(codes, errors, strict=True) if code]
        clear = all(one_line(error) and "in use by another run" in error for error in refused)
        well = "" if 0 in codes and clear else f"NOT CLEAR ({refused}): "
        yield f"exit codes {codes}: {well}{verdict(contents(out), expected)}"
        shutil.rmtree(out)


def disk(number: int, experiment: str, out: Path, expected: dict, seconds: float) -> Iterator[str]:
    ballast = out.parent / "ballast"
    needed = sum(map(len, expected.values()))
    for step in range(number):
        free = shutil.disk_usage(out.parent).free
        ballast.write_bytes(b"\0" * max(0, free - needed * step // number - 4096))
        run = start(out, experiment)
        _, error = run.communicate()
        ballast.unlink()
        clear = "" if run.returncode == 2 and one_line(error) else f"NOT CLEAR ({error}): "
        finish(out, experiment)
        yield f"{step}/{number} of the room: {clear}{verdict(contents(out), expected)}"
        shutil.rmtree(out)


def main() -> int:
    """Run one of the three; 1 if anything was not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["kills", "pairs", "disk"])
    parser.add_argument("number", type=int)
    parser.add_argument("--experiment", default="lenet-mnist")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as apart:
        seconds = finish(Path(apart), options.experiment)
        expected = contents(Path(apart))
    with tempfile.TemporaryDirectory(dir=options.out) as below:
        act = {"kills": kills, "pairs": pairs, "disk": disk}[options.what]
        wrong = 0
        for line in act(options.number, options.experiment, Path(below) / "run", expected, seconds):
            print(line, flush=True)
            wrong += "NOT" in line
    print(f"{options.number} {options.what}, {wrong} not as they should be")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
