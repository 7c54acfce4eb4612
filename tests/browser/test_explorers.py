"""Every explorer in a static page: moved by mouse and keyboard, checked against Python."""

import json
from pathlib import Path

import ipywidgets
import numpy as np
import pytest
from make_trace import built, make_trace, rivals
from PIL import Image

from browser.spiking_lenet import colourful, digits, network, pictures, recorded
from sparq_utils.deploy import wasm
from sparq_utils.traces.energy import HOROWITZ_INT8, PRICED
from sparq_utils.traces.optimum import exact_optimum
from sparq_utils.traces.policies import LastExit, Oracle
from sparq_utils.traces.qlearning import Learning, learn
from sparq_utils.widgets import (
    BreakEvenExplorer,
    ChipExplorer,
    ConversionExplorer,
    DigitExplorer,
    EnergyExplorer,
    LIFExplorer,
    PictureExplorer,
    QLearningExplorer,
    ThresholdExplorer,
    TradeOffExplorer,
    paper_points,
)

AXE = (Path(__file__).parent / "vendor/axe.min.js").read_text("utf-8")


def threshold_explorer(samples: int = 500) -> ThresholdExplorer:
    trace = make_trace(samples=samples)
    return ThresholdExplorer(
        {"LeNet-5, QDSNN": trace, "MLP, QDSNN": make_trace(4, 300, 1)},
        paper_points={"LeNet-5, QDSNN": paper_points("lenet-mnist")},
        presets={"LeNet-5, QDSNN": {"Oracle": Oracle()}},
        full={"LeNet-5, QDSNN": make_trace(1, 300, 2, variant="qsnn")},
    )


def learning_explorer() -> QLearningExplorer:
    trace = make_trace(samples=300)
    learned = learn(trace, np.random.default_rng(0), learning=Learning(record_every=500))
    return QLearningExplorer(learned, exact_optimum(trace))


def energy_explorer() -> EnergyExplorer:
    return EnergyExplorer({"QDSNN": make_trace(), "QSNN": make_trace(1, 300, 2)})


def mixed_explorer() -> EnergyExplorer:
    traces = {"INT8": make_trace(), "FP32": make_trace(1, 300, 2, weight_bits=32)}
    return EnergyExplorer(traces, constants="horowitz")


def conversion_explorer() -> ConversionExplorer:
    curves = {"copy": {1: 0.3, 4: 0.6, 16: 0.9}, "balanced": {1: 0.5, 4: 0.9, 16: 0.98}}
    return ConversionExplorer(curves, 0.99)


def digit_explorer() -> DigitExplorer:
    int8, (images, labels) = network(), digits()
    trace = recorded(int8)
    middle = [float(np.median(row)) for row in trace.confidence[:-1]]
    return DigitExplorer(wasm(int8), images[:20], labels[:20], trace, thresholds=middle)


def picture_explorer() -> PictureExplorer:
    int8, trace = colourful()
    middle = [float(np.median(row)) for row in trace.confidence[:-1]]
    return PictureExplorer(wasm(int8), pictures(), [0, 1, 2], trace, "abc", middle)


def trade_off_explorer() -> TradeOffExplorer:
    return TradeOffExplorer(make_trace(), "AlexNet")


def break_even_explorer() -> BreakEvenExplorer:
    return BreakEvenExplorer({"LeNet-5": rivals()})


def chip_explorer() -> ChipExplorer:
    return ChipExplorer({"LeNet-5": built(), "Small": built(exits=2)})


EXPLORERS = {
    "chip": chip_explorer,
    "break-even": break_even_explorer,
    "trade-off": trade_off_explorer,
    "threshold": threshold_explorer,
    "neuron": LIFExplorer,
    "conversion": conversion_explorer,
    "learning": learning_explorer,
    "energy": energy_explorer,
    "digit": digit_explorer,
    "picture": picture_explorer,
}


def opened(page, address: str):
    page.goto(address)
    page.wait_for_selector(".static-widget[data-ready]", state="attached")
    return page.locator(".sq").first


