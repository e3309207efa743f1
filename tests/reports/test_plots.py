from copy_eval.reports.plots import plot_accuracy
from copy_eval.reports.results import read_results
from copy_eval.reports.statistics import accuracy_by_length
from tests.reports.result_files import write_results


def test_the_plot_shows_the_numbers_of_the_frame(tmp_path):
    files = [
        write_results(tmp_path, {10: 1.0, 20: 0.5}, model="small"),
        write_results(tmp_path, {10: 0.3, 20: "over context"}, model="large"),
    ]
    axes = plot_accuracy(accuracy_by_length(read_results(files)), "phonebook_copy", "entries").axes[0]
    drawn = {line.get_label(): (line.get_xdata().tolist(), line.get_ydata().tolist()) for line in axes.get_lines()}
    assert drawn == {"small": ([10, 20], [1.0, 0.5]), "large": ([10], [0.3])}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["10", "20"]
    assert axes.get_xlabel() == "entries"
