"""Questions answered before the page does: by mouse and keyboard, read aloud, in the built page."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AXE = (Path(__file__).parent / "vendor/axe.min.js").read_text("utf-8")
CONF = f"""
extensions = ["myst_nb"]
myst_enable_extensions = ["attrs_inline", "colon_fence"]
html_theme = "sphinx_book_theme"
html_title = "Questions"
html_static_path = [{str(ROOT / "assets/static")!r}]
html_css_files = ["custom.css"]
html_js_files = ["guess.js"]
html_context = {{"default_mode": "auto"}}
nb_execution_mode = "force"
nb_execution_raise_on_error = True
"""
PAGE = """---
file_format: mystnb
kernelspec: {name: python3}
---
# Questions

```{code-cell}
from myst_nb import glue
glue("factor", 12.34, display=False)
```

:::{admonition} Guess first
:class: guess

Which is **the** most?

- Two
- **Three**

It is {glue:text}`factor:.1f`, of course.
:::

:::{admonition} Guess first
:class: guess

How many times? Between [1 and 21 times]{.range}.

It is [{glue:text}`factor:.1f`]{.answer} times.
:::

:::{admonition} Check yourself
:class: quiz

Which one?

- This.

  This was too small.

- **That.**

  Well seen.

Because.
:::
"""


@pytest.fixture(scope="module")
def questions(tmp_path_factory) -> str:
    """A page with three questions, built as the book is."""
    folder = tmp_path_factory.mktemp("questions")
    (folder / "conf.py").write_text(CONF)
    (folder / "index.md").write_text(PAGE)
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "-q", str(folder), str(folder / "out")]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr
    return (folder / "out/index.html").as_uri()


def boxes(page, address: str) -> list:
    page.goto(address)
    page.wait_for_selector("div.admonition[data-ready]")
    found = page.locator("div.admonition")
    return [found.nth(i) for i in range(found.count())]


def test_a_guess_shows_the_answer_afterwards(page, questions):
    choice, *_ = boxes(page, questions)
    assert not choice.get_by_text("of course").is_visible()
    choice.get_by_role("button").click()
    assert choice.get_by_role("status").text_content() == "Choose one first."
    assert not choice.get_by_text("of course").is_visible()
    choice.get_by_label("Two").check()
    choice.get_by_role("button").click()
    assert choice.get_by_role("status").text_content() == "Not quite."
    assert choice.get_by_text("It is 12.3, of course").is_visible()
    assert choice.locator(".guess-right").all_text_contents() == ["Three"]
    assert choice.get_by_role("radiogroup", name="Which is the most?").is_visible()


def test_a_number_is_guessed_with_the_arrow_keys(page, questions):
    _, number, _ = boxes(page, questions)
    slider = number.get_by_role("slider", name="How many times?")
    slider.focus()
    assert not number.get_by_text("It is 12.3 times").is_visible()
    page.keyboard.press("End")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    said = number.get_by_role("status").text_content()
    assert said.startswith("You said 21.0 times; it is 12.3 times. Far off")
    slider.fill("12")
    number.get_by_role("button").click()
    assert "Well guessed" in number.get_by_role("status").text_content()
    assert number.get_by_text("It is 12.3 times.", exact=True).is_visible()


def test_a_quiz_lets_one_try_again(page, questions):
    *_, quiz = boxes(page, questions)
    status, because = quiz.get_by_role("status"), quiz.get_by_text("Because")
    quiz.get_by_label("This.").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    assert status.text_content() == "Not that one. This was too small."
    assert not because.is_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert status.text_content() == "Yes. Well seen."
    assert because.is_visible()
    *_, quiz = boxes(page, questions)
    quiz.get_by_label("This.").check()
    quiz.get_by_role("button", name="Check").click()
    quiz.get_by_role("button", name="Show the answer").click()
    assert quiz.get_by_role("status").text_content() == "It is: That."
    assert quiz.get_by_text("Because").is_visible()


def test_without_javascript_everything_is_there(browser, questions):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(questions)
    for text in ("of course", "Well seen.", "Because.", "It is 12.3 times."):
        assert page.get_by_text(text).first.is_visible()
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_everybody_can_answer(page, questions, theme, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.add_init_script(f"localStorage.setItem('mode', '{theme}')")
    for box in boxes(page, questions):
        if box.get_by_role("radio").count():
            box.get_by_role("radio").last.check()
        box.get_by_role("button").first.click()
    page.evaluate("Promise.all(document.getAnimations().map((one) => one.finished))")
    page.evaluate(AXE)
    broken = page.evaluate("axe.run('article')")["violations"]
    assert [(v["id"], [n["html"][:140] for n in v["nodes"]][:3]) for v in broken] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    rows = page.locator(".guess-option, .guess-slider, .guess-buttons button:visible")
    heights = rows.evaluate_all("(all) => all.map((one) => one.getBoundingClientRect().height)")
    assert min(heights) >= 44
