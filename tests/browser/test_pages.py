"""Every page of the built book, in a real browser with the outside world shut off."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

HTML = Path(__file__).parents[2] / "_build/html"
PAGES = sorted(HTML.glob("book/*.html")) + sorted(HTML.glob("notebooks/*.html"))
AXE = (Path(__file__).parent / "vendor/axe.min.js").read_text("utf-8")
KNOWN = "Identifier 'THEBE_JS_URL' has already been declared"
"""The theme's own error, on every page; nothing breaks."""
LIMIT_BYTES = 5_000_000

pytestmark = pytest.mark.skipif(not PAGES, reason="the book is not built: run 'make book' first")
pages = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The built book, served on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=HTML)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def opened(page, address: str) -> None:
    page.goto(address, wait_until="load")
    page.wait_for_function(
        """!document.querySelector(".math") ||
            (window.MathJax?.startup?.promise && MathJax.startup.promise.then(() => true))"""
    )
    views = page.locator("script[type='application/vnd.jupyter.widget-view+json']").count()
    page.wait_for_function(
        "(n) => document.querySelectorAll('.static-widget > *').length >= n", arg=views
    )


@pages
def test_a_page_opens_offline_without_errors(page, site, path):
    loaded = []
    page.on("requestfinished", lambda request: loaded.append(request.url))
    opened(page, site + path.relative_to(HTML).as_posix())
    assert [problem for problem in page.problems if KNOWN not in problem] == []
    formulas = page.locator("article .math")
    assert page.locator("article mjx-container svg").count() >= formulas.count()
    assert page.locator("article mjx-merror, article [data-mml-node=merror]").count() == 0
    assert page.locator(".static-widget-error").count() == 0
    names = {url.removeprefix(site).split("?")[0].split("#")[0] for url in loaded}
    files = [HTML / name for name in names if (HTML / name).is_file()]
    assert path in files
    assert sum(file.stat().st_size for file in files) < LIMIT_BYTES


@pages
def test_a_page_opens_as_a_file_too(page, path):
    opened(page, path.as_uri())
    assert [problem for problem in page.problems if problem.startswith("fetched")] == []
    assert page.locator(".static-widget-error").count() == 0


@pages
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_everybody_can_read_it(page, site, path, theme, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.add_init_script(f"localStorage.setItem('mode', '{theme}')")
    opened(page, site + path.relative_to(HTML).as_posix())
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    # What fades in is pale for a while.
    page.evaluate("Promise.all(document.getAnimations().map((one) => one.finished))")
    page.evaluate(AXE)
    broken = page.evaluate("axe.run()")["violations"]
    assert [(v["id"], [n["html"][:140] for n in v["nodes"]][:3]) for v in broken] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
