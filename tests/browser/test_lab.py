"""The explorer in a real JupyterLab: the slider moves Python, Python moves the slider."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_client import BlockingKernelClient

TESTS = Path(__file__).parents[1]
CELL = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
from make_trace import make_trace
from sparq_utils.widgets import ThresholdExplorer
explorer = ThresholdExplorer({{"a": make_trace()}})
explorer
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """A JupyterLab server of its own, serving one notebook; the notebook's address."""
    nbformat.write(
        nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(CELL)],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        ),
        tmp_path / "explorer.ipynb",
    )
    folders = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "RUNTIME")}
    folders["JUPYTERLAB_WORKSPACES_DIR"] = str(tmp_path / "workspaces")
    options = ["--no-browser", "--allow-root", "--port=0", "--IdentityProvider.token=test"]
    options += [
        "--expose-app-in-browser",
        "--LabApp.news_url=None",
        f"--ServerApp.root_dir={tmp_path}",
    ]
    log = (tmp_path / "server.log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options],
        env=os.environ | folders,
        cwd=tmp_path,
        stdout=log,
        stderr=log,
    )
    try:
        yield f"{_address(server, tmp_path)}lab/tree/explorer.ipynb?token=test"
    finally:
        server.terminate()
        server.wait(timeout=30)
        log.close()


def _address(server: subprocess.Popen, folder: Path) -> str:
    """Where the server listens, once it does."""
    for _ in range(300):
        for running in (folder / "RUNTIME").glob("jpserver-*.json"):
            if text := running.read_text("utf-8"):
                return re.sub("localhost", "127.0.0.1", json.loads(text)["url"])
        assert server.poll() is None, (folder / "server.log").read_text("utf-8")
        time.sleep(0.2)
    raise AssertionError("JupyterLab did not start:\n" + (folder / "server.log").read_text("utf-8"))


def kernel_of(folder: Path) -> BlockingKernelClient:
    """A second client of the notebook's own kernel."""
    (connection,) = (folder / "RUNTIME").glob("kernel-*.json")
    client = BlockingKernelClient(connection_file=str(connection))
    client.load_connection_file()
    client.start_channels()
    client.wait_for_ready(timeout=30)
    return client


def value(client: BlockingKernelClient, expression: str) -> object:
    """What a Python expression gives in the kernel."""
    code = f"__import__('json').dumps({expression})"
    reply = client.execute("", user_expressions={"it": code}, reply=True, timeout=30)
    return json.loads(eval(reply["content"]["user_expressions"]["it"]["data"]["text/plain"]))


def test_slider_and_python_move_each_other(page, lab, tmp_path):
    page.goto(lab)
    page.wait_for_function(
        "window.jupyterapp?.shell.currentWidget?.context?.sessionContext.isReady"
    )
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    explorer = page.locator(".sq[data-accuracy]")
    explorer.wait_for(timeout=60_000)
    kernel = kernel_of(tmp_path)
    try:
        slider = page.get_by_label("Exit 1", exact=True)
        slider.focus()
        for _ in range(4):
            page.keyboard.press("ArrowLeft")
        deadline = time.monotonic() + 20
        while value(kernel, "explorer.thresholds") != [0.76, 0.8]:
            assert time.monotonic() < deadline, value(kernel, "explorer.thresholds")
            time.sleep(0.1)
        point = value(kernel, "explorer.point")
        assert float(explorer.get_attribute("data-accuracy")) == point["accuracy"]
        assert float(explorer.get_attribute("data-energy")) == point["energy_j"]

        kernel.execute("explorer.thresholds = [0.31, 0.42]", reply=True, timeout=30)
        page.wait_for_function("document.querySelector('.sq input[type=range]').value === '0.31'")
        point = value(kernel, "explorer.point")
        assert float(explorer.get_attribute("data-energy")) == point["energy_j"]
        kernel.execute("explorer.preset = 'Never leave early'", reply=True, timeout=30)
        page.wait_for_function("document.querySelector('.sq').dataset.shares === '0,0,1'")
    finally:
        kernel.stop_channels()
