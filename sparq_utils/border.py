"""The command line's border: whatever goes wrong leaves as one line, and the terminal is kept.

Exit codes: 2 for an error, 130 after Ctrl-C, 141 where nobody reads the output any more.
"""

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TextIO

FAILED, STOPPED, UNREAD = 2, 130, 141
GOES_ON = "stopped; the same command goes on from here"

WAYS_OUT = {
    errno.ENOSPC: "make room there or choose another folder",
    errno.EDQUOT: "make room there or choose another folder",
    errno.EACCES: "mend its permissions or choose another folder",
    errno.EPERM: "mend its permissions or choose another folder",
    errno.EROFS: "choose a folder that can be written",
    errno.ENOTDIR: "one of its folders is a file",
    errno.EEXIST: "it is a file; choose another folder",
    errno.EMFILE: "raise the limit of open files",
}
"""What to do about an error of the system."""


def guarded(command: Callable[[], int | None]) -> NoReturn:
    """Run a command and leave Python with its exit code, 0 for None; never by a stack trace.

    `--debug` among the arguments shows where an error comes from, before its line.
    """
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    if len(sys.argv) == 1:
        sys.argv.append("--help")
    if not os.environ.get("COLUMNS", "80").strip("0").isdecimal():  # a width of 0 shows nothing
        del os.environ["COLUMNS"]
    with _calm_interrupts() as asked, _kept_streams() as output:
        try:
            code = command() or 0
            sys.stdout.flush()
        except KeyboardInterrupt:
            code = STOPPED
        except BrokenPipeError:
            code = UNREAD
        except SystemExit as left:  # so the command line's library leaves a broken pipe
            code = UNREAD if output.unread else left.code
        except Exception as error:  # all of them: this is the border
            code = STOPPED if asked or isinstance(error.__cause__, KeyboardInterrupt) else FAILED
            if debug:
                traceback.print_exc()
            if code == FAILED:
                print(f"error: {told(error)}", file=sys.stderr)
        if code == STOPPED:
            print(GOES_ON, file=sys.stderr)
    sys.exit(code)


def told(error: Exception) -> str:
    """An error in one line that names the thing and the way out."""
    if hasattr(error, "format_message"):  # of the command line's own parsing
        text = error.format_message()
    elif isinstance(error, OSError) and error.strerror:
        way = WAYS_OUT.get(error.errno)
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        text += f"; {way}" if way else ""
    elif isinstance(error, MemoryError):
        text = "out of memory; end other programs or choose a smaller profile"
    elif isinstance(error, ModuleNotFoundError):
        text = f"{error.name} is not installed; 'make env' installs everything"
    elif isinstance(error, (ValueError, OSError)) or type(error).__module__ != "builtins":
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error} (a defect? --debug shows where)"
    line = " ".join(text.split())
    return line if len(line) <= 1_000 else f"{line[:1_000]}..."


@contextmanager
def _calm_interrupts() -> Iterator[list[int]]:
    """Let a first Ctrl-C unwind, so that half-written files go, and a second one end at once.

    Gives a list that is empty until Ctrl-C is pressed: some libraries swallow what it raises.
    """
    asked: list[int] = []

    def stop(number: int, _frame: object) -> None:
        if asked:
            os.write(2, f"{GOES_ON}\n".encode())
            os._exit(STOPPED)
        asked.append(number)
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before in (signal.default_int_handler, signal.SIG_DFL):  # else it is ignored: let it be
        signal.signal(signal.SIGINT, stop)
    try:
        yield asked
    finally:
        if asked:  # leaving: what Python still has to do must not end in a stack trace
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        elif before is not None:
            signal.signal(signal.SIGINT, before)


class _Stream:
    """A text stream that shows any character and, if it may, goes quiet when it cannot write."""

    def __init__(self, stream: TextIO, may_fail: bool) -> None:
        self._stream, self._may_fail, self.unread = stream, may_fail, False

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def _try(self, act: Callable[[], int | None]) -> int | None:
        try:
            return act()
        except BrokenPipeError:
            self.unread = True
            if not self._may_fail:
                raise
        except OSError as error:
            if not self._may_fail:
                reason = f"the output could not be written ({error.strerror})"
                raise OSError(reason) from error
        return None

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)


@contextmanager
def _kept_streams() -> Iterator[_Stream]:
    """Standard streams that do not end a run: closed ones lead nowhere, progress may go unseen.

    Gives standard output, where what a command was asked for goes and a failure is an error.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # or the next file that is opened would take its place
            os.open(os.devnull, os.O_RDWR)
    before = sys.stdout, sys.stderr
    for name, may_fail in (("stdout", False), ("stderr", True)):
        stream = getattr(sys, name) or open(os.devnull, "w")  # noqa: SIM115, PTH123
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
        setattr(sys, name, _Stream(stream, may_fail))
    output = sys.stdout
    try:
        yield output
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except (OSError, ValueError):
        pass  # said already, or there is no place to say it
    finally:
        sys.stdout, sys.stderr = before
        _silence_what_fails(before)


def _silence_what_fails(streams: tuple[TextIO | None, ...]) -> None:
    """Lead streams that cannot be written nowhere: Python writes what they hold at its end."""
    for number, stream in enumerate(streams, 1):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
