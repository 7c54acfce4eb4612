"""The book keeps its promises: form of the chapters, what the built pages link to and load."""

import ast
import json
import re
import tomllib
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from sparq_utils import plots

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = sorted(HTML.glob("book/*.html")) + sorted(HTML.glob("notebooks/*.html"))
WRITTEN = [*NOTEBOOKS, *sorted((ROOT / "book").glob("*.md"))]
FIGURES = {name for name in plots.__all__ if name.islower()} - {"look", "style", "energy_axis"}
FIGURES |= {"subplots", "show", "imshow"}
MACHINE_PATH = re.compile(r"(?<![\w./~])/(home|root|tmp|work|mnt|opt|usr|Users|content)/")

chapters = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
built = pytest.mark.skipif(not PAGES, reason="the book is not built: run 'make book' first")
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def cells(path, kind=None):
    found = json.loads(path.read_text("utf-8"))["cells"]
    return [cell for cell in found if kind in (None, cell["cell_type"])]


def source(cell):
    return "".join(cell["source"])


def draws(code):
    """Whether a cell calls one of the functions that make or show a figure."""
    calls = (node.func for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call))
    return any(getattr(f, "attr", getattr(f, "id", None)) in FIGURES for f in calls)


@chapters
def test_code_cells_are_short_and_hold_no_outputs(path):
    for cell in cells(path, "code"):
        lines = source(cell).splitlines()
        folded = "hide-input" in cell["metadata"].get("tags", [])
        assert len(lines) <= (30 if folded else 15), f"{len(lines)} lines, from: {lines[0]}"
        assert max(map(len, lines), default=0) <= 88, max(lines, key=len)
        assert not cell["outputs"] and cell["execution_count"] is None


@chapters
def test_a_chapter_opens_with_objectives(path):
    opening = "\n".join(source(cell) for cell in cells(path)[:2])
    assert opening.startswith("# ")
    assert ":class: objectives" in opening


@chapters
def test_a_chapter_closes_with_a_recap_and_solved_exercises(path):
    text = "\n".join(source(cell) for cell in cells(path, "markdown"))
    recap, first = text.rindex(":class: recap"), text.index(":class: exercise")
    assert recap < first, "the recap comes before the exercises"
    closing = text[first:]
    assert 2 <= closing.count(":class: exercise") <= 3
    assert closing.count(":class: exercise") == closing.count(":class: dropdown")


@chapters
def test_every_figure_has_caption_name_and_alternative_text(path):
    for cell in cells(path, "code"):
        if draws(source(cell)):
            about = cell["metadata"].get("mystnb", {})
            where = source(cell).splitlines()[0]
            assert about.get("figure", {}).get("caption"), f"no caption: {where}"
            assert about.get("figure", {}).get("name"), f"no name: {where}"
            assert len(about.get("image", {}).get("alt", "")) > 20, f"no alt text: {where}"
            assert about["image"].get("classes") == "dark-light", f"no dark-light: {where}"


def test_figure_cells_are_told_from_others():
    assert draws("plots.exit_shares(shares)") and draws("figure, axes = plt.subplots()")
    assert not draws("Markdown(text)") and not draws("plots.say(a=1)")


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.stem)
def test_nothing_names_a_path_of_one_machine(path):
    assert not MACHINE_PATH.search(path.read_text("utf-8"))


def test_no_two_figures_share_a_name():
    about = [c["metadata"].get("mystnb", {}) for p in NOTEBOOKS for c in cells(p, "code")]
    names = [entry["figure"]["name"] for entry in about if "figure" in entry]
    assert len(names) == len(set(names))


def test_every_module_has_its_place_in_the_reference():
    listed = set(re.findall(r"automodule:: (\S+)", (ROOT / "book" / "api.md").read_text("utf-8")))
    files = (ROOT / "sparq_utils").rglob("[!_]*.py")
    assert listed == {".".join(f.relative_to(ROOT).with_suffix("").parts) for f in files}


def test_every_direct_dependency_is_locked_exactly():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = project["dependencies"] + [
        one for extra in project["optional-dependencies"].values() for one in extra
    ]
    lock = (ROOT / "requirements.txt").read_text("utf-8")
    locked = set(re.findall(r"^([\w.-]+)==[\w.]+", lock, re.MULTILINE))
    assert {re.match(r"[\w.-]+", one)[0] for one in wanted} <= locked
    assert "://" not in lock and set(re.findall(r"--(\w+)", lock)) == {"hash"}


@pytest.mark.parametrize(
    "name", ["requirements.txt", "requirements-oracles.txt", "benchmarks/requirements.txt"]
)
def test_every_requirement_has_its_hashes(name):
    lock = (ROOT / name).read_text("utf-8")
    pinned = re.findall(r"^[\w.-]+==", lock, re.MULTILINE)
    hashed = re.findall(
        r"^[\w.-]+==[^\n]* \\\n    --hash=sha256:[0-9a-f]{64}\b", lock, re.MULTILINE
    )
    assert pinned and len(pinned) == len(hashed)


class Page(HTMLParser):
    """The ids, links, loaded resources and output images of a built page."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loads, self.images = set(), [], [], []
        self.said, self.open = [], []  # what paragraphs say, outside of code
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag in {"p", "code", "pre", "svg"}:
            self.open.append(tag)
        self.ids.add(given.get("id"))
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag == "link" and "canonical" not in given.get("rel", ""):
            self.loads.append(given.get("href", ""))
        if tag in {"script", "img", "iframe", "source"} and given.get("src"):
            self.loads.append(given["src"])
        if tag == "img":
            self.images.append(given)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] == "p":
            self.said.append(data)


read = cache(Page)


@built
@chapters
def test_every_chapter_is_a_page_of_the_book(path):
    page = HTML / "notebooks" / f"{path.stem}.html"
    assert page.is_file()
    assert f"notebooks/{path.stem}.html" in (HTML / "book" / "intro.html").read_text("utf-8")


@built
@pages
def test_internal_links_lead_somewhere(page):
    for link in read(page).links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        assert target.is_file(), link
        if parts.fragment and target.suffix == ".html":
            assert unquote(parts.fragment) in read(target).ids, link


@built
@pages
def test_a_page_loads_local_files_only(page):
    for resource in read(page).loads:
        parts = urlsplit(resource)
        assert parts.scheme in {"", "data"} and not parts.netloc, resource
        if not parts.scheme:
            assert (page.parent / unquote(parts.path)).is_file(), resource


@built
@pages
def test_every_image_has_alternative_text(page):
    for image in read(page).images:
        assert image.get("alt") and not image["alt"].startswith(".."), image.get("src")


@built
@pages
def test_no_line_breaks_between_a_number_and_its_unit(page):
    loose = re.findall(r"\S* (?:%|[pnµm]J\b)[^\n]{0,20}", "\n".join(read(page).said))
    assert not loose
