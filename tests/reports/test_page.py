import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pandas as pd
import pytest

from copy_eval.reports.page import render_page
from copy_eval.reports.page.models import models_of
from copy_eval.reports.page.sections import chart_sections, section_titles, sections_of
from copy_eval.reports.page.tables import leaderboard_table, wrong_answers_tables
from copy_eval.reports.report import build_report
from tests.reports.result_files import write_results, write_trained

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


def rows_of(panel):
    """The rows that a chart draws."""
    [rows] = panel.spec["datasets"].values()
    return rows


def accuracy_panel(report):
    [section] = sections_of(report, models_of(report))
    return section.panel


def test_a_chart_holds_the_numbers_of_the_frame_and_so_does_its_table(report):
    panel = accuracy_panel(report)
    shown = [(row["label"], row["length"], row["accuracy"]) for row in rows_of(panel) if not row["over_context"]]
    assert shown == [
        ("small", 10, 1.0),
        ("small", 20, 0.5),
        ("large", 10, 0.3),
        ("large", 20, 0.0),
        ("large", 320, 0.0),
    ]
    assert cells(panel.table, "small")[1:] == ["100.0", "50.0", "over context"]
    assert cells(panel.table, "large")[1:] == ["30.0", "0.0", "0.0"]


def test_on_the_page_a_chart_has_no_title_and_no_legend_and_is_as_wide_as_there_is_room(report):
    spec = accuracy_panel(report).spec
    assert "title" not in spec
    assert spec["width"] == spec["height"] == "container"
    assert {layer["encoding"]["color"]["legend"] for layer in spec["layer"] if "color" in layer["encoding"]} == {None}


def test_lines_have_the_colours_of_the_checkboxes(report):
    scale = accuracy_panel(report).spec["layer"][0]["encoding"]["color"]["scale"]
    assert scale["range"] == [model.style.colour for model in models_of(report)]


def test_the_leaderboard_sums_up_each_series_in_three_columns(report):
    table = leaderboard_table(report, section_titles(report.accuracy), models_of(report))
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


def test_an_effective_length_that_may_be_greater_has_a_plus_and_a_bucket_its_name(tmp_path):
    file = write_results(tmp_path, {10: 1.0, 20: 0.6}, model="good")
    report = build_report([file])
    table = leaderboard_table(report, section_titles(report.accuracy), models_of(report))
    assert cells(table, "good")[-2:] == ["10", "20+"]
    file = write_results(
        tmp_path / "squad", {0: 1.0, 100: 0.9}, model="good", task="squad_by_length", below={0: 100, 100: None}
    )
    report = build_report([file])
    table = leaderboard_table(report, section_titles(report.accuracy), models_of(report))
    assert cells(table, "good")[-2:] == ["100+", "100+"]


def test_the_heat_maps_have_a_table_with_a_row_for_each_model_and_part_of_the_book(tmp_path):
    write_results(tmp_path, {10: 1.0, 20: 0.5}, model="one", log_samples=True)
    write_results(tmp_path, {10: 0.5}, model="two", log_samples=True)
    report = build_report([tmp_path])
    [section] = chart_sections(report, models_of(report))
    [panel] = section.panels["phonebook_copy"]
    assert [column.name for column in panel.table.columns] == ["Model", "Depth", "10", "20"]
    texts = [[cell.text for cell in row.cells] for row in panel.table.rows]
    assert texts[2:6] == [
        ["one", "40% to 60%", "100.0", "50.0"],
        ["one", "60% to 80%", "100.0", "0.0"],
        ["one", "80% to 100%", "100.0", "0.0"],
        ["two", "0% to 20%", "100.0", ""],
    ]
    assert [row.model for row in panel.table.rows] == [0] * 5 + [1] * 5
    assert not panel.fills_width


def test_the_page_is_no_larger_than_half_a_megabyte(report):
    assert len(render_page(report).encode()) < 500_000


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
    return next(part.panels for part in chart_sections(report, models_of(report)) if part.kind.name == "emergence")


def test_over_training_the_table_has_a_row_a_step_and_the_chart_its_numbers(tmp_path):
    scores = {0: {10: 0.0, 20: 0.0}, 1000: {10: 0.5, 20: 0.1}, 64: {10: 0.2, 20: "over context"}}
    [training] = sweep(tmp_path, scores)["phonebook_copy"]
    assert training.name == "swept"
    assert [[cell.text for cell in row.cells] for row in training.table.rows] == [
        ["0", "0.0", "0.0"],
        ["64", "20.0", "over context"],
        ["1,000", "50.0", "10.0"],
    ]
    shown = {(row["length"], row["step"], row["accuracy"]) for row in rows_of(training)}
    assert shown == {(10, 0, 0.0), (10, 64, 0.2), (10, 1000, 0.5), (20, 0, 0.0), (20, 64, None), (20, 1000, 0.1)}
    assert training.fills_width


