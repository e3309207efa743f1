import csv
import io
import json

import pytest

from copy_eval.reports.comparison.comparison import COLUMNS, compare
from copy_eval.reports.comparison.evaluation import read_evaluation
from copy_eval.reports.comparison.text import render
from tests.reports.logged_runs import write_run

HOSTILE = "=cmd()|<b>,\n"


@pytest.fixture
def compared(tmp_path):
    a = {10: "1" * 20, 20: "1" * 20, 40: "1" * 20, 80: "1-", 120: "11"}
    b = {10: "1" * 20, 20: "1" * 10 + "0" * 10, 40: "1" * 30, 80: "11"}
    first = read_evaluation([write_run(tmp_path, a, model="org/first")])
    file = write_run(tmp_path, b, model="second")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_name": HOSTILE}))
    second = read_evaluation([file])
    return compare(first, second), first, second


def test_the_table_says_what_was_found_and_what_was_not_compared(compared):
    text = render(*compared, "table")
    lines = text.splitlines()
    assert lines[:2] == ["A = org/first, evaluated 1970-01-01", r"B = =cmd()|<b>,\n, evaluated 1970-01-01"]
    rows = [" ".join(line.split()) for line in lines]
    assert "20 20 1.000 0.500 -0.500 -0.701 to -0.243 10 0 0.0020 0.0078 *" in rows
    assert "40 20 1.000 1.000 0.000 -0.161 to +0.161 0 0 1.000 1.000" in rows
    assert "all 60 1.000 0.833 -0.167 -0.268 to -0.052 10 0 0.0020 0.0078 *" in rows
    assert "all lengths together: B is worse" in lines
    assert "80 2 over context 1.000" in rows
    assert "B is worse at 20; no significant difference at 10, 40" in lines
    assert "not on all prompts at 40: 20 prompts against 30: the 20 that both have are compared" in lines
    assert "not compared: phonebook_copy 120: B was not evaluated on it" in lines


def test_markdown_takes_names_for_text(compared):
    text = render(*compared, "markdown")
    assert "- B = =cmd()\\|&lt;b&gt;,\\\\n, evaluated" in text
    assert "### phonebook_copy, by entries in the phonebook" in text
    header, ruler = (line for line in text.splitlines() if line.startswith("|") and ("length" in line or "---" in line))
    assert header.count("|") == ruler.count("|") == 11


def test_csv_has_every_column_and_runs_nothing(compared):
    rows = list(csv.DictReader(io.StringIO(render(*compared, "csv"))))
    assert list(rows[0]) == [
        "model_a", "revision_a", "setup_a", "model_b", "revision_b", "setup_b", *COLUMNS,
    ]  # fmt: skip
    assert len(rows) == 6
    assert {row["model_b"] for row in rows} == {f"'{HOSTILE}"}
    assert (rows[1]["difference"], rows[1]["only_a"], rows[4]["difference"]) == ("-0.5", "10", "")


def test_json_has_every_column_and_null_for_what_is_missing(compared):
    content = json.loads(render(*compared, "json"))
    assert content["b"] == {"model": HOSTILE, "revision": "main", "setup": {"adapter": "pythia"}}
    assert [list(row) for row in content["lengths"]] == [list(COLUMNS)] * 6
    assert content["lengths"][1]["difference"] == -0.5
    assert content["lengths"][3]["over_context_a"] is True
    assert content["lengths"][4]["accuracy_b"] is None


def test_what_differs_between_two_setups_of_one_model_is_one_line_of_text(tmp_path):
    sides = [
        read_evaluation([write_run(tmp_path / side, {10: "1" * 9}, model_args={"pretrained": "m", "x": value})])
        for side, value in (("a", "\ud800\x1b[2J"), ("b", "y"))
    ]
    text = render(compare(*sides), *sides, "table")
    assert text.startswith("A = some/model (x=\\ud800\\x1b[2J), evaluated 1970-01-01\nB = some/model (x=y), evaluated")
    text.encode()


def test_buckets_and_units_are_named_as_the_results_say(tmp_path):
    sides = []
    for model in ("a", "b"):
        about, below = {"title": "buckets", "unit": "words of the story"}, {0: 50, 50: None}
        file = write_run(tmp_path, {0: "1" * 9, 50: "1" * 9}, model=model, task="mine", about=about, below=below)
        sides.append(read_evaluation([file]))
    lines = render(compare(*sides), *sides, "table").splitlines()
    assert "buckets, by words of the story" in lines
    assert [line.split()[0] for line in lines if line.strip().startswith(("0", "50"))] == ["0-50", "50+"]


def test_f1_stands_beside_the_exact_match_of_squad(tmp_path):
    sides = []
    for model, f1 in (("a", 0.75), ("b", 0.625)):
        metadata, about = {"text_source": "dev.json", "text_sha256": "c" * 64}, {"headline_metric": "f1"}
        file = write_run(
            tmp_path, {0: "1" * 9, 100: "1" * 9}, model=model, task="squad_by_length", metadata=metadata, about=about
        )
        file.write_text(file.read_text().replace('"digit_accuracy,none": 1.0', f'"f1,none": {f1}'))
        sides.append(read_evaluation([file]))
    rows = [" ".join(line.split()) for line in render(compare(*sides), *sides, "table").splitlines()]
    assert "length F1 A F1 B prompts A B B - A 95 % interval only A only B p adjusted p" in rows
    assert any(row.startswith("100 0.750 0.625 9 1.000 1.000 ") for row in rows)
    assert any(row.startswith("all 18 1.000 1.000 ") for row in rows)
