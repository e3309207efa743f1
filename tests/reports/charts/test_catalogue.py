import subprocess
import sys

import altair as alt
import pandas as pd
import pytest

from copy_eval.errors import UserError
from copy_eval.reports import chart
from copy_eval.reports.charts.catalogue import CHARTS
from copy_eval.reports.report import build_report
from copy_eval.reports.report_files import render_files
from tests.reports.charts.drawings import marks
from tests.reports.result_files import write_results, write_trained


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    for step in range(6):
        write_results(
            folder, {10: step / 10, 20: 0.0}, model="swept", model_revision=f"step{step}", date=float(step),
            log_samples=True,
        )  # fmt: skip
    write_results(folder, {0: 0.5, 100: 0.4}, model="other", task="squad_by_length")
    return folder


@pytest.mark.parametrize(
    "given", [lambda folder: folder, str, lambda folder: [folder], lambda folder: build_report([folder])]
)
def test_a_chart_comes_from_a_folder_several_or_a_report(results, given):
    drawn = chart(given(results), "accuracy", task="squad_by_length")
    assert isinstance(drawn, alt.LayerChart)
    assert [point["model"] for point in marks(drawn, "point")] == ["other", "other"]


def test_a_chart_can_be_changed_and_saved(results, tmp_path):
    changed = chart(results, "depth").properties(title="Mine")
    changed.save(str(tmp_path / "mine.pdf"))
    assert (tmp_path / "mine.pdf").read_bytes().startswith(b"%PDF")


def test_of_many_training_steps_a_file_shows_few_and_always_the_last(results):
    points = marks(chart(results, "accuracy", task="phonebook_copy"), "point")
    steps = {point["model"] for point in points}
    assert len(steps) == 4
    assert "swept@step5" in steps
    assert {cell["model"] for cell in marks(chart(results, "depth"), "rect mark")} == {"swept@step5"}


@pytest.mark.parametrize(
    ("name", "task", "problem"),
    [
        ("heat_map", None, "no chart is called 'heat_map'; there are accuracy, learning, memory, emergence, depth"),
        (
            "accuracy",
            None,
            "the chart 'accuracy': name one in task=; there are phonebook_copy, squad_by_length",
        ),
        ("depth", "c4_copy", "the chart 'depth': no task 'c4_copy' has it; there are phonebook_copy"),
    ],
)
def test_a_chart_that_is_not_there_is_a_line_that_names_those_that_are(results, name, task, problem):
    with pytest.raises(UserError) as caught:
        chart(results, name, task=task)
    assert str(caught.value) == problem


def test_results_without_what_a_chart_needs_are_told_what_that_is(tmp_path):
    file = write_results(tmp_path, {10: 0.5})
    with pytest.raises(
        UserError, match="nothing to draw as 'emergence': it needs a model with three or more revisions"
    ):
        chart(file, "emergence")


def test_a_task_in_two_versions_is_named_by_its_series(tmp_path):
    write_results(tmp_path, {10: 0.5}, model="one", version=1.0)
    write_results(tmp_path, {10: 0.5}, model="two", version=2.0)
    with pytest.raises(UserError, match=r"there are phonebook_copy_v1\.0, phonebook_copy_v2\.0"):
        chart(tmp_path, "accuracy", task="phonebook_copy")
    assert {point["model"] for point in marks(chart(tmp_path, "accuracy", task="phonebook_copy_v2.0"), "point")} == {
        "two"
    }


def test_the_rows_behind_every_chart_stand_in_a_csv_beside_it(results):
    for step in (1000, 2000, 5000):
        write_trained(results, {10: 0.5}, step=step, task="squad_by_length", memory={10: 40.0})
    report = build_report([results])
    files = render_files(report)
    for kind in CHARTS:
        for series, rows in kind.of_series(report).items():
            table = pd.read_csv(pd.io.common.BytesIO(files[kind.table]), float_precision="round_trip")
            assert f"{kind.prefix}{series}.png" in files
            written = table[table["series"] == series]
            key = ["label", "length", "accuracy", "low", "high", "n"]
            found = rows[key].astype(object).merge(written[key].astype(object), on=key, how="left", indicator=True)
            assert (found["_merge"] == "both").all()


def test_importing_reports_costs_neither_altair_nor_pandas():
    script = """
import sys
import copy_eval, copy_eval.reports, copy_eval.cli.report
assert not {"altair", "pandas", "vl_convert"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", script], check=True)
