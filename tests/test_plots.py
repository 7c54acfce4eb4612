"""The figures show what they are given, say their units, and stay legible on a phone."""

import re
import subprocess
import sys
from importlib.resources import files

import matplotlib as mpl
import numpy as np
import pytest
from make_trace import make_trace
from matplotlib import pyplot as plt

from sparq_utils import plots, results

START = (np.full(3, 0.99), np.full(3, 0.25))
ENERGY = {"snn": {"synaptic": 2e-6, "memory": 5e-5}, "qdsnn": {"synaptic": 1e-7, "memory": 4e-6}}


def figures():
    rng = np.random.default_rng(1)
    trace = make_trace()
    yield plots.trade_off(rng.random((9, 9)), rng.random((9, 9)), {"0.6 / 0.7": (0.5, 0.9)})
    yield plots.exit_shares(np.full((10, 3), 1 / 3))
    yield plots.dots(ENERGY, xlabel="modelled energy per image", unit="J")
    yield plots.dots({"ann": {"MACs": 0, "ACs": 4e5}, "snn": {"MACs": 2e6}}, xlabel="operations")
    yield plots.stacked(ENERGY, "modelled energy per image", unit="J")
    yield plots.reliability(trace)
    yield plots.confidence_histograms(trace, [0.6, 0.7])
    yield plots.learning_curves({"mixup": rng.random((3, 12)), "plain": rng.random(12)})
    yield plots.lines({"T = 4": ((1, 2), (3, 4)), "ANN": 3.5}, xlabel="T", ylabel="%", log="xy")
    yield plots.lines({n: {"a": (range(30), range(30))} for n in "xy"}, xlabel="t")
    yield plots.raster({"layer 1": np.eye(8), "layer 2": np.ones((8, 3))})
    yield plots.membrane({"no leak": (np.linspace(0, 1.2, 9), np.arange(9) == 8)})
    yield plots.rounding(rng.normal(size=50), {"4 bits": rng.normal(size=50).round()})
    yield plots.on_the_way([np.eye(8)], trace, [0], [1], 0.8)
    yield plots.q_table(rng.random((3, 4, 2)), rng.integers(0, 40, (3, 4, 2)), list("abcd"))
    yield plots.trade_offs({"MLP": {"in depth": (rng.random(9), rng.random(9))}})
    yield plots.clouds({"mJ": {"pairs": rng.random((2, 9)), "best": (1, 2)}}, ylabel="%")
    way = results.Silence((0.0, 1.0), rng.random((2, 3)), rng.random((2, 3)), START, 1.0)
    yield plots.frontiers({"MLP": way, "LeNet-5": way})
    yield plots.stacked({"MLP": {"stage 1": 3, "stage 2": 4}, "LeNet": {"stage 1": 1}}, "MACs")


def test_the_frontier_is_that_of_the_last_exit():
    accuracy, rate = np.array([[0.5, 0.9], [0.4, 0.8]]), np.array([[0.1, 0.3], [0.05, 0.2]])
    found = results.Silence((0.0, 2.0), accuracy, rate, (accuracy[0], rate[0]), 2.0)
    (axes,) = plots.frontiers({"MLP": found}).axes
    tried, chosen, start = axes.lines
    np.testing.assert_allclose(tried.get_xydata(), [[30, 90], [20, 80]])
    np.testing.assert_allclose(chosen.get_xydata(), [[20, 80]])
    np.testing.assert_allclose(start.get_xydata(), [[30, 90]])
    assert [text.get_text() for text in axes.texts] == ["0", "2"]


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
    axes = plots.stacked(ENERGY, "energy").axes[0]
    ends = [
        max(bar.get_x() + bar.get_width() for bar in bars)
        for bars in zip(*axes.containers, strict=True)
    ]
    assert ends == pytest.approx([sum(parts.values()) for parts in ENERGY.values()])


def test_a_dot_stands_at_its_number_and_nothing_at_zero():
    rows = {"ann": {"MACs": 4e5, "ACs": 0}, "snn": {"MACs": 2e3, "ACs": 2e6}}
    axes = plots.dots(rows, xlabel="operations").axes[0]
    drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert drawn == {"MACs": [[4e5, 0], [2e3, 1]], "ACs": [[2e6, 1]]}
    assert axes.get_xscale() == "log" and not axes.patches


def test_units_take_prefixes():
    axes = plots.stacked({"snn": {"memory": 3e-6}}, "energy", unit="J").axes[0]
    labels = [text.get_text() for text in axes.get_xticklabels()]
    assert "2\N{NO-BREAK SPACE}\N{MICRO SIGN}J" in labels


def test_large_counts_take_prefixes_and_percents_none():
    for count, said in ((3e6, "2\N{NO-BREAK SPACE}M"), (80, "20")):
        axes = plots.stacked({"spikes": {"exit 1": count}}, "count").axes[0]
        assert said in [text.get_text() for text in axes.get_xticklabels()]


