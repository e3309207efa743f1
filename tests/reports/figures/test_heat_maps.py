from copy_eval.reports.figures.heat_maps import plot_depths
from copy_eval.reports.report import build_report
from tests.reports.result_files import write_results


def test_the_heat_map_says_accuracy_and_prompts_in_each_cell(tmp_path):
    report = build_report([write_results(tmp_path, {10: 1.0, 20: 0.5}, log_samples=True)])
    axes = plot_depths(report.depths).axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert texts.count("100%\nn=10") == 5 + 2  # of 20 entries the first half of the prompts is right
    assert "50%\nn=10" in texts
    assert [label.get_text() for label in axes.get_yticklabels()][::4] == ["start to 20%", "80% to end"]


def test_a_length_over_the_context_is_hatched_in_the_heat_map(tmp_path):
    depths = build_report([write_results(tmp_path, {10: 0.5, 320: "over context"}, log_samples=True)]).depths
    texts = [text.get_text() for text in plot_depths(depths).axes[0].texts]
    assert texts.count("over\ncontext") == 5