def shown(explorer) -> dict:
    """The numbers that a threshold explorer stands at, read from the page."""
    data = explorer.evaluate("(root) => ({ ...root.dataset })")
    names = {"accuracy": "accuracy", "energy": "energy_j", "operations": "synaptic_ops"}
    names["speedUp"] = "speed_up"
    found = {name: float(data[key]) for key, name in names.items()}
    return found | {"shares": [float(share) for share in data["shares"].split(",")]}


def expected(explorer: ThresholdExplorer) -> dict:
    return {name: value for name, value in explorer.point.items() if name != "parts"}


def test_thresholds_move_by_mouse_and_keyboard(page, static_page):
    widget = threshold_explorer()
    explorer = opened(page, static_page(widget))
    assert shown(explorer) == expected(widget)
    first, second = page.get_by_label("Exit 1", exact=True), page.get_by_label("Exit 2", exact=True)
    first.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    second.focus()
    page.keyboard.press("End")
    widget.thresholds = [0.77, 1.0]
    assert shown(explorer) == expected(widget)
    assert first.get_attribute("aria-valuetext") == "0.77"
    box = first.bounding_box()
    page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + box["height"] / 2)
    widget.thresholds = [float(first.input_value()), 1.0]
    assert widget.thresholds[0] < 0.4
    assert shown(explorer) == expected(widget)
    said = f"Accuracy {100 * widget.point['accuracy']:.1f} %"  # once the slider rests
    page.get_by_role("status").filter(has_text=said).wait_for(state="attached")
    assert page.problems == []


def test_presets_networks_and_prices_are_followed(page, static_page):
    widget = threshold_explorer()
    explorer = opened(page, static_page(widget))
    page.get_by_role("button", name="Thresholds 0.6/0.7").click()
    widget.thresholds = [0.6, 0.7]
    assert shown(explorer) == expected(widget)
    page.get_by_role("button", name="Oracle").click()
    widget.preset = "Oracle"
    assert shown(explorer) == expected(widget)
    page.get_by_text("Energy constants").click()
    page.get_by_role("button", name="horowitz-int8", exact=True).click()
    prices = {name: getattr(HOROWITZ_INT8, name) for name in PRICED}
    widget.constants = {"8": prices}
    assert shown(explorer) == expected(widget)
    page.get_by_label("Memory, per byte").fill("7.5")
    widget.constants = {"8": prices | {"byte_j": 7.5e-12}}
    assert shown(explorer) == expected(widget)
    page.get_by_label("Network").select_option("MLP, QDSNN")
    widget.preset, widget.selected = "", "MLP, QDSNN"
    assert page.get_by_role("slider").count() == 3
    assert shown(explorer) == expected(widget)
    assert page.problems == []


def test_policies_and_the_papers_points_are_drawn(page, static_page):
    opened(page, static_page(threshold_explorer()))
    circles, squares = page.locator(".sq-mark circle"), page.locator(".sq-mark rect")
    names = page.locator(".sq-mark title").all_text_contents()
    assert names == [
        "Thresholds 0.2/0.4", "Thresholds 0.6/0.7", "Oracle", "Never leave early",
        "Full network (QSNN)",
    ]  # fmt: skip
    assert (circles.count(), squares.count()) == (5, 0)
    page.get_by_label("Draw the paper's points").check()
    assert squares.count() == 4, "Table 2 prints the energy of four variants"
    page.get_by_label("Cost axis").select_option("operations")
    assert squares.count() == 6, "Table 1 prints the operations of six"


OVERLAPS = """(all) => {
    const boxes = all.map((one) => [one.textContent.trim(), one.getBoundingClientRect()]);
    const meet = (a, b) =>
        Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
        Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
    return boxes.flatMap(([text, box], i) => boxes.slice(0, i)
        .filter(([, other]) => box.width && other.width && meet(box, other))
        .map(([other]) => `${other} | ${text}`));
}"""


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", EXPLORERS)
def test_no_two_words_of_a_plot_overlap(page, static_page, name, width):
    page.set_viewport_size({"width": width, "height": 900})
    opened(page, static_page(EXPLORERS[name]()))
    for plot in page.locator(".sq-plot").all():
        assert plot.locator("text").evaluate_all(OVERLAPS) == []


