"""Files with values of the wrong kind: what is unusable is named in one line, and nothing ends in a traceback."""

import copy
import json
import logging
import random

import pytest

from copy_eval.errors import UserError
from copy_eval.reports.comparison.comparison import compare
from copy_eval.reports.comparison.evaluation import read_evaluation
from copy_eval.reports.comparison.text import render
from copy_eval.reports.frames.result_files import samples_file
from copy_eval.reports.gate.baseline import read_baseline, to_json
from copy_eval.reports.gate.outcome import summarise, to_junit
from copy_eval.reports.gate.verdicts import judge
from copy_eval.reports.report import build_report
from copy_eval.reports.report_files import render_files
from tests.reports.logged_runs import write_run
from tests.reports.result_files import write_results

ODD = [
    None, True, False, 0, -1, 1, 2, 2.5, 1e308, -1e308, float("inf"), float("-inf"), float("nan"),
    10**19, 10**30, -(10**19), "", " ", "0", "nan", "N/A", "over context", "x" * 100_000,
    "\ud800", "\u202e<script>", "=cmd()", "a\nb", "\x00", "../../etc", [], [1], [[]], {}, {"a": 1}, {"": None},
]  # fmt: skip
"""Values that a file may hold in any place."""


def places_of(content, place=()):
    """Yield the place of every value in a JSON document."""
    yield place
    for key, value in (
        content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    ):
        yield from places_of(value, (*place, key))


def mutate(rng, content):
    """Return a copy in which one to three places hold something odd, are gone, stand twice, or have another name."""
    content = copy.deepcopy(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        *path, key = rng.choice([place for place in places_of(content) if place])
        parent = content
        for step in path:
            parent = parent[step]
        deed = rng.random()
        if deed < 0.75:
            parent[key] = rng.choice(ODD)
        elif deed < 0.85:
            del parent[key]
        elif isinstance(parent, list):
            parent.append(parent[key])
        else:
            parent[rng.choice(["", "phonebook_copy_7", "\ud800", "a,b", "x" * 300])] = parent.pop(key)
    return content


def problem_of(action):
    """Run an action that may refuse its input, and return what it says then."""
    try:
        action()
    except UserError as error:
        return str(error)
    return ""


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.WARNING)
    return caplog


def assert_lines(problem, log):
    for line in [problem, *log.messages]:
        assert "\n" not in line
        line.encode()
    log.clear()


def test_a_hundred_mutations_of_a_result_file_end_in_a_report_or_in_a_line(tmp_path, lines):
    rng = random.Random(7)
    ours, others = (
        {
            "adapter": "pythia",
            "memory_bytes": {"phonebook_copy_10": 30.0, "phonebook_copy_20": 30},
            "trained": {
                "experiment": "mine", "size": "cpu", "task": "phonebook_copy", "architecture": "rope", "seed": seed,
                "lengths": [10, 20], "examples": 100,
            },
        }
        for seed in (0, 1)
    )  # fmt: skip
    file = write_results(
        tmp_path, {10: 1.0, 20: 0.5, 320: "over context"}, log_samples=True, model_num_parameters=7, copy_eval=ours
    )
    write_results(tmp_path, {10: 0.5, 20: 0.5}, model="other", copy_eval=others)
    whole = json.loads(file.read_text())
    reports = set()
    for _ in range(100):
        file.write_text(json.dumps(mutate(rng, whole)))

        def report():
            built = build_report([tmp_path])
            # Drawing takes a second, so the first few different ones are drawn.
            key = built.lines.to_csv() + built.depths.to_csv() + built.wrong_answers.to_csv()
            if key not in reports and len(reports) < 4:
                reports.add(key)
                assert all(render_files(built).values())

        # The other file is whole, so there is always something to report.
        assert problem_of(report) == ""
        assert_lines("", lines)
    assert len(reports) == 4


def test_mutations_of_samples_are_named_and_the_results_reported(tmp_path, lines):
    rng = random.Random(8)
    file = write_results(tmp_path, {10: 0.5}, log_samples=True)
    samples = samples_file(file, "phonebook_copy_10")
    first, *others = samples.read_text().splitlines()
    for _ in range(60):
        samples.write_text("\n".join([json.dumps(mutate(rng, json.loads(first))), *others]))
        assert build_report([file]).accuracy["accuracy"].tolist() == [0.5]
        assert_lines("", lines)


def test_mutations_of_what_is_compared_end_in_a_comparison_or_in_a_line(tmp_path, lines):
    rng = random.Random(9)
    before = read_evaluation([write_run(tmp_path, {10: "1" * 20, 20: "1" * 20}, model="before")])
    file = write_run(tmp_path, {10: "1" * 20, 20: "1" * 10 + "0" * 10}, model="after")
    whole = json.loads(file.read_text())
    for _ in range(60):
        file.write_text(json.dumps(mutate(rng, whole)))

        def compare_both():
            after = read_evaluation([file])
            for fmt in ("table", "csv", "json", "markdown"):
                render(compare(before, after), before, after, fmt).encode()

        assert_lines(problem_of(compare_both), lines)


def test_mutations_of_a_baseline_end_in_a_verdict_or_in_a_line(tmp_path, lines):
    rng = random.Random(10)
    now = read_evaluation([write_run(tmp_path, {10: "1" * 20, 20: "1" * 20})])
    file = tmp_path / "baseline.json"
    file.write_text(to_json(now))
    whole = json.loads(file.read_text())
    for _ in range(300):
        file.write_text(json.dumps(mutate(rng, whole)))

        def gate():
            baseline = read_baseline(file)
            judged = judge(baseline, now, 0.02, 0.01)
            (summarise(judged, baseline, now, 0.02, 0.01) + to_junit(judged, now)).encode()

        assert_lines(problem_of(gate), lines)
