"""The state that a page embeds: nothing said in it leaves it, and one explorer breaks alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from make_trace import make_trace

from sparq_utils.widgets import EnergyExplorer, LIFExplorer

ROOT = Path(__file__).parents[2]
EVIL = ["</SCRIPT><b id=out>", "</script ><b id=out>", "<!--<script>", "<img id=out src=x>", "'\"&"]
READY = "document.querySelectorAll('.static-widget[data-ready]').length == %d"


@pytest.mark.parametrize("label", EVIL)
def test_no_label_leaves_the_embedded_state(page, static_page, label):
    page.goto(static_page(LIFExplorer(), EnergyExplorer({label: make_trace()}), LIFExplorer()))
    page.wait_for_function(READY % 3)
    assert page.locator("#out").count() == 0
    assert page.locator(".sq-joules > span").first.text_content() == label
    assert page.problems == []


CONF = f"""
import sys
sys.path.append({str(ROOT / "book/extensions")!r})
extensions = ["myst_nb", "safe_state"]
html_theme = "basic"
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_ipywidgets_js = {{}}
html_static_path = [{str(ROOT / "assets/static/lite")!r}]
html_js_files = [("static-anywidget.js", {{"defer": "defer"}})]
"""
PAGE = """---
file_format: mystnb
kernelspec: {name: python3}
---
# Labels

```{code-cell}
from sparq_utils.widgets import ConversionExplorer
ConversionExplorer({label: {1: 0.5, 4: 0.75} for label in LABELS})
```
"""


def test_a_page_built_from_evil_labels_is_whole(page, tmp_path):
    """From the cell to the browser, by the book's own builder and extension."""
    (tmp_path / "conf.py").write_text(CONF)
    (tmp_path / "index.md").write_text(PAGE.replace("LABELS", repr(EVIL)))
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-b",
        "html",
        "-q",
        str(tmp_path),
        str(tmp_path / "out"),
    ]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}, check=False
    )
    assert done.returncode == 0, done.stderr
    page.goto((tmp_path / "out/index.html").as_uri())
    page.wait_for_function(READY % 1)
    assert page.locator("#out").count() == 0
    assert [one.strip() for one in page.locator(".sq-line-name").all_text_contents()] == EVIL
    assert page.problems == []


def test_an_explorer_that_breaks_or_hangs_takes_no_other_with_it(page, static_page):
    hangs, broken, fine = LIFExplorer(), LIFExplorer(), LIFExplorer()
    scripts = ["export default { render: () => new Promise(() => {}) }", "export default {{"]

    def change(state: dict) -> dict:
        for widget, script in zip((hangs, broken), scripts, strict=True):
            state["state"][widget.model_id]["state"]["_esm"] = script
        return state

    page.goto(static_page(hangs, broken, fine, change=change))
    page.wait_for_selector(".static-widget[data-ready] .sq")
    assert page.get_by_role("alert").count() == 1
    assert page.get_by_label("Decay").count() == 1


TWO_VIEWS = """
let views = 0;
export default { render({ model, el }) {
  if (views++) return model.on("change:current", () => { el.textContent = "heard"; });
  model.on("change:current", () => { throw new Error("the first view fails"); });
  const button = document.createElement("button");
  button.onclick = () => model.set("current", 1);
  el.append(button);
} };
"""


def test_a_view_that_fails_keeps_no_other_from_hearing(page, static_page):
    widget = LIFExplorer()

    def change(state: dict) -> dict:
        state["state"][widget.model_id]["state"]["_esm"] = TWO_VIEWS
        return state

    page.goto(static_page(widget, widget, change=change))
    page.wait_for_function(READY % 2)
    page.get_by_role("button").click()
    assert page.locator(".static-widget").nth(1).text_content() == "heard"
    assert any("the first view fails" in problem for problem in page.problems)