@pytest.mark.parametrize("width", [1280, 390])
def test_marks_of_policies_in_one_place_stand_apart(page, static_page, width):
    """Six policies that do the same: no letter hides another, and lines lead to their place."""
    trace = make_trace()
    same = {f"Same {number}": LastExit() for number in range(5)}
    page.set_viewport_size({"width": width, "height": 900})
    opened(page, static_page(ThresholdExplorer({"a": trace}, presets={"a": same})))
    badges, places = page.locator(".sq-badge"), page.locator(".sq-place")
    assert badges.count() == places.count() == 8
    assert badges.locator(":is(circle, rect)").evaluate_all(OVERLAPS) == []
    at = places.evaluate_all("(all) => all.map((one) => one.getBoundingClientRect().x)")
    assert len({round(x, 2) for x in at[2:]}) == 1


def test_ten_thousand_samples_answer_each_move_and_travel_light(page, static_page):
    """What an answer takes is measured in benchmarks/explorers.py."""
    widget = ThresholdExplorer({"a": make_trace(samples=10_000)})
    explorer = opened(page, static_page(widget))
    for first, second in ((0.31, 0.99), (0.95, 0.4), (0.0, 1.0)):
        page.get_by_label("Exit 1", exact=True).fill(str(first))
        page.get_by_label("Exit 2", exact=True).fill(str(second))
        widget.thresholds = [first, second]
        assert shown(explorer) == expected(widget)
    assert len(widget.data) < 350_000


def test_the_neuron_follows_its_sliders(page, static_page):
    widget = LIFExplorer()
    explorer = opened(page, static_page(widget))
    page.get_by_label("Input current I").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.get_by_label("After a spike").select_option("zero")
    widget.current, widget.reset = float(page.get_by_label("Input current I").input_value()), "zero"
    assert widget.current == 0.35
    membrane, spikes = widget.response
    data = explorer.evaluate("(root) => ({ ...root.dataset })")
    assert data["spikes"] == "".join(map(str, spikes))
    assert [float(u) for u in data["membrane"].split(",")] == membrane.tolist()
    assert page.problems == []


def test_the_conversion_explorer_reads_off_its_curves(page, static_page):
    opened(page, static_page(conversion_explorer()))
    page.get_by_role("slider").focus()
    page.keyboard.press("End")
    cells = page.locator("tbody td").all_text_contents()
    assert cells == ["90.00 %", "\u22129.00", "98.00 %", "\u22121.00"]
    assert page.problems == []


def test_the_learning_explorer_goes_back_in_time(page, static_page):
    widget = learning_explorer()
    explorer = opened(page, static_page(widget))
    page.get_by_role("slider").focus()
    page.keyboard.press("Home")
    assert explorer.get_attribute("data-episode") == "500"
    assert float(explorer.get_attribute("data-reward")) == widget.about["rewards"][0]
    widget.snapshot = 0
    tiles = page.locator(".sq-tile dd").all_text_contents()[2:]
    assert tiles == ["never leave" if t is None else f"{t:g}" for t in widget.thresholds]
    assert page.problems == []


def test_the_energy_explorer_adds_up(page, static_page):
    widget = energy_explorer()
    explorer = opened(page, static_page(widget))
    page.get_by_label("Multiply-accumulate (MAC)").fill("100")
    widget.constants = {"8": widget.constants["8"] | {"mac_j": 100e-12}}
    totals = [float(total) for total in explorer.get_attribute("data-totals").split(",")]
    assert totals == [sum(parts.values()) for parts in widget.point.values()]
    page.get_by_label("Show", exact=True).select_option("shares")
    widths = page.locator(".sq-track .sq-shares").evaluate_all(
        "(all) => all.map(b => b.style.width)"
    )
    assert widths == ["100%", "100%"]
    assert page.problems == []


def test_the_memory_model_can_be_switched_and_every_part_is_seen(page, static_page):
    widget = energy_explorer()
    explorer = opened(page, static_page(widget))
    assert page.locator(".sq-field .sq-dot:visible").count() == 6, "three parts of two variants"
    page.get_by_label("Memory model").select_option("layer-by-layer")
    widget.memory = "layer-by-layer"
    totals = [float(total) for total in explorer.get_attribute("data-totals").split(",")]
    assert totals == [sum(parts.values()) for parts in widget.point.values()]
    assert page.get_by_text("weights are fetched once").is_visible()
    assert page.problems == []


