"""Numbers and places as C writes them."""

from collections.abc import Iterable

import numpy as np

from sparq_utils.deploy.steps import Map

F32 = np.float32


def plus(place: str, offset: int) -> str:
    """A place in memory, so many bytes on."""
    return f"{place} + {offset}" if offset else place


def times(index: str, size: int) -> str:
    """Bytes of so many things of a size."""
    return index if size == 1 else f"{index} * {size}"


def map_code(features: Map, field: int = 8) -> str:
    """A map as the kernels know it."""
    sizes = f".row = {features.row}, .plane = {features.plane}, .planes = {features.planes}"
    return f"{{.field = {field}, {sizes}}}"


def real(value: float) -> str:
    """A float32 literal that reads back as the same number."""
    text = str(F32(value))
    return (text if set(text) & set(".en") else f"{text}.0") + "f"


PER_LINE = 20
"""Numbers on a line of an array."""


def array(kind: str, name: str, values: Iterable) -> str:
    """A constant array; its values whole numbers, or text."""
    texts = [value if isinstance(value, str) else str(int(value)) for value in values]
    per_line = PER_LINE if not texts or len(texts[0]) < 10 else PER_LINE // 2
    lines = [", ".join(texts[at : at + per_line]) for at in range(0, len(texts), per_line)]
    return f"static const {kind} {name} = {{\n    " + ",\n    ".join(lines) + "};"
