"""What the page on setting up says of many processes, run as it stands there."""

import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "book" / "setup.md").read_text(encoding="utf-8")


def test_the_sweep_runs_in_two_workers_and_tries_every_setting(tmp_path):
    (script,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "sweep.py").write_text(script)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "sweep.py"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    told = [(int(levels), float(rate)) for levels, rate, *_ in rows]
    assert told == list(product((2, 4, 8), (1e-3, 3e-3)))
    assert all(float(exit) > 0.3 for _, _, *exits in rows for exit in exits)
