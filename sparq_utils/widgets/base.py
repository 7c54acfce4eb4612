"""What all explorers share: one self-contained script, one style sheet, packed arrays."""

import math
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

try:
    import anywidget
    import traitlets
except ModuleNotFoundError as error:
    told = f"explorers need {error.name}: install sparq-utils[book]"
    raise ModuleNotFoundError(told, name=error.name) from error

HERE = Path(__file__).parent
DTYPES = ("uint8", "int8", "uint16", "int32", "uint32", "float32", "float64")
"""The array types that JavaScript has too."""


IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?!default)", re.MULTILINE)


def script(name: str) -> str:
    """One ES module out of a file and, before it, all that it imports, each once.

    A page can hold no second file beside an explorer's script, so the files' names share one
    scope: no two files may declare the same.
    """
    parts: dict[str, str] = {}

    def add(file: str) -> None:
        source = (HERE / file).read_text("utf-8")
        for needed in IMPORT.findall(source):
            if needed not in parts:
                add(needed)
        parts[file] = EXPORT.sub("", IMPORT.sub("", source)).strip()

    add(name)
    return "\n\n".join([*parts.values(), ""])


def style() -> str:
    """The style sheet that all explorers share."""
    return (HERE / "explorer.css").read_text("utf-8")


def smallest(values: np.ndarray) -> np.ndarray:
    """Non-negative integers in the smallest type that JavaScript can read exactly.

    Raises `ValueError` for negative values or values of 2^53 and above, which JavaScript's
    numbers cannot hold.
    """
    values = np.asarray(values)
    lowest, highest = int(values.min(initial=0)), int(values.max(initial=0))
    if lowest < 0 or highest >= 2**53:
        raise ValueError(f"integers from {lowest} to {highest} do not fit JavaScript's numbers")
    dtype = np.min_scalar_type(highest)
    return values.astype(dtype if dtype.itemsize <= 4 else np.float64)


def pack(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, dict], bytes]:
    """Arrays as one compressed block of bytes and its table of contents.

    The bytes of each array are regrouped by significance (all lowest bytes first), which
    makes the block several times smaller. Raises `TypeError` for a dtype JavaScript lacks.
    """
    contents, blocks = {}, []
    for name, array in arrays.items():
        if array.dtype.name not in DTYPES:
            raise TypeError(f"array '{name}' is {array.dtype}; JavaScript reads {DTYPES}")
        contents[name] = {"dtype": array.dtype.name, "length": int(array.size)}
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        planes = little.view(np.uint8).reshape(-1, array.itemsize).T  # [itemsize, length]
        blocks.append(planes.tobytes())
    return contents, zlib.compress(b"".join(blocks), 9)


def addressed(*names: str) -> traitlets.List:
    """The trait that lists which traits a view's address holds; see :class:`Explorer`."""
    return traitlets.List(list(names)).tag(sync=True)


class Number(traitlets.Float):
    """A number within its bounds; traitlets' own lets NaN pass, which lies within none."""

    def validate(self, obj: object, value: object) -> float:
        """Refuse what is no finite number."""
        value = super().validate(obj, value)
        if not math.isfinite(value):
            raise traitlets.TraitError(f"{self.name} is {value}, expected a finite number")
        return value


class Explorer(anywidget.AnyWidget):
    """An explorer whose arithmetic and drawing live in its script: no kernel needed.

    Arrays travel in `data`, described by `contents`; see :func:`pack`. Traits named in
    `in_address` are kept in the address of a static page, so that a view can be sent to a friend.
    """

    _css: ClassVar[str] = style()

    in_address = addressed()
    contents = traitlets.Dict().tag(sync=True)
    data = traitlets.Bytes().tag(sync=True)
