import math
import re

import pytest

from copy_eval.reports.charts.accuracy import draw_accuracy
from copy_eval.reports.charts.model_lines import model_styles
from copy_eval.reports.charts.rendering import to_spec
from copy_eval.reports.report import build_report
from tests.reports.charts.drawings import draw, fields, marks, texts
from tests.reports.result_files import write_results, write_trained

HOSTILE = 'org/{"signal": "x"}.a[0]\\\\ <b onclick="x"> \' datum["z"]'


@pytest.fixture
def report(tmp_path):
    write_results(tmp_path, {10: 1.0, 20: 0.5}, model="small", log_samples=True)
    write_results(tmp_path, {10: 0.3, 20: "over context"}, model="org/$x^2$_large", model_num_parameters=2_800_000_000)
    return build_report([tmp_path])


def x_scale(chart):
    return to_spec(chart)["layer"][0]["encoding"]["x"]["scale"]


def test_each_point_says_the_numbers_of_the_frame(report):
    points = marks(draw_accuracy(report.accuracy), "point")
    shown = [(point["model"], point["entries in the phonebook"], point.get("exact match")) for point in points]
    assert shown == [
        ("small", "10", "100%"),
        ("small", "20", "50%"),
        ("org/$x^2$_large", "10", "30%"),
        ("org/$x^2$_large", "20", None),  # over the context
    ]
    # Wilson's interval of 25 right out of 50.
    assert (points[1]["95 % interval"], points[1]["prompts"]) == ("36.6% to 63.4%", "50")


def test_the_axis_is_that_of_log2_and_calls_the_lengths_by_their_names(report):
    chart = draw_accuracy(report.accuracy)
    assert (x_scale(chart)["type"], x_scale(chart)["base"]) == ("log", 2)
    assert texts(chart)[:3] == ["10", "20", "entries in the phonebook"]


def test_the_band_is_the_wilson_interval(report):
    spec = to_spec(draw_accuracy(report.accuracy))
    [band] = [layer for layer in spec["layer"] if layer["mark"]["type"] == "area"]
    assert (band["encoding"]["y"]["field"], band["encoding"]["y2"]["field"]) == ("low", "high")
    [rows] = spec["datasets"].values()
    small = report.accuracy[report.accuracy["label"] == "small"]
    bounds = [(row["low"], row["high"]) for row in rows if row["label"] == "small"]
    assert bounds == list(zip(small["low"], small["high"], strict=True))


def test_a_model_of_one_length_has_its_interval_as_a_bar(tmp_path):
    accuracy = build_report([write_results(tmp_path, {10: 0.5})]).accuracy
    [bar] = marks(draw_accuracy(accuracy), "rule mark")
    assert (bar["exact match"], bar["95 % interval"]) == ("50.0%", "36.6% to 63.4%")
    assert any("bars are 95 % intervals" in text for text in texts(draw_accuracy(accuracy)))


def test_models_of_several_lengths_have_bands_alone(tmp_path):
    chart = draw_accuracy(build_report([write_results(tmp_path, {10: 1.0, 20: 0.5})]).accuracy)
    assert not marks(chart, "rule mark")
    assert any("length, bands are 95 % intervals" in text for text in texts(chart))


def crosses_of(elements):
    """The marks of lengths over the context: they have no interval."""
    points = (element for element in elements if element.get("aria-roledescription") == "point")
    return [point for point in points if "interval" not in point.get("aria-label")]


def height(element):
    """How far below the upper edge a mark is drawn."""
    return float(re.fullmatch(r"translate\((.*),(.*)\)", element.get("transform"))[2])


def test_a_length_over_the_context_is_a_cross_below_the_axis_in_its_models_colour_and_never_a_zero(report):
    elements = draw(draw_accuracy(report.accuracy))
    [cross] = crosses_of(elements)
    assert cross.get("stroke") == model_styles(report.accuracy)["org/$x^2$_large"].colour
    [zero] = [element for element in elements if element.text == "0%"]
    assert height(cross) > height(zero)
    assert "over context" in ["".join(f"{part} " for part in element.itertext()).strip() for element in elements]


def test_crosses_of_several_models_at_one_length_stand_side_by_side(tmp_path):
    for model in ("one", "two", "three"):
        write_results(tmp_path, {10: 0.5, 20: "over context"}, model=model)
    crosses = crosses_of(draw(draw_accuracy(build_report([tmp_path]).accuracy)))
    assert len({cross.get("transform") for cross in crosses}) == 3


def test_a_bucket_that_begins_at_zero_has_a_linear_axis_with_names_of_buckets(tmp_path):
    buckets = {0: 100, 100: 150, 400: None}
    write_results(tmp_path, {0: 0.5, 100: 0.4, 400: 0.3}, task="squad_by_length", below=buckets)
    chart = draw_accuracy(build_report([tmp_path]).accuracy)
    assert "type" not in x_scale(chart)
    assert {"0-100", "100-150", "400+"} <= set(texts(chart))


def test_a_single_length_and_all_lengths_over_the_context_are_drawn_too(tmp_path):
    alone = build_report([write_results(tmp_path / "alone", {10: 0.5})])
    assert [point["exact match"] for point in marks(draw_accuracy(alone.accuracy), "point")] == ["50%"]
    none = build_report([write_results(tmp_path / "none", {10: "over context", 20: "over context"})])
    assert len(marks(draw_accuracy(none.accuracy), "point")) == 2


