import pytest

from copy_eval.reports.charts.memory import draw_memory
from copy_eval.reports.charts.rendering import to_spec
from copy_eval.reports.report import build_report
from tests.reports.charts.drawings import draw, marks, texts
from tests.reports.result_files import write_results, write_trained


@pytest.fixture
def report(tmp_path):
    write_trained(tmp_path, {10: 1.0, 20: 0.9, 50: "over context"}, memory={10: 40_960.0, 20: 81_920.0, 50: 1e6})
    write_trained(tmp_path, {10: 0.8, 20: 0.1, 50: 0.0}, "lstm", memory={10: 16.0, 20: 16.0, 50: 16.0})
    write_results(tmp_path, {10: 0.3}, model="org/one", task="string_copy", adapter="hf")
    return build_report([tmp_path])


def test_each_point_stands_at_the_bytes_that_the_model_keeps(report):
    points = marks(draw_memory(report.memory), "point")
    shown = [
        (point["model"], point["letters of the string"], point["memory"], point["exact match"]) for point in points
    ]
    assert sorted(shown, key=lambda point: (point[0], int(point[1]))) == [
        ("lstm-seed0@step1000", "10", "16 B", "80%"),
        ("lstm-seed0@step1000", "20", "16 B", "10%"),
        ("lstm-seed0@step1000", "50", "16 B", "0%"),
        ("rope-seed0@step1000", "10", "40 KiB", "100%"),
        ("rope-seed0@step1000", "20", "80 KiB", "90%"),
    ]


def test_a_point_says_what_its_memory_allows_at_most(report):
    points = marks(draw_memory(report.memory), "point")
    # 16 bytes are 128 bits; 50 letters out of 26 are 235 bits, 20 are 94 bits.
    of_lstm = [point["what it allows at most"] for point in points if point["model"].startswith("lstm")]
    assert of_lstm == ["100.0%", "100.0%", "0.0%"]


def test_the_ends_of_a_line_say_their_lengths_and_the_axis_speaks_of_bytes(report):
    shown = texts(draw_memory(report.memory))
    assert "bytes that the model keeps of the prompt" in shown
    assert {"16 B", "128 B", "1 KiB"} <= set(shown)
    assert sorted(text for text in shown if text in ("10", "20", "50")) == ["10", "10", "20", "50"]


def test_the_two_lengths_of_a_line_that_is_one_point_stand_on_either_side_of_it(tmp_path):
    write_trained(tmp_path, {10: 0.0, 20: 0.0}, "lstm", memory={10: 16.0, 20: 16.0})
    drawn = draw(draw_memory(build_report([tmp_path]).memory))
    anchors = {"".join(element.itertext()): element.get("text-anchor") for element in drawn}
    assert (anchors["10"], anchors["20"]) == ("end", "start")


def test_models_that_meet_in_a_point_name_its_length_once(tmp_path):
    for architecture, longest in (("rope", 0.99), ("nope", 0.5), ("alibi", 0.48)):
        write_trained(tmp_path, {10: 1.0, 20: longest}, architecture, memory={10: 40_960.0, 20: 81_920.0})
    shown = texts(draw_memory(build_report([tmp_path]).memory))
    assert [shown.count(length) for length in ("10", "20")] == [1, 2]


def test_a_single_point_and_a_model_without_any_memory_can_be_drawn(tmp_path):
    write_trained(tmp_path, {10: 0.5}, memory={10: 0.0})
    chart = draw_memory(build_report([tmp_path]).memory)
    assert [point["memory"] for point in marks(chart, "point")] == ["0 B"]
    assert texts(chart).count("10") == 1


def test_the_parameter_shown_tells_which_models_are_drawn(report):
    [shown] = to_spec(draw_memory(report.memory))["params"]
    assert (shown["name"], shown["value"]) == ("shown", ["rope-seed0@step1000", "lstm-seed0@step1000"])


def test_a_short_axis_has_powers_of_two_as_well(tmp_path):
    write_trained(tmp_path, {10: 0.5, 20: 0.4}, memory={10: 150_000.0, 20: 151_000.0})
    shown = texts(draw_memory(build_report([tmp_path]).memory))
    assert [text for text in shown if text.endswith("iB")] == ["128 KiB"]
