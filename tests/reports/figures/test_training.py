from copy_eval.reports.figures.training import plot_emergence
from copy_eval.reports.frames.series import training_curves
from copy_eval.reports.report import build_report
from tests.reports.result_files import write_results


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
