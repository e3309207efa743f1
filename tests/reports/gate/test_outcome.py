import json
from xml.etree import ElementTree

from copy_eval.reports.comparison.evaluation import read_evaluation
from copy_eval.reports.gate.outcome import summarise, to_junit
from copy_eval.reports.gate.verdicts import judge
from tests.reports.logged_runs import write_run

HOSTILE = '<img src=x>|`a`\n=cmd() "b", $x$\x00'


def _outcome(folder):
    """Judge a run of a hostile name, with a length of each verdict."""
    before = {10: "1" * 50, 20: "1" * 50, 40: "1" * 50, 80: "11-", 120: "1" * 50}
    now = {10: "1" * 50, 20: "1" * 20 + "0" * 30, 80: "11-", 120: "1" * 48 + "00", 160: "11"}
    baseline = read_evaluation([write_run(folder / "before", before)])
    file = write_run(folder / "now", now)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_name": HOSTILE}))
    evaluation = read_evaluation([file])
    return judge(baseline, evaluation, 0.02, 0.01), baseline, evaluation


def test_the_summary_begins_with_the_verdict_and_has_a_row_for_each_length(tmp_path):
    judged, baseline, now = _outcome(tmp_path)
    lines = summarise(judged, baseline, now, 0.02, 0.01).splitlines()
    assert lines[0] == "## copy-eval gate: FAIL, 1 of 3 lengths dropped, 1 cannot be judged"
    assert "- phonebook_copy: the smallest drop that is seen with a probability of 80%: at one length " in "\n".join(
        lines
    )
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| phonebook")]
    assert [row[1] + " " + row[-1] for row in rows] == [
        "10 pass", "20 **drop**", "40 **unusable**", "80 over context", "120 pass", "160 new", "all **drop**",
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
        "tests": "7", "failures": "2", "errors": "1", "skipped": "2",
    }  # fmt: skip
    outcomes = {case.get("name"): [child.tag for child in case] for case in suite}
    assert outcomes == {
        "phonebook_copy_10": [],
        "phonebook_copy_20": ["failure"],
        "phonebook_copy_40": ["error"],
        "phonebook_copy_80": ["skipped"],
        "phonebook_copy_120": [],
        "phonebook_copy_160": ["skipped"],
        "phonebook_copy, all lengths": ["failure"],
    }
    failure = suite.find("testcase/failure").get("message")
    assert failure.startswith("drop; exact match 1.000 to 0.400, change -0.600 (95 % interval -0.724 to -0.444)")
    assert "<img src=x>|`a`\\n=cmd()" in suite.get("name")
