"""Several processes on CPUs: one writes, all record, and the traces are those of one alone."""

import os
import subprocess
import sys

import pytest

from sparq_utils.networks.processes import gathered, share
from sparq_utils.results.files import TRACES

RUN = ["-m", "sparq_utils", "run", "mlp-mnist", "--profile", "smoke"]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
ACCELERATE = ["-m", "accelerate.commands.accelerate_cli", "launch", "--num_processes", "2"]


def run(*arguments):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A run of two processes; its folder and what was printed."""
    out = tmp_path_factory.mktemp("two")
    return out, run(*TORCHRUN, *RUN, "--out", str(out))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_processes_run_an_experiment_and_one_writes(recorded):
    out, done = recorded
    found = contents(out)
    assert {f"{variant}-test.npz" for variant in TRACES} <= set(found)
    assert not [name for name in found if name.endswith(".partial") or name == ".in-use"]
    assert done.stdout.count("recorded in") == 1
    assert b"2 processes" in found["manifest.json"]


def test_one_process_records_the_same_traces_bit_for_bit(recorded):
    out, _ = recorded
    traces = {path: path.read_bytes() for path in out.rglob("*.npz")}
    for path in traces:
        path.unlink()
    run(*RUN, "--out", str(out))  # a trace unlike the one in the manifest would be refused
    assert len(traces) > 10
    assert all(path.read_bytes() == content for path, content in traces.items())


def test_accelerate_says_so_where_it_starts_one_process_for_two(recorded):
    out, _ = recorded
    before = contents(out)
    done = run(*ACCELERATE, *RUN, "--out", str(out))
    told = " ".join(done.stderr.split())
    assert "asked for several processes and started this one alone" in told
    assert "torchrun --nproc_per_node" in told
    assert contents(out) == before


def test_accelerate_starts_two_where_it_is_told_how(tmp_path):
    (tmp_path / "worker.py").write_text(
        "from sparq_utils.networks.processes import all_processes\n"
        "print(all_processes().process_index, 'of', all_processes().num_processes)"
    )
    done = run(*ACCELERATE, "--multi_gpu", str(tmp_path / "worker.py"))
    assert sorted(done.stdout.splitlines()) == ["0 of 2", "1 of 2"]
    assert "this one alone" not in done.stderr


class Process:
    def __init__(self, index, count):
        self.process_index, self.num_processes = index, count


def test_every_batch_is_for_one_process():
    shares = [share(Process(index, 3)) for index in range(3)]
    for number in range(10):
        assert sum(mine(number) for mine in shares) == 1
    assert all(share(None)(number) for number in range(5))


def test_one_process_alone_has_found_all_there_is():
    assert gathered([1, 2], None) == gathered([1, 2], Process(0, 1)) == [1, 2]
