import pytest

from copy_eval.reports.figures.curves import plot_accuracy, plot_emergence
from copy_eval.reports.figures.drawing import model_styles, to_files
from copy_eval.reports.frames.series import training_curves
from copy_eval.reports.report import build_report
from tests.reports.result_files import write_results


def lines_of(axes):
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    return dict(zip(names, axes.get_lines(), strict=False))


@pytest.fixture
def report(tmp_path):
    write_results(tmp_path, {10: 1.0, 20: 0.5}, model="small", log_samples=True)
    write_results(tmp_path, {10: 0.3, 20: "over context"}, model="org/$x^2$_large", model_num_parameters=2_800_000_000)
    return build_report([tmp_path])


def test_the_plot_shows_the_numbers_of_the_frame(report):
    axes = plot_accuracy(report.accuracy).axes[0]
    drawn = {name: (line.get_xdata().tolist(), line.get_ydata().tolist()) for name, line in lines_of(axes).items()}
    assert drawn == {"small": ([10, 20], [1.0, 0.5]), "$x^2$_large (2.8B)": ([10], [0.3])}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["10", "20"]
    assert axes.get_xlabel() == "entries in the phonebook"
    assert axes.get_xscale() == "log"


def test_the_band_is_the_wilson_interval(report):
    accuracy = report.accuracy[report.accuracy["label"] == "small"]
    (band,) = plot_accuracy(accuracy).axes[0].collections
    corners = band.get_paths()[0].vertices
    assert {tuple(corner) for corner in corners} == {
        (row.length, bound) for row in accuracy.itertuples() for bound in (row.low, row.high)
    }


def test_a_length_over_the_context_is_marked_below_the_axis_and_has_no_point(report):
    axes = plot_accuracy(report.accuracy).axes[0]
    marks = [line for line in axes.get_lines() if line.get_marker() == "x"]
    assert [(mark.get_xdata()[0], mark.get_color()) for mark in marks] == [
        (20, model_styles(report.accuracy)["org/$x^2$_large"].colour)
    ]
    assert marks[0].get_ydata()[0] < 0
    assert any("over context" in text.get_text() for text in axes.texts)


def test_a_bucket_that_begins_at_zero_has_a_linear_axis(tmp_path):
    report = build_report([write_results(tmp_path, {0: 0.5, 100: 0.4}, task="squad_by_length")])
    assert plot_accuracy(report.accuracy).axes[0].get_xscale() == "linear"


def test_names_are_no_formulas_and_files_do_not_change_from_run_to_run(report):
    first, second = (to_files(plot_accuracy(report.accuracy), "a") for _ in range(2))
    assert first == second
    assert first["a.png"].startswith(b"\x89PNG")
    assert b"$x^2$_large (2.8B)" in first["a.svg"]  # matplotlib notes each text, and notes formulas otherwise


def sweep(folder, steps):
    for step in steps:
        write_results(folder, {10: 0.5, 20: 0.1}, model_revision=f"step{step}", date=step)
    return build_report([folder])


def test_three_training_steps_make_a_curve_for_each_length(tmp_path):
    curves = training_curves(sweep(tmp_path, [0, 1000, 64]).accuracy)
    axes = plot_emergence(curves).axes[0]
    drawn = {line.get_label(): (line.get_xdata().tolist(), line.get_ydata().tolist()) for line in axes.get_lines()}
    assert drawn == {"10": ([0, 64, 1000], [0.5] * 3), "20": ([0, 64, 1000], [0.1] * 3)}
    assert axes.get_xscale() == "symlog"
