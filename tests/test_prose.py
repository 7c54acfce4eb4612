"""What pages show in words and tables: numbers come formatted, tables are read by anyone."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparq_utils.prose import engineering, filtered, listed, percent, say, table, tables, tabs


def test_say_refuses_an_unformatted_float():
    with pytest.raises(TypeError, match="accuracy is a float: format it"):
        say(accuracy=0.98)


def test_say_outside_a_notebook_prints_nothing(capsys):
    say(accuracy="98 %", images=10_000)
    assert capsys.readouterr().out == ""


def test_say_gives_the_text_to_the_page_and_the_cell(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.get_ipython", lambda: object())
    monkeypatch.setattr("IPython.display.display", lambda data, **more: shown.append((data, more)))
    say(images=10_000)
    (data, more), *rest = shown
    assert not rest
    assert data["text/plain"] == "images: 10,000"
    assert data["application/papermill.record/text/plain"] == "'10,000'"
    assert more["metadata"]["scrapbook"]["name"] == "images"


class Cells(HTMLParser):
    """Tag, class and text of everything in a piece of HTML that holds text."""

    def __init__(self, html):
        super().__init__()
        self.open, self.found = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.open.append((tag, dict(attrs).get("class", "")))

    def handle_endtag(self, tag):
        self.open.pop()

    def handle_data(self, data):
        self.found.append((*self.open[-1], data))


def test_a_table_aligns_numbers_and_keeps_text_left():
    rows = [
        {"network": "MLP", "energy": "12.8 µJ", "by": "spikes & memory"},
        {"network": "<b>", "energy": "**≤3 µJ**", "images": 10_000},
    ]
    html = table(rows, "Energy per image.")._repr_html_()
    assert Cells(html).found == [
        ("caption", "", "Energy per image."),
        *(("th", kind, name) for name, kind in
          (("network", ""), ("energy", "number"), ("by", ""), ("images", "number"))),
        ("th", "", "MLP"), ("td", "number", "12.8 µJ"), ("td", "", "spikes & memory"),
        ("th", "", "<b>"), ("strong", "", "≤3 µJ"), ("td", "number", "10,000"),
    ]  # fmt: skip


def test_a_table_refuses_an_unformatted_float():
    with pytest.raises(TypeError, match="share is a float: format it"):
        table([{"network": "MLP", "share": 0.5}])


def test_a_table_takes_rows_by_name_and_frames():
    expected = table([{"network": "MLP", "right": "97.5", "images": "10,000"}], "Accuracy.")
    values = {"MLP": (97.5, 10_000)}
    settings = {"head": "network", "columns": ("right", "images"), "form": ".1f"}
    assert table(values, "Accuracy.", **settings) == expected
    by_column = {"MLP": {"right": np.float32(97.5), "images": 10_000}}
    assert table(by_column, "Accuracy.", head="network", form=".1f") == expected
    index = pd.MultiIndex.from_tuples([("digits", "MLP")], names=["data", "network"])
    frame = pd.DataFrame({"right": ["97.5"], "images": [10_000]}, index)
    assert table(frame, "Accuracy.") == expected
    assert "<td></td>" in table({"MLP": {"right": None}}, head="network").replace(
        ' data-label="right"', ""
    )
    with pytest.raises(ValueError, match="zip"):
        table({"MLP": (1, 2, 3)}, head="network", columns=("right", "images"))


def test_a_frame_becomes_a_table_per_network_the_last_in_front():
    index = pd.MultiIndex.from_tuples(
        [("MLP, MNIST", "ANN"), ("MLP, MNIST", "SNN"), ("AlexNet, CIFAR-10", "ANN")],
        names=["network", "variant"],
    )
    frame = pd.DataFrame({"right (%)": ["98.1", "97.2", "89.9"]}, index)
    shown = tables(frame, "beside", "Network")
    captions = re.findall("<caption>(.*?)</caption>", shown)
    assert captions == ["AlexNet, CIFAR-10: beside", "MLP, MNIST: beside"]
    assert re.findall(r"<label[^>]*>(.*?)</label>", shown) == ["AlexNet", "MLP"]
    assert shown.index("89.9") < shown.index("98.1") < shown.index("97.2")


def test_tabs_show_the_first_panel_and_have_names_of_their_own():
    first, second = (tabs({"MLP": "<p>a</p>", "AlexNet": "<p>b</p>"}, "Network") for _ in "xy")
    assert first.count("checked") == 1 and first.index("checked") < first.index("MLP")
    ids = [{part.split('"')[0] for part in html.split(' id="')[1:]} for html in (first, second)]
    assert len(ids[0]) == 2 and not ids[0] & ids[1]


def test_a_filter_offers_each_text_with_its_count_and_marks_its_rows():
    rows = [{"claim": c, "verdict": v} for c, v in (("a", "no"), ("b", "yes"), ("c", "no"))]
    html = filtered(rows, "verdict", "Findings")
    choices = re.findall(r'data-group="(\d)"( checked)?> ([^<]+)</label>', html)
    assert choices == [("0", " checked", "all (3)"), ("1", "", "no (2)"), ("2", "", "yes (1)")]
    assert re.findall(r'<tr data-group="(\d)"><th[^>]*>(\w)', html) == [
        ("1", "a"), ("2", "b"), ("1", "c")
    ]  # fmt: skip
    with pytest.raises(ValueError, match="verdict has 9 texts"):
        filtered([{"verdict": str(i)} for i in range(9)], "verdict")


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.28e-5, "12.8 µJ"), (0.0186e-3, "18.6 µJ"), (3.3e-2, "33.0 mJ"), (0, "0 J"),
     (999.6e-6, "1.00 mJ"), (12, "12.0 J"), (2.5e-14, "0.0250 pJ"), (-4e3, "-4.00 kJ")],
)  # fmt: skip
def test_engineering_units_by_hand(value, text):
    assert engineering(value, "J").replace("\N{NO-BREAK SPACE}", " ") == text


@given(st.floats(1e-12, 1e12))
def test_an_engineering_number_says_the_value_to_its_digits(value):
    number, _, prefix = engineering(value, "").partition("\N{NO-BREAK SPACE}")
    scale = {"p": -12, "n": -9, "µ": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12}[prefix]
    assert float(number.replace(",", "")) * 10.0**scale == pytest.approx(value, rel=0.0051)


def test_parts_of_a_sentence():
    assert listed([]) == "none" and listed(["a"]) == "a"
    assert listed(c for c in "abc") == "a, b and c"
    assert (
        percent(0.9549, 1) == "95.5\N{NO-BREAK SPACE}%" and percent(1) == "100\N{NO-BREAK SPACE}%"
    )
