"""The command line as a terminal meets it: streams that fail, Ctrl-C, poor surroundings."""

import os
import signal
import subprocess
import sys
import time

import pytest

SLOW = """
import time
from sparq_utils.border import guarded

def command():
    print("begun", flush=True)
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        {caught}

guarded(command)
"""


def shell(command, **settings):
    """A shell line in which $S is `python -m sparq_utils`: exit code, output, errors."""
    environment = os.environ | {"S": f"{sys.executable} -m sparq_utils"} | settings
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("command", "code", "out", "error"),
    [
        ("$S audit > /dev/full", 2, "", "error: the output could not be written (No space left"),
        ("$S audit | head -n 1", 141, "P. Patne", ""),
        ("$S audit >&-", 0, "", ""),
        ("$S nothing 2>&-", 2, "", ""),
        ("$S nothing 2> /dev/full", 2, "", ""),
        ("$S --help 2>&- | head -c 20", 141, "", ""),
        ("COLUMNS=0 $S run --help | grep -c profile", 0, "", ""),
        ("PYTHONIOENCODING=latin-1 $S audit | grep -c .", 0, "", ""),
        ("PYTHONIOENCODING=ascii $S nothing-≤", 2, "", "error: No such command"),
    ],
)
def test_streams_that_fail_end_in_at_most_one_line(command, code, out, error):
    found = shell(command)
    if code == 141:  # whether the reader is gone in time is chance
        assert found[0] in (0, 141)
    else:
        assert found[0] == code
    assert found[1].startswith(out)
    assert found[2].startswith(error) and found[2].count("\n") <= 1
    assert "Traceback" not in found[1] + found[2]


def heed_ctrl_c():
    """Whoever runs these tests in the background may ignore it, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def begun(caught):
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW.format(caught=caught)], preexec_fn=heed_ctrl_c,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "begun\n"
    return process


@pytest.mark.parametrize(
    ("caught", "presses"),
    [
        ("raise", 1),
        ("raise ImportError('as a library may turn it')", 1),
        ("time.sleep(60)", 2),  # swallowed, but a second one ends it
        ("time.sleep(60)", 3),
    ],
)
def test_ctrl_c_ends_calmly_however_often(caught, presses):
    process = begun(caught)
    for _ in range(presses):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error == "stopped; the same command goes on from here\n"


def test_ctrl_c_while_it_starts_is_no_stack_trace(tmp_path):
    (tmp_path / "traceback.py").write_text(
        "import time\nprint('begun', flush=True)\ntime.sleep(60)"
    )
    process = subprocess.Popen(  # of all there is, the border alone imports traceback
        [sys.executable, "-m", "sparq_utils", "audit"], preexec_fn=heed_ctrl_c, cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == -signal.SIGINT  # 130, a shell says


def test_progress_that_nobody_sees_does_not_end_a_run():
    code = "from sparq_utils.border import guarded\nimport sys\n"
    code += "guarded(lambda: [print('x' * 100_000, file=sys.stderr) for _ in range(9)] and 7)"
    found = shell(f'{sys.executable} -c "{code}" 2>&1 >/dev/null | true; echo ${{PIPESTATUS[0]}}')
    assert found[1] == "7\n"