def test_over_training_each_model_and_series_has_a_part_of_its_own(tmp_path):
    sweep(tmp_path, {step: {10: 0.5} for step in (1, 2, 3)}, model="one/swept")
    sweep(tmp_path, {step: {10: 0.5} for step in (1, 2, 3)}, model="other/swept")
    found = sweep(tmp_path, {step: {100: 0.5} for step in (4, 5, 6)}, model="one/swept", task="squad_by_length")
    assert {title: [part.name for part in parts] for title, parts in found.items()} == {
        "phonebook_copy": ["one/swept", "other/swept"],
        "squad_by_length": ["one/swept"],
    }


def test_the_navigation_leads_to_training_only_where_a_model_has_several_steps(tmp_path, report):
    assert 'href="#emergence"' not in render_page(report)
    sweep(tmp_path, {step: {10: 0.5} for step in (1, 2, 3)})
    outline = Outline(render_page(build_report([tmp_path])))
    assert ("a", {"href": "#emergence"}) in outline.tags
    assert "chart-emergence-phonebook_copy-1" in json.loads(outline.scripts["drawings"])["charts"]


def test_a_hostile_model_name_stays_text(tmp_path):
    for folder, model in (("plain", "plain"), ("hostile", HOSTILE)):
        sweep(tmp_path / folder, {step: {10: 1.0} for step in (1, 2, 3)}, model=model)
    plain = Outline(render_page(build_report([tmp_path / "plain"])))
    hostile = Outline(render_page(build_report([tmp_path / "hostile"])))
    kinds = {tag for tag, _ in plain.tags}
    assert {tag for tag, _ in hostile.tags} == kinds
    assert not [tag for _, tag in hostile.tags if any(name.startswith("on") for name in tag)]
    json.loads(hostile.scripts["drawings"])


def test_the_same_report_gives_the_same_page(report):
    assert render_page(report) == render_page(replace(report))


def train(folder):
    """Three checkpoints of two architectures with two seeds each, and a model that we did not train."""
    for seed in (0, 1):
        for step in (1000, 2000, 5000):
            for architecture, most in (("rope", 0.9), ("mamba", 0.1)):
                scores = {10: most * step / 5000, 20: (most - 0.1 * seed) * step / 5000}
                write_trained(folder, scores, architecture, seed, step, date=float(step), memory={10: 10.0, 20: 10.0})
    write_results(folder, {10: 0.5, 20: 0.4}, model="other", task="string_copy", date=9.0)
    return build_report([folder])


def test_seeds_share_a_checkbox_and_a_line_and_have_rows_of_their_own_in_the_leaderboard(tmp_path):
    report = train(tmp_path)
    models = models_of(report)
    assert {
        model.label: len(model.labels) for model in models if "@step5000" in model.label or "@" not in model.label
    } == {
        "rope (2 seeds)@step5000": 3,
        "mamba (2 seeds)@step5000": 3,
        "other": 1,
    }
    board = leaderboard_table(report, section_titles(report.accuracy), models)
    places = {model.label: model.place for model in models}
    rows = {row.cells[0].text: row.model for row in board.rows}
    assert rows["rope-seed0@step5000"] == rows["rope-seed1@step5000"] == places["rope (2 seeds)@step5000"]
    assert cells(accuracy_panel(report).table, "rope (2 seeds)@step5000")[1:] == ["90.0", "85.0"]
    drawings = json.loads(Outline(render_page(report)).scripts["drawings"])
    assert ["other"] in drawings["models"]
    assert {"rope (2 seeds)@step5000", "rope-seed0@step5000"} < set(
        drawings["models"][places["rope (2 seeds)@step5000"]]
    )


def test_of_a_training_the_last_step_alone_is_shown_at_first(tmp_path):
    shown = {model.label for model in models_of(train(tmp_path)) if model.shown}
    assert shown == {"rope (2 seeds)@step5000", "mamba (2 seeds)@step5000", "other"}


def test_over_training_examples_each_length_has_a_chart_of_all_trainings_with_its_numbers(tmp_path):
    report = train(tmp_path)
    parts = {part.kind.name: part.panels for part in chart_sections(report, models_of(report))}
    assert "emergence" not in parts
    short, _ = parts["learning"]["string_copy"]
    assert short.name == "10 letters of the string"
    texts = [[cell.text for cell in row.cells] for row in short.table.rows]
    assert ["rope (2 seeds)@step5000", "5,000", "90.0"] in texts
    assert len(texts) == 6
    assert "in percent with the range of the seeds" in short.table.caption


def test_how_many_examples_are_needed_stands_in_a_table(tmp_path):
    page = render_page(train(tmp_path))
    assert 'href="#examples"' in page
    assert "not within 5,000" in page
    assert 'href="#examples"' not in render_page(build_report([write_results(tmp_path / "none", {10: 0.5})]))


def test_what_is_dotted_and_shaded_is_said_beside_the_chart(tmp_path):
    for seed in (0, 1):
        write_trained(tmp_path, {10: 0.5, 50: 0.1}, seed=seed, memory={10: 10.0, 50: 10.0})
    report = build_report([tmp_path])
    [section] = sections_of(report, models_of(report))
    assert section.notes.startswith("Dotted: the most that the bits of a model's memory allow.")
    assert section.notes.endswith("Shaded: the lengths of the training.")
    assert "Shaded: the lengths of the training." in render_page(report)
