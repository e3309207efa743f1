import pytest

from copy_eval.reports.charts.learning import draw_learning
from copy_eval.reports.report import build_report
from copy_eval.reports.statistics.sample_efficiency import learning_curves
from tests.reports.charts.drawings import draw, marks, texts
from tests.reports.result_files import write_trained


@pytest.fixture
def curves(tmp_path):
    for seed in (0, 1):
        for place, step in enumerate((1000, 2000, 5000)):
            scores = {10: 0.4 * place, 20: 0.2 * place}
            write_trained(
                tmp_path, {length: score + 0.1 * seed for length, score in scores.items()}, "rope", seed, step
            )
            write_trained(tmp_path, dict.fromkeys(scores, 0.0), "mamba", seed, step)
    return learning_curves(build_report([tmp_path]).lines)


def test_each_length_has_a_panel_with_the_mean_of_each_training(curves):
    chart = draw_learning(curves)
    points = marks(chart, "point")
    rope = [point for point in points if point["model"].startswith("rope")]
    shown = [(point["letters of the string"], point["training examples"], point["exact match"]) for point in rope]
    assert sorted(shown) == [
        ("10", "1000", "5%"), ("10", "2000", "45%"), ("10", "5000", "85%"),
        ("20", "1000", "5%"), ("20", "2000", "25%"), ("20", "5000", "45%"),
    ]  # fmt: skip
    assert rope[1]["95 % interval"].endswith("(range of 2 seeds)")
    assert {"10 letters of the string", "20 letters of the string", "rope (2 seeds)", "mamba (2 seeds)"} <= set(
        texts(chart)
    )


def test_the_bands_are_said_to_be_those_of_seeds_and_the_line_that_of_90_percent(curves):
    # A title of several lines is one text without the spaces between them.
    said = "".join(" ".join(texts(draw_learning(curves))).split())
    assert "bands are the range of the seeds. Dashed: 90%".replace(" ", "") in said


def test_every_panel_has_lines_at_the_accuracies_of_its_axis(curves):
    lines = [element for element in draw(draw_learning(curves)) if "axis-grid" in element.get("class", "")]
    horizontal = [line for axis in lines for line in axis if float(line.get("x2", 0)) > 0]
    assert len(horizontal) == 2 * 6


def test_one_length_is_one_chart_with_its_length_in_the_title(curves):
    assert "string_copy: 10 letters of the string" in texts(draw_learning(curves[curves["length"] == 10]))
