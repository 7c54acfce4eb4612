"""Files appear whole or not at all, and a folder belongs to one run at a time."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

IN_USE = ".in-use"
"""The file by which a process holds a folder; it goes with the process."""


class FolderInUseError(RuntimeError):
    """A folder that another process is writing to."""


def write_whole(path: str | Path, write: bytes | Callable[[BinaryIO], object]) -> None:
    """Write bytes, or let `write` fill a binary file: it becomes `path` once it is whole, on disk.

    Until then an old file stays as it is; a new one takes over its mode. Raises `OSError` that
    names the file where it cannot be written; then, as when `write` raises, nothing is left.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(write) if isinstance(write, bytes) else write(file)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            partial.chmod(path.stat().st_mode & 0o777)
        partial.replace(path)
        _sync_folder(path.parent)
    except (OSError, RuntimeError) as error:  # torch tells of a full disk by a RuntimeError
        reason = getattr(error, "strerror", None) or "is the disk full?"
        told = f"{path} could not be written ({reason}); make room or choose another folder"
        raise OSError(told) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def cache_dir() -> Path:
    """Where downloads and builds are kept; raises `OSError` if this user has no such place."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if Path(named).is_absolute():
        return Path(named) / "sparq_utils"
    try:
        return Path.home() / ".cache" / "sparq_utils"
    except RuntimeError as error:  # nobody knows this user
        raise OSError(
            "there is no home folder to keep downloads in; name one with XDG_CACHE_HOME"
        ) from error


def _sync_folder(folder: Path) -> None:
    """Put a folder's new names on disk, where the system lets a folder be opened."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_json(path: str | Path, content: dict | list) -> None:
    """Write JSON as :func:`write_whole` writes; `ValueError` for what JSON cannot hold."""
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    write_whole(path, text.encode())


def read_json(path: str | Path) -> dict:
    """A JSON object from a file; raises `ValueError`, naming the file, for anything else."""
    try:
        found = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}); move it away") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} is damaged (it holds no JSON object); move it away")
    return found


@contextmanager
def lock(folder: str | Path) -> Iterator[None]:
    """Hold a folder, made if need be, for this process alone, until it ends at the latest.

    What dead processes left half-written in it goes. Raises :class:`FolderInUseError` if another
    process holds it.
    """
    import fcntl  # POSIX alone

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / IN_USE
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(handle, 100).decode(errors="replace").strip()
            os.close(handle)
            raise FolderInUseError(
                f"{folder} is in use by another run ({holder or 'just starting'}); wait for it "
                "to end or choose another --out"
            ) from error
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                break
        os.close(handle)  # the last holder took the file away between our two steps
    try:
        os.truncate(handle, 0)
        os.write(handle, f"process {os.getpid()}".encode())
        for left in folder.rglob(".*.partial"):
            left.unlink(missing_ok=True)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)