def test_the_current_lasts_no_longer_than_there_are_steps(page, static_page):
    opened(page, static_page(LIFExplorer(timesteps=24)))
    lasts = page.get_by_label("Current lasts")
    assert (lasts.get_attribute("max"), lasts.input_value()) == ("24", "24")
    lasts.focus()
    page.keyboard.press("ArrowLeft")
    assert lasts.get_attribute("aria-valuetext") == "23"


def test_every_precision_has_its_own_prices_until_one_is_typed_in(page, static_page):
    widget = mixed_explorer()
    explorer = opened(page, static_page(widget))

    def totals() -> list[float]:
        return [float(total) for total in explorer.get_attribute("data-totals").split(",")]

    expected = [sum(parts.values()) for parts in widget.point.values()]
    assert totals() == expected
    mac, byte = (
        page.get_by_label("Multiply-accumulate (MAC)"),
        page.get_by_label("Memory, per byte"),
    )
    assert (mac.input_value(), byte.input_value()) == ("", "162.5"), "one differs, one does not"
    mac.fill("5")
    widget.constants = {
        bits: joules | {"mac_j": 5e-12} for bits, joules in widget.constants.items()
    }
    assert totals() == [sum(parts.values()) for parts in widget.point.values()] != expected
    page.get_by_role("button", name="horowitz", exact=True).click()
    assert totals() == expected
    assert page.get_by_text("horowitz-int8 where weights have 8 bits").is_visible()
    assert page.problems == []


def test_a_picked_digit_leaves_where_python_says(page, static_page):
    widget, trace = digit_explorer(), recorded(network())
    explorer = opened(page, static_page(widget))
    page.get_by_role("slider", name="Test digit").focus()
    for index in range(6):
        exits = trace.confidence[:-1, index] >= np.array(widget.thresholds)
        leaves = int(np.append(exits, True).argmax())
        data = explorer.evaluate("(root) => ({ ...root.dataset })")
        assert int(data["leaves"]) == leaves
        assert int(data["prediction"]) == trace.prediction[leaves, index]
        assert float(data["operations"]) == trace.synaptic_ops[leaves, index]
        page.keyboard.press("ArrowRight")
    assert page.problems == []


def leaves_as_python_says(explorer, index: int) -> None:
    """The explorer shows what the network of :func:`colourful` answers to one picture."""
    _, trace = colourful()
    threshold = np.median(trace.confidence[0])
    leaves = int(not trace.confidence[0, index] >= threshold)
    data = explorer.evaluate("(root) => ({ ...root.dataset })")
    assert int(data["leaves"]) == leaves
    assert int(data["prediction"]) == trace.prediction[leaves, index]
    assert float(data["operations"]) == trace.synaptic_ops[leaves, index]


def test_a_picked_picture_leaves_where_python_says(page, static_page):
    explorer = opened(page, static_page(picture_explorer()))
    for index, name in enumerate("abc"):
        page.get_by_role("button", name=f"Test picture {index + 1}, {name}").click()
        assert page.get_by_text(f"A test picture, labelled {name}").is_visible()
        leaves_as_python_says(explorer, index)
    assert page.problems == []


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_photo_is_cropped_shrunk_and_answered(page, static_page, tmp_path, kind):
    explorer = opened(page, static_page(picture_explorer()))
    large = pictures()[2].repeat(4, 0).repeat(4, 1)  # averages are the picture again
    margin = np.zeros((32, 14, 3), np.uint8)
    photo = tmp_path / f"photo.{kind.lower()}"
    Image.fromarray(np.hstack([margin, large, margin])).save(photo, kind, lossless=True)
    page.get_by_label("Drop a photo here, or choose one").set_input_files(photo)
    page.get_by_text("Your photo, as the network sees it: 8 \N{MULTIPLICATION SIGN} 8").wait_for()
    leaves_as_python_says(explorer, 2)
    assert page.problems == []


