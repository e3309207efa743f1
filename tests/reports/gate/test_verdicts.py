import json
from xml.etree import ElementTree

import pandas as pd
import pytest

from copy_eval.errors import UserError
from copy_eval.reports.comparison.evaluation import read_evaluation
from copy_eval.reports.gate.junit import to_junit
from copy_eval.reports.gate.summary import summarise
from copy_eval.reports.gate.verdicts import exit_code, judge
from tests.reports.logged_runs import write_run


def _evaluate(folder, answers, **run):
    return read_evaluation([write_run(folder, answers, **run)])


def _judge(folder, before, now, max_drop=0.02, alpha=0.01, **changed):
    baseline = _evaluate(folder, before, model="before")
    return judge(baseline, _evaluate(folder, now, **({"model": "now"} | changed)), max_drop, alpha)


def test_an_unchanged_model_passes(tmp_path):
    judged = _judge(tmp_path, {10: "1101"}, {10: "1101"})
    assert judged["verdict"].tolist() == ["pass"]
    assert exit_code(judged) == 0


def test_a_significant_drop_fails_on_one_side_adjusted_for_all_lengths_that_can_drop(tmp_path):
    before = {10: "1" * 20, 20: "1" * 20, 40: "0" * 20}
    judged = _judge(tmp_path, before, {10: "1" * 12 + "0" * 8, 20: "1" * 13 + "0" * 7, 40: "0" * 20})
    # 8 of 8 and 7 of 7 fair coins, two lengths; the third has nothing to lose and is not tested.
    assert judged["p_adjusted"].tolist() == [2 / 2**8, 2 / 2**8, pd.NA]
    assert judged["verdict"].tolist() == ["drop", "drop", "pass"]
    assert exit_code(judged) == 1
    assert _judge(tmp_path, before, before | {10: "1" * 13 + "0" * 7})["verdict"].tolist() == ["pass"] * 3


def test_a_drop_of_no_more_than_the_allowed_passes_however_significant(tmp_path):
    before, now = {10: "1" * 500}, {10: "1" * 490 + "0" * 10}
    assert _judge(tmp_path, before, now, max_drop=0.02)["verdict"].tolist() == ["pass"]
    assert _judge(tmp_path, before, now, max_drop=0.019)["verdict"].tolist() == ["drop"]


def test_a_rise_passes(tmp_path):
    assert _judge(tmp_path, {10: "0" * 49 + "1"}, {10: "1" * 50})["verdict"].tolist() == ["pass"]


def test_other_prompts_are_judged_unpaired(tmp_path):
    judged = _judge(tmp_path, {10: "1" * 50}, {10: "1" * 10 + "0" * 40}, sha="b" * 64)
    assert judged[["paired", "verdict"]].to_numpy().tolist() == [[False, "drop"]]


def test_what_the_baseline_has_and_the_run_has_not_is_unusable(tmp_path):
    judged = _judge(tmp_path, {10: "11", 20: "11", 640: "-1"}, {10: "11"})
    assert judged["verdict"].tolist() == ["pass", "unusable", "unusable"]
    assert exit_code(judged) == 2


def test_another_task_version_is_unusable(tmp_path):
    judged = _judge(tmp_path, {10: "11"}, {10: "11"}, version=2.0)
    assert judged[["verdict", "note"]].to_numpy().tolist() == [
        ["unusable", "the new run has version 2.0 of the task, this is 1.0"],
        ["new", "the baseline has version 1.0 of the task, this is 2.0"],
    ]


def test_a_length_newly_over_the_context_is_unusable(tmp_path):
    judged = _judge(tmp_path, {10: "11", 20: "1-", 40: "1-"}, {10: "1-", 20: "1-", 40: "11"})
    assert judged["verdict"].tolist() == ["unusable", "over context", "new"]
    assert exit_code(judged) == 2


def test_a_new_length_passes(tmp_path):
    judged = _judge(tmp_path, {10: "11"}, {10: "11", 20: "00"})
    assert judged["verdict"].tolist() == ["pass", "new"]
    assert exit_code(judged) == 0