def test_a_variant_looks_the_same_everywhere():
    assert plots.look("qdsnn-0.6-0.7") == plots.look("qdsnn") != plots.look("qsnn")
    ours = ("ann", "dynamic-ann", "qann", "qdann-best", "snn", "qsnn", "qdsnn", "qdsnn-sparse")
    looks = [tuple(plots.look(variant).values()) for variant in ours]
    assert len(set(looks)) == len(looks)
    with pytest.raises(ValueError, match="'cnn' is no variant"):
        plots.look("cnn")
    drawn = plots.lines({"ours": ((1, 2), (3, 4))}, xlabel="T", variants={"ours": "qsnn"})
    assert drawn.axes[0].lines[0].get_color() == plots.look("qsnn")["color"]


def linear(channel):
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def luminance(colour):
    return np.dot([0.2126, 0.7152, 0.0722], [linear(c) for c in colour])


def in_dark_mode(colour):
    """CSS's invert(1) hue-rotate(180deg), the matrix of the Filter Effects specification."""
    rotate = [[-0.574, 1.43, 0.144], [0.426, 0.43, 0.144], [0.426, 1.43, -0.856]]
    return np.clip(np.dot(rotate, 1 - np.array(colour)), 0, 1)


@pytest.mark.parametrize("colour", [plots.INK, *plots.COLOURS, *plots.EXITS])
def test_ink_has_contrast_on_white_and_inverted_on_the_dark_page(colour):
    rgb = mpl.colors.to_rgb(colour)
    for ink, page in ((rgb, (1, 1, 1)), (in_dark_mode(rgb), mpl.colors.to_rgb("#14181e"))):
        low, high = sorted((luminance(ink), luminance(page)))
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_explorers_draw_curves_in_the_colours_of_the_figures():
    css = (files("sparq_utils") / "widgets" / "explorer.css").read_text("utf-8")
    light, dark = (re.findall(r"--line-\d: (#\w{6})", part) for part in css.split("data-theme")[:2])
    assert light == list(plots.COLOURS[:5])
    for colour, shown in zip(light, dark, strict=True):
        expected = in_dark_mode(mpl.colors.to_rgb(colour))
        np.testing.assert_allclose(mpl.colors.to_rgb(shown), expected, atol=1 / 255)


def test_a_canvas_is_styled_closed_and_shown_once(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.get_ipython", lambda: object())
    monkeypatch.setattr("IPython.display.display", shown.append)
    with plots.figure(2, sharex=True) as (whole, (above, _)):
        above.plot([1, 2], [3, 4])
    assert shown == [whole] and above.lines[0].get_color() == plots.COLOURS[0]
    assert not plt.get_fignums()


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


def test_a_neuron_shows_its_potential_and_a_mark_per_spike():
    axes = plots.membrane({"case": (np.array([0.5, 1.1, 0.6]), np.array([0, 1, 0]))}).axes[0]
    potential, threshold, spikes = axes.lines
    assert potential.get_ydata().tolist() == [0.5, 1.1, 0.6] and threshold.get_ydata()[0] == 1
    assert spikes.get_xdata().tolist() == [2]


def test_rounding_shows_the_grid_and_each_change():
    values = np.array([0.2, 0.9])
    above, below = plots.rounding(values, {"whole": values.round()}).axes
    assert [line.get_xdata()[0] for line in above.lines] == [0, 1]
    assert below.lines[0].get_ydata() == pytest.approx([-0.2, 0.1])


def test_exits_that_are_not_reached_are_outlined():
    picture, chart = plots.on_the_way([np.eye(4)], make_trace(), [0], [1], 0.8).axes
    assert [bar.get_fill() for bar in chart.patches] == [True, True, False]
    assert picture.images and chart.get_title() == "leaves at exit 2"


def test_a_matrix_shows_its_numbers():
    texts = [t.get_text() for t in plots.numbers(np.array([[4, 6], [9, 6]])).axes[0].texts]
    assert texts == ["4", "6", "9", "6"]


def test_a_decision_process_continues_between_exits_and_leaves_at_each():
    texts = [t.get_text() for t in plots.decision_process(2).axes[0].texts]
    assert texts.count("leave: Eq. 1") == 2 and texts.count("continue: 0") == 1


def test_a_q_table_leaves_where_leaving_is_worth_more():
    q = np.zeros((2, 3, 2))
    q[0, :, 1] = [-0.5, 0.25, 1]  # leaving, by bin, where continuing is worth nothing
    visits = np.full((2, 3, 2), 20)
    visits[0, 0] = 1
    axes = plots.q_table(q, visits, ["0", "0.5", "0.9"]).axes[0]
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers]
    assert heights == [[0.25, 1], [-0.5]]
    assert axes.lines[0].get_xdata().tolist() == [0]


def test_a_cloud_and_its_points_stand_where_they_are():
    axes = plots.clouds({"mJ": {"pairs": ([[1, 2]], [[3, 4]]), "best": (5, 6)}}, ylabel="%").axes[0]
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[1, 3], [2, 4]], [[5, 6]]]


def test_plots_import_no_torch():
    code = "import sys, sparq_utils.plots; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
