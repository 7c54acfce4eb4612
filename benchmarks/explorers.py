"""What a move of a slider takes in a real browser: the threshold explorer with four networks."""

import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.policies import random_trace
from benchmarks.timing import Case, Contest, UnavailableError

NAME = "threshold explorer of four networks, 10,000 samples each, one move: time"
LIMIT = 0.004
"""Seconds that an answer to a move may take, its layout included: a quarter of a frame."""

MOUNT = Path(__file__).resolve().parent.parent / "assets/static/lite/static-anywidget.js"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MOVES = """async (root) => {
    const sliders = [...root.querySelectorAll("input[type=range]")], times = [];
    for (let i = 0; i < 400; i++) {
        const began = performance.now(), slider = sliders[i % 2];
        slider.value = (i % 100) / 100;
        slider.dispatchEvent(new Event("input"));
        await null;  // the update runs as a microtask
        root.getBoundingClientRect();  // and its layout counts as well
        times.push((performance.now() - began) / 1000);
        await new Promise(requestAnimationFrame);
    }
    return [times.slice(100), Number(root.dataset.accuracy)];
}"""


def cases() -> Iterator[Case]:
    """Against the clock alone."""
    yield Case(NAME, "a limit of 4 ms", 1, moving)


def moving() -> Contest:
    """The median of 300 moves, after a hundred to warm up; the page ends where Python does.

    Raises :class:`UnavailableError` where there is no Chromium.
    """
    from playwright.sync_api import sync_playwright

    from sparq_utils.widgets import ThresholdExplorer

    path = os.environ.get("SPARQ_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        raise UnavailableError("no Chromium on this machine; install the package 'chromium'")
    widget = ThresholdExplorer({f"network {seed}": random_trace(seed=seed) for seed in range(4)})
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = Path(folder) / "page.html"
        page.write_text(static_page(widget), "utf-8")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.on("pageerror", lambda error: print(f"the page says: {error}", flush=True))
        tab.goto(page.as_uri())
        ready = ".static-widget[data-ready]"
        tab.wait_for_selector(ready, state="attached", timeout=120_000)
        times, accuracy = tab.locator(".sq").first.evaluate(MOVES)
        browser.close()
    widget.thresholds = [0.98, 0.99]
    assert accuracy == widget.point["accuracy"], "the page counts otherwise than Python"
    return Contest(statistics.median(times), LIMIT, lambda *_: None)


def static_page(widget: object) -> str:
    """A page that holds one widget and the book's script, and asks nobody for anything."""
    from ipywidgets.embed import dependency_state, embed_data

    data = embed_data(views=[widget], state=dependency_state([widget], drop_defaults=False))
    kinds = {"widget-view": data["view_specs"][0], "widget-state": data["manager_state"]}
    blocks = ""
    for kind, held in kinds.items():
        text = json.dumps(held).replace("</", r"<\/")
        blocks += f'<script type="application/vnd.jupyter.{kind}+json">{text}</script>'
    script = f"<script>{MOUNT.read_text('utf-8')}</script>"
    return f"<!doctype html><meta charset=utf-8><body>{blocks}{script}</body>"
