"""Keep a number and its unit on one line: a no-break space before %, mJ, KiB and their like."""

import re

from docutils import nodes
from sphinx.application import Sphinx

UNIT = re.compile(r" (?=%|(?:[pnµm]?J|KiB|MiB|[kMG]B)\b)")
VERBATIM = (nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.raw)


def keep_together(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Replace the spaces before units in all text of a page but code, formulas and raw HTML."""
    for text in list(doctree.findall(nodes.Text)):
        kept = UNIT.sub("\N{NO-BREAK SPACE}", text)
        if kept != text and not isinstance(text.parent, VERBATIM):
            text.parent.replace(text, nodes.Text(kept))


def setup(app: Sphinx) -> dict[str, bool]:
    """Run once references and results stand in the text."""
    app.connect("doctree-resolved", keep_together)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
