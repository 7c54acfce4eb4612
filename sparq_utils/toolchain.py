"""The C compiler: `ziglang`, which builds for every home, or the system's, for this one."""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from sparq_utils.files import cache_dir

WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
FLAGS = (
    *("-O2", "-fomit-frame-pointer", "-ffreestanding"),
    *("-ffp-contract=off", "-fno-math-errno", "-fno-sanitize=undefined"),
)


class CompilerError(RuntimeError):
    """No compiler, or one that refuses."""


def compiler(target: str | None = None) -> list[str]:
    """The command of a compiler; `target` names another machine, which takes ziglang.

    Raises :class:`CompilerError` if there is none.
    """
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc", *(["-target", target] if target else [])]
    found = None if target else next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if found is None:
        machine = target or "this machine"
        raise CompilerError(f"no C compiler for {machine}: pip install 'sparq-utils[deploy]'")
    return [found]


def build(source: Path, target: str | None, flags: Sequence[str], output: Path) -> Path:
    """Compile one C file; gives `output`.

    Raises :class:`CompilerError` with the compiler's first complaint.
    """
    made = subprocess.run(
        [*compiler(target), *WARNINGS, *FLAGS, *flags, "-o", str(output), str(source)],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        lines = [line for line in made.stderr.splitlines() if "error" in line] or [
            "no reason given"
        ]
        raise CompilerError(f"{source.name} does not compile: {lines[0]}")
    return output


def build_once(
    name: str, header: str, code: str, flags: Sequence[str], suffix: str, target: str | None = None
) -> Path:
    """Compile the text of a C file and its header, unless the cache holds what they become.

    Gives the built file, which stays in the cache. Raises :class:`CompilerError` as :func:`build`.
    """
    folder = cache_dir() / "native"
    folder.mkdir(parents=True, exist_ok=True)
    told = [header, code, *compiler(target), *WARNINGS, *FLAGS, *flags]
    key = hashlib.sha256("\0".join(told).encode()).hexdigest()[:24]
    kept = folder / f"{name}-{key}{suffix}"
    if not kept.is_file():
        with TemporaryDirectory(dir=folder) as scratch:
            source = Path(scratch) / f"{name}.c"
            source.with_suffix(".h").write_text(header, "utf-8")
            source.write_text(code, "utf-8")
            build(source, target, flags, source.with_suffix(suffix)).replace(kept)
    return kept
