from xml.etree import ElementTree

import pytest

from copy_eval.cli import main
from tests.reports.logged_runs import write_run


@pytest.fixture
def baseline(tmp_path, capsys):
    """A baseline that ``gate --update`` wrote."""
    file = tmp_path / "baseline.json"
    results = write_run(tmp_path, {10: "1" * 50, 20: "1" * 50}, model="before")
    assert main(["gate", str(results), "--baseline", str(file), "--update"]) == 0
    assert capsys.readouterr().out == f"wrote {file}: before, 2 lengths\n"
    return file


def test_the_results_of_the_baseline_pass(tmp_path, baseline, capsys):
    assert main(["gate", str(tmp_path / "before"), "--baseline", str(baseline)]) == 0
    assert capsys.readouterr().out.startswith("## copy-eval gate: PASS, none of 2 lengths dropped\n")


def test_a_drop_is_exit_code_1_and_stands_in_the_summary_and_in_the_junit_file(tmp_path, baseline, capsys):
    results = write_run(tmp_path, {10: "1" * 50, 20: "1" * 30 + "0" * 20}, model="after")
    summary, junit = tmp_path / "summary.md", tmp_path / "gate.xml"
    summary.write_text("# The job\n")
    files = ["--summary", str(summary), "--junit", str(junit)]
    assert main(["gate", str(results), "--baseline", str(baseline), *files]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("## copy-eval gate: FAIL, 1 of 2 lengths dropped\n")
    assert summary.read_text() == "# The job\n" + printed
    assert ElementTree.parse(junit).find("testsuite").get("failures") == "2"


def test_the_allowed_drop_and_the_level_of_significance_can_be_set(tmp_path, baseline):
    results = write_run(tmp_path, {10: "1" * 50, 20: "1" * 30 + "0" * 20}, model="after")
    gate = ["gate", str(results), "--baseline", str(baseline)]
    assert main([*gate, "--max-drop", "0.4"]) == 0
    assert main([*gate, "--alpha", "1e-6"]) == 0


@pytest.mark.parametrize(
    ("run", "note"),
    [
        ({"answers": {10: "1" * 50}}, "- unusable: phonebook_copy 20: the new run was not evaluated on it\n"),
        (
            {"answers": {10: "11", 20: "11"}, "version": 2.0},
            "- unusable: phonebook_copy 10, 20: the new run has version 2.0 of the task, this is 1.0\n",
        ),
        (
            {"answers": {10: "1" * 50, 20: "1-"}},
            "- unusable: phonebook_copy 20: over the context now, not in the baseline\n",
        ),
    ],
)
def test_lengths_that_cannot_be_compared_are_exit_code_2(tmp_path, baseline, capsys, run, note):
    results = write_run(tmp_path, model="after", **run)
    assert main(["gate", str(results), "--baseline", str(baseline)]) == 2
    printed = capsys.readouterr().out
    assert printed.startswith("## copy-eval gate: UNUSABLE, ")
    assert note in printed


def test_bad_input_is_one_line_and_exit_code_2(tmp_path, baseline, capsys):
    for arguments, message in (
        ([str(tmp_path / "nowhere"), "--baseline", str(baseline)], f"no such file or folder: {tmp_path / 'nowhere'}"),
        ([str(tmp_path / "before"), "--baseline", str(tmp_path)], f"cannot read {tmp_path}: Is a directory"),
        (
            [str(tmp_path / "before"), "--baseline", str(baseline / "b.json"), "--update"],
            f"cannot write to {baseline}: File exists",
        ),
        (
            [str(tmp_path / "before"), "--baseline", str(baseline), "--update", "--junit", "x.xml"],
            "--update writes a baseline and nothing else; leave out --summary and --junit",
        ),
    ):
        assert main(["gate", *arguments]) == 2
        assert capsys.readouterr().err == f"copy-eval: {message}\n"


def test_samples_that_do_not_match_their_results_are_named(tmp_path, baseline, capsys, caplog):
    results = write_run(tmp_path, {10: "1" * 50, 20: "1" * 49 + "0"}, model="after")
    samples = next(results.parent.glob("samples_*_20_*"))
    samples.write_text(samples.read_text().replace('"exact_match": 0.0', '"exact_match": 1.0'))
    assert main(["gate", str(results), "--baseline", str(baseline)]) == 0
    assert f"skipped {samples}: exact_match is 1.0000, but 0.9800 in the results" in caplog.text
    assert "- unpaired: phonebook_copy 20: no usable samples of the new run (--log_samples)" in capsys.readouterr().out


def test_a_baseline_that_could_never_fail_is_told_when_it_is_written(tmp_path, capsys):
    results = write_run(tmp_path, {10: "1" * 50, 20: "1" * 3}, model="before")
    assert main(["gate", str(results), "--baseline", str(tmp_path / "b.json"), "--update"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[1:] == [
        "too few prompts or right answers for any drop to be significant, evaluate more: phonebook_copy_20"
    ]


def test_a_baseline_without_samples_says_what_that_costs(tmp_path, capsys):
    results = write_run(tmp_path, {10: "11", 20: "11"}, model="before", log_samples=False)
    assert main(["gate", str(results), "--baseline", str(tmp_path / "baseline.json"), "--update"]) == 0
    assert "2 without samples, for which comparisons are unpaired (--log_samples)" in capsys.readouterr().out