def test_a_file_that_is_no_picture_changes_nothing(page, static_page, tmp_path):
    explorer = opened(page, static_page(picture_explorer()))
    (tmp_path / "notes.txt").write_text("not a picture")
    page.get_by_label("Drop a photo here, or choose one").set_input_files(tmp_path / "notes.txt")
    page.get_by_text("notes.txt is no picture that your browser can read").wait_for()
    leaves_as_python_says(explorer, 0)


def draw(page) -> None:
    """One stroke with the mouse."""
    box = page.locator(".sq-pad").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    for step in range(20):
        page.mouse.move(
            box["x"] + (0.3 + step / 60) * box["width"],
            box["y"] + (0.2 + step / 35) * box["height"],
        )
    page.mouse.up()


def ink(page) -> int:
    """How many pixels of the pad are dark."""
    return page.locator(".sq-pad").evaluate(
        """(canvas) => canvas.getContext("2d").getImageData(0, 0, 28, 28).data
            .filter((value, i) => i % 4 === 3 && value > 100).length"""
    )


def test_a_digit_can_be_drawn_and_is_answered(page, static_page):
    explorer = opened(page, static_page(digit_explorer()))
    page.get_by_role("button", name="Clear and draw").click()
    draw(page)
    assert page.get_by_text("Your drawing.").is_visible()
    assert 20 < ink(page) < 200
    assert explorer.get_attribute("data-prediction").isdigit()
    assert page.problems == []


def test_a_stroke_over_a_test_digit_begins_anew(page, static_page):
    opened(page, static_page(digit_explorer()))
    assert page.get_by_text("A test digit, labelled").is_visible()
    before = ink(page)
    draw(page)
    assert page.get_by_text("Your drawing.").is_visible()
    drawn = ink(page)
    page.get_by_role("button", name="Clear and draw").click()
    assert ink(page) == 0
    draw(page)
    assert ink(page) == drawn != before


def test_an_empty_pad_answers_nothing(page, static_page):
    explorer = opened(page, static_page(digit_explorer()))
    page.get_by_role("button", name="Clear and draw").click()
    assert explorer.get_attribute("data-prediction") == ""
    assert page.get_by_text("nothing to answer yet").is_visible()
    assert page.get_by_role("button", name="Play").is_disabled()
    assert page.problems == []


def test_a_digit_can_be_drawn_with_the_keyboard(page, static_page):
    explorer = opened(page, static_page(digit_explorer()))
    page.locator(".sq-pad").focus()
    page.keyboard.press("Delete")
    assert explorer.get_attribute("data-prediction") == ""
    for _ in range(6):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    for _ in range(12):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    assert page.get_by_text("Your drawing.").is_visible()
    assert explorer.get_attribute("data-prediction").isdigit()
    assert ink(page) > 20
    assert page.problems == []


def test_a_digit_can_be_drawn_with_a_finger(browser, static_page):
    context = browser.new_context(has_touch=True, viewport={"width": 390, "height": 900})
    page = context.new_page()
    explorer = opened(page, static_page(digit_explorer()))
    page.get_by_role("button", name="Clear and draw").tap()
    box = page.locator(".sq-pad").bounding_box()
    touch = context.new_cdp_session(page)
    for kind, y in [("touchStart", 0.3), *(("touchMove", 0.3 + i / 30) for i in range(10))]:
        point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + y * box["height"]}
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert page.get_by_text("Your drawing.").is_visible()
    assert explorer.get_attribute("data-prediction").isdigit()
    context.close()


def test_spikes_travel_when_asked_and_stand_still_when_told(browser, static_page):
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    opened(page, static_page(digit_explorer()))
    step = page.get_by_role("slider", name="Step")
    frames = step.get_attribute("max")
    assert step.input_value() == frames, "still: the run stands at its end"
    verdict = page.locator(".sq-verdict")
    answer = verdict.text_content()
    assert "sure" in answer
    page.get_by_role("button", name="Step", exact=True).click()
    assert step.input_value() == "0"
    page.get_by_role("button", name="Step", exact=True).click()
    assert step.input_value() == "1"
    assert verdict.text_content() == "On the way: exit 1, step 1 of 4."
    assert page.locator(".sq-firing").count() == 1
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelectorAll('.sq-player input')[0].value > 3")
    page.get_by_role("button", name="Pause").click()
    assert 3 < int(step.input_value()) < int(frames)
    step.press("End")
    assert verdict.text_content() == answer
    context.close()


