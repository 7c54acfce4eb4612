"""Keep what a label says inside the explorers' embedded state: no "<" can end its script."""

from sphinx.application import Sphinx


def safe(state: str) -> str:
    r"""The same JSON without a "<": in JSON it can stand in texts alone, as \u003c too."""
    return state.replace("<", "\\u003c")


def rewrite(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Rewrite the state that MyST-NB embeds; it escapes the exact letters `</script>` alone."""
    for script in context.get("script_files", []):
        attributes = getattr(script, "attributes", {})
        if attributes.get("type", "").endswith("+json") and "body" in attributes:
            attributes["body"] = safe(attributes["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx, after MyST-NB."""
    app.connect("html-page-context", rewrite, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
