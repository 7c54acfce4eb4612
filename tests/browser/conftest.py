"""A real browser, and small pages that embed explorers the way MyST-NB does."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "book/extensions"))
from safe_state import safe  # noqa: E402

MOUNT = ROOT / "assets/static/lite/static-anywidget.js"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# The book theme's tokens, light and dark, so that small pages look as the book's do.
THEME = """
html {
  --pst-color-text-base: #222832; --pst-color-text-muted: #48566b; --pst-color-primary: #0a7d91;
  --pst-color-border: #c9c9c9; --pst-color-surface: #f3f4f5; --pst-color-background: #fff;
}
html[data-theme="dark"] {
  --pst-color-text-base: #ced6dd; --pst-color-text-muted: #9ca4af; --pst-color-primary: #3fb1c5;
  --pst-color-border: #48566b; --pst-color-surface: #29313d; --pst-color-background: #14181e;
}
body {
  margin: 0 auto; padding: 16px; max-width: 60rem; background: var(--pst-color-background);
  color: var(--pst-color-text-base); font-family: system-ui, sans-serif;
}
"""


def chromium() -> str | None:
    """The browser to test with: SPARQ_CHROMIUM, or the system's Chromium or Chrome."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("SPARQ_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """One headless Chromium for the whole session."""
    path = chromium()
    if path is None:
        pytest.skip("no Chromium on this machine; install the package 'chromium'")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser) -> Iterator:
    """A fresh tab that may fetch nothing remote; `page.problems` lists what went wrong."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.problems = []
    page.on("console", lambda m: m.type == "error" and page.problems.append(f"console: {m.text}"))
    page.on("pageerror", lambda error: page.problems.append(f"error: {error}"))

    def only_local(route) -> None:
        url = route.request.url
        if url.startswith(("file:", "data:", "blob:", "http://127.0.0.1", "http://localhost")):
            route.continue_()
        else:
            page.problems.append(f"fetched {url}")
            route.abort()

    context.route("**/*", only_local)
    yield page
    context.close()


@pytest.fixture
def static_page(tmp_path: Path) -> Callable[..., str]:
    """Write widgets into a static page as MyST-NB does; returns its address."""
    from ipywidgets.embed import dependency_state, embed_data

    def write(*widgets: object, theme: str = "light", change: Callable | None = None) -> str:
        saved = dependency_state(list(widgets), drop_defaults=False)
        data = embed_data(views=list(widgets), state=saved)
        state = data["manager_state"]
        if change is not None:
            state = change(state)
        saved = safe(json.dumps(state).replace("</script>", r"<\/script>"))
        views = "\n".join(
            f'<script type="application/vnd.jupyter.widget-view+json">{json.dumps(view)}</script>'
            for view in data["view_specs"]
        )
        path = tmp_path / "page.html"
        path.write_text(
            f'<!doctype html><html lang="en" data-theme="{theme}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f"<title>Explorer</title><style>{THEME}</style></head><body><main><h1>Explorer</h1>"
            f"{views}</main>"
            + (
                f'<script type="application/vnd.jupyter.widget-state+json">{saved}</script>'
                if state is not None
                else ""
            )
            + f"<script>{MOUNT.read_text('utf-8')}</script></body></html>",
            "utf-8",
        )
        return path.as_uri()

    return write


@pytest.fixture
def module(page) -> Callable[..., object]:
    """Evaluate JavaScript with an explorer's functions at hand: module(source, body, argument)."""

    def call(source: str, body: str, argument: object = None) -> object:
        code = f"{source}\nexport const answer = async (given) => {{ {body} }};"
        return page.evaluate(
            """async ([code, given]) => {
                const url = URL.createObjectURL(new Blob([code], {type: "text/javascript"}));
                return (await import(url)).answer(given);
            }""",
            [code, argument],
        )

    return call