def test_kinds_of_digits_are_offered_as_buttons(page, static_page):
    int8, (images, labels) = network(), digits()
    kinds = {"Easy": [3, 4], "Nasty": [7]}
    widget = DigitExplorer(wasm(int8), images, labels, recorded(int8), kinds=kinds)
    assert widget.picked == 3
    opened(page, static_page(widget))
    easy, nasty = (page.get_by_role("button", name=name) for name in kinds)
    assert easy.get_attribute("aria-pressed") == "true"
    for button, shown in ((easy, 4), (nasty, 7), (easy, 3)):
        button.click()
        assert page.get_by_text(f"A test digit, labelled {labels[shown]}.").is_visible()
    assert nasty.get_attribute("aria-pressed") == "false"


def test_the_break_even_explorer_turns_one_knob_at_a_time(page, static_page):
    widget = break_even_explorer()
    explorer = opened(page, static_page(widget))

    def shown() -> dict:
        data = explorer.evaluate("(root) => ({ ...root.dataset })")
        return {name: float(data[name]) for name in ("spiking_j", "opponent_j", "break_even")}

    assert shown() == widget.point
    page.get_by_role("slider", name="Spike rate").fill("40")
    page.get_by_label("Timesteps T").fill("7")
    page.get_by_label("Bits of a weight").fill("4")
    page.get_by_label("Memory model").select_option("event-driven")
    widget.rate, widget.timesteps, widget.bits, widget.memory = 0.04, 7, 4, "event-driven"
    assert shown() == widget.point
    page.get_by_label("Price of a byte").fill("0")
    widget.constants = {"8": widget.constants["8"] | {"byte_j": 1e-12}}
    assert shown() == widget.point
    wins = widget.point["spiking_j"] < widget.point["opponent_j"]
    sentence = page.locator(".sq-verdict").text_content()
    assert sentence.startswith("The spike wins" if wins else "The opponent wins")
    page.get_by_role("button", name="As recorded").click()
    assert page.get_by_label("Timesteps T").input_value() == "4"
    assert page.problems == []


def test_the_trade_off_follows_its_slider(page, static_page):
    widget = trade_off_explorer()
    explorer = opened(page, static_page(widget))
    page.get_by_role("slider").focus()
    page.keyboard.press("PageDown")
    page.keyboard.press("ArrowLeft")
    widget.step = int(page.get_by_role("slider").input_value())
    assert widget.step < 79
    assert float(explorer.get_attribute("data-accuracy")) == widget.point["accuracy"]
    assert float(explorer.get_attribute("data-energy")) == widget.point["energy_j"]
    right = f"{100 * widget.point['accuracy']:.1f} % right"
    assert right in page.locator(".sq-verdict").text_content()
    assert page.problems == []


def test_the_chip_explorer_counts_as_python_does(page, static_page):
    widget = chip_explorer()
    explorer = opened(page, static_page(widget))

    def shown() -> dict:
        return json.loads(explorer.get_attribute("data-point"))

    assert shown() == widget.point
    first = page.get_by_label("Exit 1", exact=True)
    first.focus()
    for _ in range(7):
        page.keyboard.press("ArrowLeft")
    page.get_by_label("Exit 2", exact=True).press("End")
    widget.thresholds = [0.53, 1.0]
    assert shown() == widget.point
    spikes = widget.point["spikes, event-driven"]
    row = page.get_by_role("row").filter(has_text="spikes, event-driven")
    told = f"{100 * spikes['accuracy']:.2f} %{spikes['instructions'] / 1000:.0f} k"
    assert told in row.text_content()
    page.get_by_label("Network").select_option("Small")
    widget.selected = "Small"
    assert page.get_by_role("slider").count() == 1
    assert shown() == widget.point
    sentence = page.locator(".sq-verdict").text_content()
    assert "levels need" in sentence and "times fewer" in sentence
    assert page.problems == []


