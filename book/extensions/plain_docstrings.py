"""Let docstrings be written plainly: `code` in single backticks, shapes like [B, *shape]."""

import re

from sphinx.application import Sphinx

CODE = re.compile(r"(?<![`:\w])`([^`]+)`(?![`_])(?=(\w?))")
ROLE_OR_CODE = re.compile(r"(``[^`]*``(?:\\ )?|:\w+(?::\w+)*:`[^`]*`)")


def to_rst(docstring: str) -> str:
    """The same text in reStructuredText: single backticks doubled, stray asterisks escaped."""
    doubled = CODE.sub(lambda m: f"``{m[1]}``" + ("\\ " if m[2] else ""), docstring)
    parts = ROLE_OR_CODE.split(doubled)
    return "".join(p if i % 2 else p.replace("*", "\\*") for i, p in enumerate(parts))


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to autodoc, ahead of napoleon."""

    def rewrite(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]):
        lines[:] = to_rst("\n".join(lines)).split("\n")

    app.connect("autodoc-process-docstring", rewrite, priority=100)
    return {"parallel_read_safe": True}