def test_the_legend_names_models_in_the_order_of_the_leaderboard_with_size_and_note(tmp_path):
    write_results(tmp_path, {10: 0.1}, model="org/worst", model_num_parameters=1_000_000)
    write_results(tmp_path, {10: 0.9}, model="org/best", adapter="hf")
    shown = texts(draw_accuracy(build_report([tmp_path]).accuracy))
    assert [text for text in shown if "st" in text and "bands" not in text] == [
        "best [context not checked]",
        "worst (1M)",
    ]


def test_the_parameter_shown_tells_which_models_are_drawn(report):
    chart = draw_accuracy(report.accuracy)
    spec = chart.to_dict()
    [shown] = spec["params"]
    assert (shown["name"], shown["value"]) == ("shown", ["small", "org/$x^2$_large"])
    chart.params[0].value = ["small"]
    assert {point["model"] for point in marks(chart, "point")} == {"small"}


def test_a_hostile_name_is_text_and_no_field_expression_or_element(tmp_path):
    scores = {10: 0.5, 20: "over context"}
    plain, hostile = (
        build_report([write_results(tmp_path / str(place), scores, model=model)]).accuracy
        for place, model in enumerate(("plain", HOSTILE))
    )
    chart = draw_accuracy(hostile)
    assert fields(chart) == fields(draw_accuracy(plain))
    assert [element.tag for element in draw(chart)] == [element.tag for element in draw(draw_accuracy(plain))]
    [legend] = [text for text in texts(chart) if "signal" in text]
    start, _, end = legend.partition("…")
    shown = hostile["label"].iloc[0].removeprefix("org/")
    assert shown.startswith(start)
    assert shown.endswith(end)


def test_the_styles_of_a_whole_report_can_be_handed_in(report):
    style = model_styles(report.accuracy)["small"]
    spec = to_spec(draw_accuracy(report.accuracy, dict.fromkeys(report.accuracy["label"].unique(), style)))
    assert set(spec["layer"][0]["encoding"]["color"]["scale"]["range"]) == {style.colour}


def trained(tmp_path, lengths=(10, 20), memory=1e6, learned="string_copy"):
    for seed, score in enumerate((0.5, 0.7)):
        kept = dict.fromkeys((10, 20, 50), memory)
        write_trained(tmp_path, {10: 0.9, 20: score, 50: 0.1}, seed=seed, lengths=lengths, memory=kept, learned=learned)
    return build_report([tmp_path]).lines


def test_seeds_are_one_line_whose_band_goes_from_the_lowest_to_the_highest(tmp_path):
    chart = draw_accuracy(trained(tmp_path))
    points = marks(chart, "point")
    assert [point["exact match"] for point in points] == ["90%", "60%", "10%"]
    assert points[1]["95 % interval"] == "50.0% to 70.0% (range of 2 seeds)"
    # A title of several lines is one text without the spaces between them.
    assert "bandsaretherangeoftheseeds" in "".join(texts(chart)).replace(" ", "")


def shade(chart):
    [layer] = [layer for layer in to_spec(chart)["layer"] if layer["mark"]["type"] == "rect"] or [None]
    return layer


def test_the_lengths_of_the_training_are_shaded(tmp_path):
    chart = draw_accuracy(trained(tmp_path, lengths=(5, 20)))
    [rows] = [rows for rows in to_spec(chart)["datasets"].values() if "trained_from" in rows[0]]
    edge, _ = to_spec(chart)["layer"][1]["encoding"]["x"]["scale"]["domain"]
    assert 5 < edge < 10
    assert rows == [{"trained_from": edge, "trained_to": 20}]
    assert shade(chart) is not None
    assert "Shaded:thelengthsofthetraining" in "".join(texts(chart)).replace(" ", "")


@pytest.mark.parametrize("run", [{"lengths": (1, 5)}, {"learned": "mqar"}])
def test_a_training_on_lengths_out_of_the_chart_or_on_another_task_shades_nothing(tmp_path, run):
    assert shade(draw_accuracy(trained(tmp_path, **run))) is None


def bound(chart):
    rows = next(rows for rows in to_spec(chart)["datasets"].values() if "label" in rows[0])
    return {row["length"]: row["bound"] for row in rows if row.get("bound") is not None}


def test_what_the_memory_allows_is_a_line_where_it_is_below_all(tmp_path):
    chart = draw_accuracy(trained(tmp_path, memory=15.0))  # 120 bits, or 25.5 letters out of 26
    heights = bound(chart)
    assert heights[10.0] == heights[20.0] == 1
    assert heights[50.0] == pytest.approx(2 ** (120 - 50 * math.log2(26)))
    assert max(length for length, height in heights.items() if height == 1) == pytest.approx(25.5, rel=0.01)
    assert "Dotted:themostthatthebitsofamodel'smemoryallow" in "".join(texts(chart)).replace(" ", "")


def test_a_memory_that_allows_everything_has_no_line(tmp_path):
    chart = draw_accuracy(trained(tmp_path))
    assert bound(chart) == {}
    assert "Dotted" not in " ".join(texts(chart))