def test_the_chip_explorers_rings_lie_on_its_curves(page, static_page):
    """The ring of thresholds that are among the best lies on the curve of the best."""
    widget = chip_explorer()
    opened(page, static_page(widget))
    for label in ("Exit 1", "Exit 2"):
        page.get_by_label(label, exact=True).press("Home")  # all leave at once: the cheapest point
    curves = page.locator(".sq-curve").evaluate_all(
        "(all) => all.map((one) => one.attributes.d.value)"
    )
    starts = [[float(at) for at in curve[1:].split("L")[0].split(",")] for curve in curves]
    rings = page.locator(".sq-plot circle").evaluate_all(
        "(all) => all.map((one) => [one.getAttribute('cx'), one.getAttribute('cy')].map(Number))"
    )
    assert len(rings) == len(starts) == 4
    assert np.allclose(starts, rings, atol=0.02)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", EXPLORERS)
def test_everybody_can_use_it(page, static_page, name, theme, width):
    page.set_viewport_size({"width": width, "height": 900})
    opened(page, static_page(EXPLORERS[name](), theme=theme))
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    page.evaluate(AXE)
    broken = page.evaluate("axe.run()")["violations"]
    assert [(v["id"], [n["html"][:120] for n in v["nodes"]][:3]) for v in broken] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert (
        page.locator("input[type=range]").count()
        == page.locator("input[type=range][data-lm-suppress-shortcuts][aria-valuetext]").count()
    )
    heights = page.locator(".sq-row, .sq-button, summary").evaluate_all(
        "(all) => all.map((one) => one.getBoundingClientRect().height)"
    )
    assert min(heights, default=44) >= 44
    assert page.problems == []


def without(key: str):
    def change(state: dict) -> dict:
        for model in state["state"].values():
            if key in model["state"]:
                del model["state"][key]
            model["buffers"] = [b for b in model.get("buffers", []) if b["path"] != [key]]
        return state

    return change


def cut(state: dict) -> dict:
    for model in state["state"].values():
        for buffer in model.get("buffers", []):
            buffer["data"] = buffer["data"][:400]
    return state


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: None, "holds no saved state"),
        (lambda state: {"state": {}}, "saved state is missing"),
        (without("data"), "data is missing"),
        (without("_esm"), "script is missing"),
        (cut, "data is damaged"),
    ],
)
def test_broken_state_says_so_in_the_page(page, static_page, change, message):
    page.goto(static_page(threshold_explorer(), change=change))
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert message in alert.text_content()
    assert "make book" in alert.text_content()


def test_state_that_is_no_json_says_so(page, static_page, tmp_path):
    address = static_page(LIFExplorer())
    path = tmp_path / "page.html"
    text = path.read_text("utf-8")
    path.write_text(text.replace('state+json">{', 'state+json">{{', 1), "utf-8")
    page.goto(address)
    assert "saved state is damaged" in page.get_by_role("alert").text_content()


def test_a_control_that_needs_python_says_where_it_comes_alive(page, static_page):
    page.goto(static_page(ipywidgets.IntSlider(), LIFExplorer()))
    page.wait_for_selector(".static-widget[data-ready]")
    assert "JupyterLab" in page.get_by_role("note").text_content()
    assert page.get_by_role("slider").count() == 6, "the explorer after it is alive"
    assert page.problems == []


def test_two_views_of_one_explorer_move_together(page, static_page):
    widget = LIFExplorer()
    page.goto(static_page(widget, widget))
    page.wait_for_function("document.querySelectorAll('.static-widget[data-ready]').length == 2")
    page.get_by_label("Decay").first.fill("0.5")
    assert page.get_by_label("Decay").nth(1).input_value() == "0.5"


def test_a_page_with_three_networks_stays_light(static_page, tmp_path):
    """With MathJax's 2.1 MB and the theme's 0.9 MB a page stays under 5 MB."""
    traces = {str(seed): make_trace(samples=10_000, seed=seed) for seed in range(3)}
    static_page(ThresholdExplorer(traces))
    assert (tmp_path / "page.html").stat().st_size < 1_900_000
