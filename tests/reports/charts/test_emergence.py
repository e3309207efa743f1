from copy_eval.reports.charts.emergence import draw_emergence
from copy_eval.reports.charts.rendering import to_spec
from copy_eval.reports.frames.series import training_curves
from copy_eval.reports.report import build_report
from tests.reports.charts.drawings import marks, texts
from tests.reports.result_files import write_results


def curves_of(folder, scores, model="swept", **config):
    """Write an evaluation for each training step, and return the rows that are drawn."""
    for step, by_length in scores.items():
        write_results(folder, by_length, model=model, model_revision=f"step{step}", date=float(step), **config)
    return training_curves(build_report([folder]).accuracy)


def test_each_point_says_length_step_and_accuracy(tmp_path):
    chart = draw_emergence(curves_of(tmp_path, {0: {10: 0.0, 20: 0.0}, 1000: {10: 0.5, 20: 0.1}, 64: {10: 0.2}}))
    points = {
        (point["entries in the phonebook"], point["training step"], point["exact match"])
        for point in marks(chart, "point")
    }
    assert points == {
        ("10", "0", "0%"), ("10", "64", "20%"), ("10", "1000", "50%"), ("20", "0", "0%"), ("20", "1000", "10%"),
    }  # fmt: skip
    assert texts(chart)[:3] == ["0", "64", "1k"]


def test_the_axis_of_steps_is_logarithmic_and_has_a_place_for_step_0(tmp_path):
    def scale(steps, folder):
        spec = to_spec(draw_emergence(curves_of(tmp_path / folder, {step: {10: 0.5} for step in steps})))
        return spec["layer"][0]["encoding"]["x"]["scale"]

    assert scale([0, 1, 1000], "from-0")["type"] == "symlog"
    assert scale([1, 10, 1000], "from-1")["type"] == "log"


def test_a_length_over_the_context_has_no_line_and_is_named_as_such(tmp_path):
    chart = draw_emergence(curves_of(tmp_path, {step: {10: 0.5, 320: "over context"} for step in (1, 2, 3)}))
    assert len(marks(chart, "point")) == 3
    assert "320 (over context)" in texts(chart)


def test_all_lengths_over_the_context_make_an_empty_chart(tmp_path):
    chart = draw_emergence(curves_of(tmp_path, {step: {320: "over context"} for step in (0, 1, 2)}))
    assert marks(chart, "point") == []


def test_each_model_has_a_panel_and_a_length_one_colour_in_all_of_them(tmp_path):
    curves_of(tmp_path, {step: {10: 0.5, 20: 0.1} for step in (1, 2, 3)}, model="org/one")
    chart = draw_emergence(curves_of(tmp_path, {step: {20: 0.5} for step in (1, 2, 3)}, model="org/two"))
    assert {"one", "two"} <= set(texts(chart))
    one, two = (panel["layer"][0]["encoding"]["color"]["scale"] for panel in to_spec(chart)["vconcat"])
    colours = [dict(zip(scale["domain"], scale["range"], strict=True))["20"] for scale in (one, two)]
    assert colours[0] == colours[1]
