"""The figures show what they are given, say their units, and stay legible on a phone."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from make_trace import make_trace
from matplotlib import pyplot as plt

from sparq_utils import plots
from sparq_utils.prose import say

ENERGY = {"snn": {"synaptic": 2e-6, "memory": 5e-5}, "qdsnn": {"synaptic": 1e-7, "memory": 4e-6}}


def figures():
    rng = np.random.default_rng(1)
    trace = make_trace()
    yield plots.trade_off(rng.random((9, 9)), rng.random((9, 9)), {"0.6 / 0.7": (0.5, 0.9)})
    yield plots.exit_shares(np.full((10, 3), 1 / 3))
    yield plots.operations({"ann": {"synaptic": 4e5}, "snn": {"synaptic": 2e6, "LIF": 3e5}})
    yield plots.energy_breakdown(ENERGY)
    yield plots.energy_breakdown(ENERGY, log=True)
    yield plots.reliability(trace)
    yield plots.confidence_histograms(trace, [0.6, 0.7])
    yield plots.learning_curves({"mixup": rng.random((3, 12)), "plain": rng.random(12)})
    yield plots.lines({"T = 4": ((1, 2), (3, 4)), "ANN": 3.5}, xlabel="T", ylabel="%", log="xy")
    yield plots.lines({n: {"a": (range(30), range(30))} for n in "xy"}, xlabel="t")
    yield plots.raster({"layer 1": np.eye(8), "layer 2": np.ones((8, 3))})
    yield plots.stacked({"MLP": {"stage 1": 3, "stage 2": 4}, "LeNet": {"stage 1": 1}}, "MACs")


@pytest.mark.parametrize("figure", list(figures()), ids=lambda _: "")
def test_a_figure_is_labelled_transparent_legible_and_closed(figure):
    assert figure.get_facecolor()[3] == 0
    assert figure.axes[-1].get_xlabel()
    inches = figure.get_size_inches()[0]
    for text in figure.findobj(mpl.text.Text):
        if text.get_text() and text.get_visible():
            on_a_phone_px = text.get_fontsize() / 72 / inches * 350
            assert on_a_phone_px >= 10, text.get_text()
    assert not plt.get_fignums()


def test_the_callers_settings_are_left_alone():
    before = dict(mpl.rcParams)
    plots.exit_shares(np.array([[0.5, 0.5]]))
    assert dict(mpl.rcParams) == before


def test_trade_off_draws_the_points_where_they_are():
    figure = plots.trade_off(np.array([1.0]), np.array([0.5]), {"here": (2e-6, 0.75)})
    line = next(line for line in figure.axes[0].lines if line.get_label() == "here")
    assert line.get_xydata().tolist() == [[2e-6, 75.0]]


def test_stacked_bars_end_at_the_sum_of_their_parts():
    axes = plots.energy_breakdown(ENERGY).axes[0]
    ends = [
        max(bar.get_x() + bar.get_width() for bar in bars)
        for bars in zip(*axes.containers, strict=True)
    ]
    assert ends == pytest.approx([sum(parts.values()) for parts in ENERGY.values()])


def test_a_perfectly_calibrated_exit_lies_on_the_diagonal():
    trace = make_trace(exits=1, samples=1000)
    confidence = np.repeat(np.float32([[0.25, 0.75]]), 500, axis=1)
    right = np.arange(1000) % 4 < np.where(np.arange(1000) < 500, 1, 3)  # 1 in 4, then 3 in 4
    prediction = np.where(right, trace.labels, (trace.labels + 1) % 10)[None].astype(np.uint8)
    calibrated = type(trace)(confidence, prediction, trace.labels, trace.counts, trace.measured_on)
    points = plots.reliability(calibrated).axes[0].lines[1].get_xydata()
    assert points.tolist() == [[25, 25], [75, 75]]


def test_lines_keep_their_colour_from_panel_to_panel():
    panels = {"MLP": {"a": ((1, 2), (3, 4)), "ANN": 3}, "LeNet": {"b": ((1, 2), (1, 2)), "ANN": 2}}
    above, below = plots.lines(panels, xlabel="T").axes
    a, level = above.lines
    b = below.lines[0]
    assert a.get_xydata().tolist() == [[1, 3], [2, 4]] and list(level.get_ydata()) == [3, 3]
    assert len({a.get_color(), b.get_color(), level.get_color()}) == 3
    assert [axes.get_title() for axes in (above, below)] == ["MLP", "LeNet"]


def test_a_raster_has_a_tick_per_spike():
    sent = np.zeros((5, 3))
    sent[[0, 4], [2, 1]] = 1
    ticks = plots.raster({"layer": sent}).axes[0].lines[0].get_xydata()
    assert sorted(ticks.tolist()) == [[1, 2], [5, 1]]


def test_images_stand_in_their_row_and_column():
    figure = plots.images({"first": [np.eye(2), np.zeros((2, 2))], "second": [np.ones((2, 2))]},
                          [("a", "b"), ("c",)])  # fmt: skip
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "c", ""]
    assert [axes.get_ylabel() for axes in figure.axes] == ["first", "", "second", ""]
    assert figure.axes[0].images[0].get_array().tolist() == np.eye(2).tolist()
    assert not plt.get_fignums()


def test_shares_that_do_not_sum_to_one_are_refused():
    with pytest.raises(ValueError, match="sum to 1"):
        plots.exit_shares(np.array([[0.5, 0.4]]))


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


def test_plots_import_no_torch():
    code = "import sys, sparq_utils.plots; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