def test_a_drop_is_reported_although_something_else_is_unusable(tmp_path):
    assert exit_code(_judge(tmp_path, {10: "1" * 20, 20: "11"}, {10: "0" * 20})) == 1


def test_too_few_right_answers_to_lose_are_noted(tmp_path):
    judged = _judge(tmp_path, {10: "111111", 20: "1111111"}, {10: "111111", 20: "1111111"}, alpha=0.02)
    # Two lengths: 2 / 2**6 is above 0.02, 2 / 2**7 is below.
    assert judged["note"].tolist() == ["too few right answers in the baseline for any drop to be significant", pd.NA]


@pytest.mark.parametrize("wrong", [{"max_drop": -0.1}, {"max_drop": 2.0}, {"alpha": 0.0}, {"alpha": float("nan")}])
def test_bounds_that_make_no_sense_are_refused(tmp_path, wrong):
    with pytest.raises(UserError, match=r"--(max-drop|alpha) .*: give a"):
        _judge(tmp_path, {10: "11"}, {10: "11"}, **wrong)


HOSTILE = '<img src=x>|`a`\n=cmd() "b", $x$\x00'


def _outcome(folder):
    """Judge a run of a hostile name, with a length of each verdict."""
    before = {10: "1" * 50, 20: "1" * 50, 40: "1" * 50, 80: "11-", 120: "1" * 50}
    now = {10: "1" * 50, 20: "1" * 20 + "0" * 30, 80: "11-", 120: "1" * 48 + "00", 160: "11"}
    baseline = _evaluate(folder / "before", before)
    file = write_run(folder / "now", now)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_name": HOSTILE}))
    evaluation = read_evaluation([file])
    return judge(baseline, evaluation, 0.02, 0.01), baseline, evaluation


def test_the_summary_begins_with_the_verdict_and_has_a_row_for_each_length(tmp_path):
    judged, baseline, now = _outcome(tmp_path)
    lines = summarise(judged, baseline, now, 0.02, 0.01).splitlines()
    assert lines[0] == "## copy-eval gate: FAIL, 1 of 3 lengths dropped, 1 could not be compared"
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| phonebook")]
    assert [row[1] + " " + row[-1] for row in rows] == [
        "10 pass", "20 **drop**", "40 **unusable**", "80 over context", "120 pass", "160 new",
    ]  # fmt: skip
    assert rows[1][2:-1] == ["50", "1.000", "0.400", "-0.600", "-0.724 to -0.444", "<0.0001"]
    assert rows[3][3:5] == ["over context", "over context"]
    assert "- unusable: phonebook_copy 40: the new run was not evaluated on it" in lines
    assert lines[-1] == "- lower by more than 0.02, but not significantly: phonebook_copy 120"


def test_the_summary_takes_a_models_name_for_text(tmp_path):
    judged, baseline, now = _outcome(tmp_path)
    summary = summarise(judged, baseline, now, 0.02, 0.01)
    assert "<img" not in summary
    assert r"&lt;img src=x&gt;\|\`a\`\\n=cmd() " in summary


def test_junit_has_a_test_case_for_each_length(tmp_path):
    judged, _, now = _outcome(tmp_path)
    suite = ElementTree.fromstring(to_junit(judged, now)).find("testsuite")
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "6", "failures": "1", "errors": "1", "skipped": "2",
    }  # fmt: skip
    outcomes = {case.get("name"): [child.tag for child in case] for case in suite}
    assert outcomes == {
        "phonebook_copy_10": [],
        "phonebook_copy_20": ["failure"],
        "phonebook_copy_40": ["error"],
        "phonebook_copy_80": ["skipped"],
        "phonebook_copy_120": [],
        "phonebook_copy_160": ["skipped"],
    }
    failure = suite.find("testcase/failure").get("message")
    assert failure.startswith("drop; exact match 1.000 to 0.400, change -0.600 (95 % interval -0.724 to -0.444)")
    assert "<img src=x>|`a`\\n=cmd()" in suite.get("name")
