import json
import os
import signal
import stat
import subprocess
import sys

import pytest

from sparq_utils.files import FolderInUseError, lock, read_json, write_json, write_whole


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_bytes_and_writers_make_the_same_file_in_new_folders(tmp_path):
    write_whole(tmp_path / "a" / "one", b"content")
    write_whole(tmp_path / "a" / "two", lambda file: file.write(b"content"))
    assert names(tmp_path / "a") == ["one", "two"]
    assert {path.read_bytes() for path in (tmp_path / "a").iterdir()} == {b"content"}


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "one"
    path.write_bytes(b"old")

    def write(file):
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"

    write_whole(path, write)
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("raised", [KeyboardInterrupt, TypeError, MemoryError])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, raised):
    path = tmp_path / "one"
    path.write_bytes(b"old")

    def write(file):
        file.write(b"half")
        raise raised

    with pytest.raises(raised):
        write_whole(path, write)
    assert names(tmp_path) == ["one"] and path.read_bytes() == b"old"


@pytest.mark.parametrize(
    "raised", [OSError(28, "No space left on device"), RuntimeError("enforce fail at inline.cc")]
)
def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path, raised):
    def write(file):
        raise raised

    with pytest.raises(OSError, match=r"weights could not be written \(.*\); make room") as caught:
        write_whole(tmp_path / "weights", write)
    assert "enforce" not in str(caught.value)
    assert not names(tmp_path)


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(OSError, match=r"taken/one could not be written"):
        write_whole(tmp_path / "taken" / "one", b"content")


def test_new_files_have_the_mode_of_any_other_and_old_ones_keep_theirs(tmp_path):
    (tmp_path / "neighbour").write_bytes(b"")
    write_whole(tmp_path / "new", b"content")
    (tmp_path / "private").write_bytes(b"")
    (tmp_path / "private").chmod(0o600)
    write_whole(tmp_path / "private", b"content")
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names(tmp_path)}
    assert modes["new"] == modes["neighbour"] and modes["private"] == 0o600


def test_json_comes_back_and_is_valid(tmp_path):
    write_json(tmp_path / "a.json", {"a": [1, 2.5, None]})
    assert read_json(tmp_path / "a.json") == {"a": [1, 2.5, None]}
    with pytest.raises(ValueError):
        write_json(tmp_path / "b.json", {"a": float("nan")})
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 200_000, b"\xff\xfe{", b"[1]", b"null", b'{"a": 1}{']
)
def test_damaged_json_is_named(tmp_path, content):
    path = tmp_path / "notes.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"notes\.json is damaged .*move it away"):
        read_json(path)


HOLDER = """
import sys, time
from sparq_utils.files import lock
with lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_held_folder_is_refused_by_whose_it_is(tmp_path, holder):
    told = rf"in use by another run \(process {holder.pid}\); wait for it to end or choose another"
    with pytest.raises(FolderInUseError, match=told), lock(tmp_path):
        pytest.fail("held twice")
    (tmp_path / "elsewhere").mkdir()
    with lock(tmp_path / "elsewhere"):
        pass


def test_a_lock_dies_with_its_owner_and_what_the_owner_left_goes(tmp_path, holder):
    half = tmp_path / "seed-0" / f".ann.safetensors.{holder.pid}.partial"
    half.parent.mkdir()
    half.write_bytes(b"half")
    with pytest.raises(FolderInUseError), lock(tmp_path):
        pytest.fail("held twice")
    assert half.exists()  # it may still be written to
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with lock(tmp_path):
        assert not half.exists()
    assert names(tmp_path) == ["seed-0"]


def test_a_folder_is_let_go_on_errors(tmp_path):
    with pytest.raises(KeyError), lock(tmp_path):
        raise KeyError
    with lock(tmp_path / "made"):
        assert json.dumps(os.getpid()) in (tmp_path / "made" / ".in-use").read_text()
    assert names(tmp_path) == ["made"] and not names(tmp_path / "made")
