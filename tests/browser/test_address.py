"""A view of an explorer lives in the page's address: sent to a friend, it opens as it was."""

import json

import pytest

from browser.test_explorers import (
    chip_explorer,
    digit_explorer,
    draw,
    expected,
    learning_explorer,
    opened,
    shown,
    threshold_explorer,
)
from sparq_utils.widgets import LIFExplorer

SETTLED = """(before) => new Promise((done) => {
    let last = location.href;
    const look = () => {
        if (location.href !== before && location.href === last) done(last);
        else { last = location.href; setTimeout(look, 700); }
    };
    setTimeout(look, 700);
})"""
"""The address once it has changed and stays as it is: it is written when the reader pauses."""


def address_after(page, change) -> str:
    """The address once it follows what was changed in the page."""
    before = page.url
    change()
    return page.evaluate(SETTLED, before)


def test_a_view_is_restored_from_its_address(page, static_page):
    widget = threshold_explorer()
    opened(page, static_page(LIFExplorer(), widget))
    assert "#" not in page.url

    def change() -> None:
        page.get_by_label("Exit 1", exact=True).fill("0.33")
        page.get_by_label("Cost axis").select_option("operations")
        page.get_by_text("Energy constants").click()
        page.get_by_label("Memory, per byte").fill("7.5")

    link = address_after(page, change)
    assert page.get_by_role("link", name="Link to this view").count() == 1
    page.goto("about:blank")
    opened(page, link)
    widget.thresholds = [0.33, 0.8]
    widget.constants = {"8": widget.constants["8"] | {"byte_j": 7.5e-12}}
    assert shown(page.locator(".sq").nth(1)) == expected(widget)
    assert page.get_by_label("Cost axis").input_value() == "operations"
    assert page.get_by_label("Input current I").input_value() == "0.3"
    page.get_by_label("Exit 1", exact=True).fill("0.8")
    page.get_by_text("Energy constants").click()
    page.get_by_label("Memory, per byte").fill("80")
    last = lambda: page.get_by_label("Cost axis").select_option("energy")  # noqa: E731
    assert "#" not in address_after(page, last), "the view of the book itself has no address"
    assert page.problems == []


def test_a_drawing_can_be_sent(page, static_page):
    explorer = opened(page, static_page(digit_explorer()))
    link = address_after(page, lambda: draw(page))
    pixels = """(canvas) => [...canvas.getContext("2d").getImageData(0, 0, 28, 28).data]"""
    numbers = "(root) => [root.dataset.prediction, root.dataset.operations, root.dataset.energy]"
    before = explorer.evaluate(numbers)
    assert len(link) < 1500
    page.goto("about:blank")
    explorer = opened(page, link)
    assert explorer.evaluate(numbers) == before
    assert page.get_by_text("Your drawing.").is_visible()
    assert any(page.locator(".sq-pad").evaluate(pixels))
    assert page.problems == []


def test_a_view_of_the_chip_can_be_sent(page, static_page):
    widget = chip_explorer()
    opened(page, static_page(widget))
    change = lambda: page.get_by_label("Network").select_option("Small")  # noqa: E731
    link = address_after(page, change)
    page.goto("about:blank")
    explorer = opened(page, link)
    widget.selected = "Small"
    assert json.loads(explorer.get_attribute("data-point")) == widget.point
    assert page.problems == []


@pytest.mark.parametrize(
    "asked",
    [
        "1.snapshot=99", "1.snapshot=%22x%22", "1.snapshot={{", "1.about=1", "7.x=1",
    ],
)  # fmt: skip
def test_an_address_that_makes_no_sense_breaks_nothing(page, static_page, asked):
    explorer = opened(page, f"{static_page(learning_explorer())}#{asked}")
    assert float(explorer.get_attribute("data-reward")) > 0
    assert page.get_by_role("alert").count() == 0
