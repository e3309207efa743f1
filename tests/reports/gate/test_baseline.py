import json

import pytest

from copy_eval.errors import UserError
from copy_eval.reports.comparison.evaluation import read_evaluation
from copy_eval.reports.frames.result_files import samples_file
from copy_eval.reports.gate.baseline import read_baseline, to_json
from tests.reports.logged_runs import write_run

MANY_ANSWERS = "1101" * 50 + "0"


@pytest.fixture
def baseline(tmp_path):
    """The file of a baseline with a length of samples, one over the context, and one without samples."""
    write_run(tmp_path, {10: MANY_ANSWERS, 640: "1-1"}, date=1.0)
    write_run(
        tmp_path,
        {25: "1101"},
        task="c4_copy",
        date=2.0,
        log_samples=False,
        metadata={"text_source": "allenai/c4 @ 1588ec454ef"},
    )
    file = tmp_path / "baseline.json"
    file.write_text(to_json(read_evaluation([tmp_path])))
    return file


def test_a_baseline_holds_the_evaluation_that_it_was_made_of(baseline):
    evaluation = read_baseline(baseline)
    assert (evaluation.model, evaluation.revision, evaluation.label) == ("some/model", "main", "some/model")
    c4, short, long = evaluation.scores
    assert (c4.task_name, c4.n, c4.right, c4.text, c4.answers) == ("c4_copy_25", 4, 3, "allenai/c4 @ 1588ec454ef", None)
    assert (c4.length_name, c4.unit) == ("25", "tokens of the text")
    assert "".join(str(int(answer)) for answer in short.answers.right) == MANY_ANSWERS
    assert short.answers.prompts.tolist() == list(range(len(MANY_ANSWERS)))
    assert evaluation.setup == {"adapter": "pythia"}
    assert (short.n, short.right, short.task_version, short.prompts_sha256) == (201, 150, "1.0", "a" * 64)
    assert (long.length, long.n, long.right, long.over_context) == (640, 3, None, True)


def test_a_baseline_has_a_line_for_each_length_and_is_small(baseline):
    lines = baseline.read_text().splitlines()
    assert sum("task_name" in line for line in lines) == 3
    assert max(map(len, lines)) < 500


def test_answers_to_some_of_the_prompts_keep_their_places(tmp_path):
    file = write_run(tmp_path, {10: "101"})
    samples = samples_file(file, "phonebook_copy_10")
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    for line, place in zip(lines, (3, 7, 11), strict=True):
        line["doc"]["index"] = place
    samples.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "baseline.json").write_text(to_json(read_evaluation([file])))
    (score,) = read_baseline(tmp_path / "baseline.json").scores
    assert score.answers.prompts.tolist() == [3, 7, 11]
    assert score.answers.right.tolist() == [True, False, True]


def test_a_length_without_a_score_makes_no_baseline(tmp_path):
    file = write_run(tmp_path, {10: "11"})
    file.write_text(file.read_text().replace('"exact_match,none": 1.0', '"exact_match,none": NaN'))
    with pytest.raises(UserError, match="phonebook_copy_10 has no score"):
        to_json(read_evaluation([file]))


def test_a_missing_baseline_says_how_to_write_one(tmp_path):
    with pytest.raises(UserError, match=r"there is no baseline .*none\.json; write one with --update"):
        read_baseline(tmp_path / "none.json")


@pytest.mark.parametrize(
    "change",
    [
        {"n": 200},
        {"n": 0},
        {"n": 10**30},
        {"prompts": [0, 0]},
        {"surprise": 1},
        {"right": 151},
        {"right": "many"},
        {"answers": "ff"},
        {"answers": "no hexadecimal"},
        {"length": None},
    ],
)
def test_a_damaged_baseline_is_refused(baseline, change):
    content = json.loads(baseline.read_text())
    content["scores"][1] |= change
    baseline.write_text(json.dumps(content))
    with pytest.raises(UserError, match="is not a whole baseline"):
        read_baseline(baseline)


def test_a_baseline_cut_off_anywhere_is_refused(baseline):
    text = baseline.read_text()
    for size in range(0, len(text) - 2, 10):
        baseline.write_text(text[:size])
        with pytest.raises(UserError, match="is not a whole baseline"):
            read_baseline(baseline)


@pytest.mark.parametrize("content", ["[]", "3", "{}", '{"results": {}}'])
def test_another_json_file_is_no_baseline(tmp_path, content):
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(UserError, match="is not a whole baseline"):
        read_baseline(tmp_path / "other.json")


def test_a_baseline_of_another_schema_is_named(baseline):
    baseline.write_text(baseline.read_text().replace('"copy_eval_baseline": 3', '"copy_eval_baseline": 2'))
    with pytest.raises(UserError, match="schema 2, this version reads 3"):
        read_baseline(baseline)
