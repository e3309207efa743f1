import numpy as np
import pandas as pd
import pytest

from copy_eval.reports.charts.colours import blend, relative_luminance, share_scale
from copy_eval.reports.charts.depth import DARK, depth_names, draw_depth
from copy_eval.reports.report import build_report
from tests.reports.charts.drawings import draw, marks, texts
from tests.reports.result_files import write_results


def test_each_cell_says_accuracy_interval_and_prompts(tmp_path):
    report = build_report([write_results(tmp_path, {10: 1.0, 20: 0.5}, log_samples=True)])
    chart = draw_depth(report.depths)
    cells = marks(chart, "rect mark")
    assert len(cells) == 10
    # Of 20 entries the first half of the prompts is right; Wilson's interval of 5 right out of 10.
    [half] = [cell for cell in cells if cell["entries in the phonebook"] == "20" and cell["depth"] == "40% to 60%"]
    assert (half["exact match"], half["95 % interval"], half["prompts"]) == ("50.0%", "23.7% to 76.3%", "10")
    assert texts(chart).count("100%n=10") == 5 + 2


def test_a_depth_that_was_asked_for_is_called_by_its_own_name():
    depths = pd.DataFrame({"depth_from": [0.0, 1 / 9, 0.5, 1.0, 0.8], "depth_to": [0.0, 1 / 9, 0.5, 1.0, 1.0]})
    assert depth_names(depths) == ["0%", "11.1%", "50%", "100%", "80% to 100%"]


def test_a_length_over_the_context_is_grey_and_says_so(tmp_path):
    depths = build_report([write_results(tmp_path, {10: 0.5, 320: "over context"}, log_samples=True)]).depths
    assert texts(draw_depth(depths)).count("overcontext") == 5
    cells = [element for element in draw(draw_depth(depths)) if element.get("aria-roledescription") == "rect mark"]
    assert {cell.get("fill") for cell in cells if ": 320" in cell.get("aria-label")} == {"#e3e3df"}


def test_a_cell_without_prompts_is_empty_and_one_of_0_percent_is_not(tmp_path):
    depths = build_report([write_results(tmp_path, {10: 1.0, 20: 0.0}, log_samples=True)]).depths
    kept = depths[(depths["length"] == 10) | (depths["depth_from"] > 0.5)]
    cells = marks(draw_depth(kept), "rect mark")
    assert len(cells) == 5 + 2
    assert [cell["exact match"] for cell in cells].count("0.0%") == 2
    assert relative_luminance("#ffffff") / 1.2 > relative_luminance(share_scale().range[0])
    assert texts(draw_depth(kept)).count("0%n=10") == 2


def test_several_models_have_a_panel_each_under_their_names(tmp_path):
    for model in ("org/one", "org/two", "org/three"):
        write_results(tmp_path, {10: 1.0}, model=model, log_samples=True)
    chart = draw_depth(build_report([tmp_path]).depths)
    assert {"one", "two", "three"} <= set(texts(chart))
    assert len(marks(chart, "rect mark")) == 15


@pytest.mark.parametrize("share", np.linspace(0, 1, 101))
def test_every_figure_can_be_read_on_its_cell(share):
    paper = relative_luminance(blend(share_scale().range, share))
    ink = 1.0 if share > DARK else 0.0
    assert (max(paper, ink) + 0.05) / (min(paper, ink) + 0.05) >= 4.5
