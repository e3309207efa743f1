import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pandas as pd
import plotly.graph_objects as go
import pytest

from copy_eval.reports.page import render_page
from copy_eval.reports.page.heat_maps import heat_maps
from copy_eval.reports.page.models import models_of
from copy_eval.reports.page.sections import section_titles, sections_of, trainings
from copy_eval.reports.page.tables import leaderboard_table, wrong_answers_tables
from copy_eval.reports.report import build_report
from tests.reports.result_files import write_results

HOSTILE = "</script><script>alert(1)</script>, \"q\" <b onclick='x'>\u2028\n=cmd()"


@pytest.fixture
def report(tmp_path):
    write_results(tmp_path, {10: 1.0, 20: 0.5, 320: "over context"}, model="small")
    write_results(tmp_path, {10: 0.3, 20: 0.0, 320: 0.0}, model="large")
    return build_report([tmp_path])


def cells(table, model):
    return next([cell.text for cell in row.cells] for row in table.rows if row.cells[0].text == model)


class Outline(HTMLParser):
    """What a browser would see: tags with their attributes, and the text of each script."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.scripts, self._in_script = [], {}, None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._in_script = dict(attributes).get("id", "") if tag == "script" else None

    def handle_endtag(self, tag):  # noqa: ARG002
        self._in_script = None

    def handle_data(self, data):
        if self._in_script is not None:
            self.scripts[self._in_script] = self.scripts.get(self._in_script, "") + data


def test_the_charts_are_figures_that_plotly_accepts_and_hold_the_numbers_of_the_frame(report):
    [section] = sections_of(report.accuracy, models_of(report))
    figure = go.Figure(section.chart)
    lines = {trace.meta: (trace.x, trace.y) for trace in figure.data if trace.mode == "lines+markers"}
    places = {model.label: model.place for model in models_of(report)}
    assert lines[places["small"]] == ((10, 20), (1.0, 0.5))
    assert lines[places["large"]] == ((10, 20, 320), (0.3, 0.0, 0.0))
    assert figure.layout.xaxis.type == "log"


def test_a_length_over_the_context_is_a_mark_below_the_axis_and_never_a_zero(report):
    [section] = sections_of(report.accuracy, models_of(report))
    [marks] = [trace for trace in section.chart["data"] if trace["mode"] == "markers"]
    assert marks["x"] == pytest.approx([320])
    assert marks["y"][0] < 0
    assert section.chart["layout"]["yaxis"]["range"][0] < marks["y"][0]
    assert cells(section.table, "small")[-1] == "over context"
    assert cells(section.table, "large")[-1] == "0.0"


def test_a_bucket_from_zero_makes_the_axis_linear(tmp_path):
    write_results(tmp_path, {0: 0.5, 100: 0.4}, task="squad_by_length")
    report = build_report([tmp_path])
    [section] = sections_of(report.accuracy, models_of(report))
    assert section.chart["layout"]["xaxis"]["type"] == "linear"
    assert go.Figure(section.chart).layout.xaxis.range == (-4, 104)


def test_a_single_length_makes_a_chart_too(tmp_path):
    write_results(tmp_path, {10: 0.5})
    report = build_report([tmp_path])
    [section] = sections_of(report.accuracy, models_of(report))
    assert section.chart["layout"]["xaxis"]["ticktext"] == ["10"]
    assert section.chart["layout"]["xaxis"]["range"] == pytest.approx([0.5, 1.5])


def test_the_leaderboard_sums_up_each_series_in_three_columns(report):
    table = leaderboard_table(report.leaderboard, section_titles(report.accuracy), models_of(report))
    assert table.groups == [("", 4), ("phonebook_copy", 3)]
    assert len(table.columns) == sum(span for _, span in table.groups)
    # The mean of 1.0 and 0.5; nothing is known beyond 20.
    assert cells(table, "small")[1:] == ["1", "", "", "75.0", "10", "20"]
    assert cells(table, "large")[5:] == ["none", "none"]


def test_a_task_is_called_by_its_name_unless_the_page_has_several_of_it(tmp_path):
    write_results(tmp_path, {10: 1.0}, model="old")
    newer = write_results(tmp_path, {10: 1.0}, model="new")
    newer.write_text(newer.read_text().replace('"phonebook_copy_10": 1.0}', '"phonebook_copy_10": 2.0}'))
    titles = section_titles(build_report([tmp_path]).accuracy)
    assert sorted(titles.values()) == ["phonebook_copy, version 1.0", "phonebook_copy, version 2.0"]
    assert list(section_titles(build_report([newer]).accuracy).values()) == ["phonebook_copy"]


def test_wrong_answers_of_an_over_context_length_are_not_counted_as_none(report):
    wrong = pd.DataFrame(
        {
            "label": ["small", "small"],
            "series": ["phonebook_copy"] * 2,
            "length": [20, 320],
            "over_context": [False, True],
            "n": [50, 50],
            "wrong": pd.array([25, None], dtype="Int64"),
            "other_entry": pd.array([0.6, None], dtype="Float64"),
            "not_in_book": pd.array([0.4, None], dtype="Float64"),
            "elsewhere": pd.array([0.0, None], dtype="Float64"),
            "right_number": pd.array([0.0, None], dtype="Float64"),
        }
    )
    [table] = wrong_answers_tables(wrong, {"phonebook_copy": "phonebook_copy"}, models_of(report))
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["small", "20", "50", "25", "60.0", "0.0", "40.0", "0.0"],
        ["small", "320", "50", "over context", "", "", "", ""],
    ]


def test_a_heat_map_has_a_square_for_each_length_and_part_of_the_book(report):
    depths = pd.DataFrame(
        {
            "label": "small",
            "series": "phonebook_copy",
            "length": [10, 320, 10],
            "depth_from": [0.0, 0.0, 0.5],
            "depth_to": [0.5, 0.5, 1.0],
            "n": [20, 20, 10],
            "accuracy": pd.array([0.25, None, 1.0], dtype="Float64"),
            "low": pd.array([0.1, None, 0.7], dtype="Float64"),
            "high": pd.array([0.5, None, 1.0], dtype="Float64"),
        }
    )
    [grid] = heat_maps(depths, {"phonebook_copy": "phonebook_copy"}, models_of(report))["phonebook_copy"]
    texts = [(part, [square and square.text for square in squares]) for part, squares in grid.rows]
    assert texts == [("0 to 50 %", ["25", "-"]), ("50 to 100 %", ["100", None])]
    assert grid.rows[0][1][0].note == "25.0% of 20 prompts, 95 % interval 10.0% to 50.0%"
    # Light squares have black figures, dark ones white.
    assert [squares[0].ink for _, squares in grid.rows] == ["#000000", "#ffffff"]


def test_the_page_is_one_file_whose_policy_lets_nothing_else_in(report):
    outline = Outline(render_page(report))
    policy = next(tag["content"] for _, tag in outline.tags if tag.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in re.search("script-src[^;]*", policy)[0]
    assert not [tag for _, tag in outline.tags if "src" in tag or not tag.get("href", "#").startswith("#")]


def test_the_headings_are_in_order_and_every_section_has_its_own(report):
    outline = Outline(render_page(report))
    levels = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = [tag["id"] for _, tag in outline.tags if "id" in tag]
    assert len(ids) == len(set(ids))
    assert {tag["aria-labelledby"] for name, tag in outline.tags if name == "section"} <= set(ids)


def test_of_a_sweep_over_training_steps_few_are_shown_at_first(tmp_path):
    for step in range(12):
        file = write_results(tmp_path, {10: step / 12, 20: 0.0}, model="swept", date=float(step))
        file.write_text(
            file.read_text().replace('"pretrained": "swept"', f'"pretrained": "swept", "revision": "step{step}"')
        )
    write_results(tmp_path, {10: 1.0, 20: 1.0}, model="other")
    models = models_of(build_report([tmp_path]))
    shown = {model.label for model in models if model.shown}
    assert (len(models), len(shown)) == (13, 9)
    assert {"other", "swept@step11"} <= shown


def sweep(folder, scores, model="swept", **config):
    """Write an evaluation for each training step, and return the parts of the page about training."""
    for step, by_length in scores.items():
        write_results(folder, by_length, model=model, model_revision=f"step{step}", date=float(step), **config)
    report = build_report([folder])
    return trainings(report.accuracy, section_titles(report.accuracy), models_of(report))


def test_over_training_a_line_a_length_holds_the_numbers_of_the_frame_and_step_0_has_its_place(tmp_path):
    scores = {0: {10: 0.0, 20: 0.0}, 1000: {10: 0.5, 20: 0.1}, 64: {10: 0.2}}
    [training] = sweep(tmp_path, scores)["phonebook_copy"]
    figure = go.Figure(training.chart)
    lines = [(trace.x, trace.y, trace.line.color) for trace in figure.data if trace.mode == "lines+markers"]
    ten, twenty = [colour for _, colour in training.key]
    assert lines == [((0.1, 64, 1000), (0.0, 0.2, 0.5), ten), ((0.1, 1000), (0.0, 0.1), twenty)]
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.xaxis.tickvals == (0.1, 64, 1000)
    assert figure.layout.xaxis.ticktext == ("0", "64", "1k")
    assert training.name == "swept"
    assert [[cell.text for cell in row.cells] for row in training.table.rows] == [
        ["0", "0.0", "0.0"],
        ["64", "20.0", ""],
        ["1,000", "50.0", "10.0"],
    ]


def test_over_training_a_length_over_the_context_has_no_line_and_is_named_as_such(tmp_path):
    [training] = sweep(tmp_path, {step: {10: 0.5, 320: "over context"} for step in (1, 2, 3)})["phonebook_copy"]
    assert len([trace for trace in training.chart["data"] if trace["mode"] == "lines+markers"]) == 1
    assert [name for name, _ in training.key] == ["10", "320 (over context)"]
    assert [row.cells[2].text for row in training.table.rows] == ["over context"] * 3


def test_over_training_all_lengths_over_the_context_make_an_empty_chart(tmp_path):
    [training] = sweep(tmp_path, {step: {320: "over context"} for step in (0, 1, 2)})["phonebook_copy"]
    assert training.chart["data"] == []


def test_over_training_each_model_and_series_has_a_part_of_its_own(tmp_path):
    sweep(tmp_path, {step: {10: 0.5} for step in (1, 2, 3)}, model="one/swept")
    sweep(tmp_path, {step: {10: 0.5} for step in (1, 2, 3)}, model="other/swept")
    found = sweep(tmp_path, {step: {100: 0.5} for step in (4, 5, 6)}, model="one/swept", task="squad_by_length")
    assert {title: [part.name for part in parts] for title, parts in found.items()} == {
        "phonebook_copy": ["one/swept", "other/swept"],
        "squad_by_length": ["one/swept"],
    }


def test_the_navigation_leads_to_training_only_where_a_model_has_several_steps(tmp_path, report):
    assert "#training" not in render_page(report)
    sweep(tmp_path, {step: {10: 0.5} for step in (1, 2, 3)})
    outline = Outline(render_page(build_report([tmp_path])))
    assert ("a", {"href": "#training"}) in outline.tags
    assert "chart-training-phonebook_copy-1" in json.loads(outline.scripts["charts"])


def test_a_hostile_model_name_stays_text(tmp_path):
    for folder, model in (("plain", "plain"), ("hostile", HOSTILE)):
        sweep(tmp_path / folder, {step: {10: 1.0} for step in (1, 2, 3)}, model=model)
    plain = Outline(render_page(build_report([tmp_path / "plain"])))
    hostile = Outline(render_page(build_report([tmp_path / "hostile"])))
    kinds = {tag for tag, _ in plain.tags}
    assert {tag for tag, _ in hostile.tags} == kinds
    assert not [tag for _, tag in hostile.tags if any(name.startswith("on") for name in tag)]
    json.loads(hostile.scripts["charts"])


def test_the_same_report_gives_the_same_page(report):
    assert render_page(report) == render_page(replace(report))
