"""The results folder: what is done, whose it is, and files that are whole or not there."""

import json
import os
import resource
import shutil
from dataclasses import replace

import pytest

from copy_eval.errors import UserError
from copy_eval.runs.results_folder import (
    Prompts,
    Result,
    claim,
    is_done,
    read_done,
    refuse_other_prompts,
    refuse_other_suite,
    write_failures,
)
from copy_eval.runs.suite import Cell, ModelEntry, Suite

MODEL = ModelEntry("mine", "hf", "EleutherAI/pythia-410m", dtype="bfloat16")
CELL = Cell(MODEL, "step1000", "phonebook_copy_10")
PROMPTS = Prompts("1.0", "abc")
RESULT = Result(None, "hf", MODEL.arguments("step1000"), CELL.task, PROMPTS, date=1e9)


def test_the_result_of_a_cell_is_known_again():
    assert is_done(CELL, PROMPTS, [RESULT])


@pytest.mark.parametrize(
    "same", [{"batch_size": 64}, {"name": "other"}, {"gpus": 1}, {"model_args": {"device": "cpu"}}]
)
def test_what_leaves_the_answers_as_they_are_does_not_matter(same):
    assert is_done(replace(CELL, model=replace(MODEL, **same)), PROMPTS, [RESULT])


@pytest.mark.parametrize(
    "change",
    [{"adapter": "pythia"}, {"dtype": "float32"}, {"pretrained": "EleutherAI/pythia-1b"}, {"model_args": {"draft": 0}}],
)
def test_another_way_to_load_the_model_is_another_cell(change):
    assert not is_done(replace(CELL, model=replace(MODEL, **change)), PROMPTS, [RESULT])


def test_another_revision_task_version_or_text_is_another_cell():
    assert not is_done(replace(CELL, revision="step2000"), PROMPTS, [RESULT])
    assert not is_done(replace(CELL, task="phonebook_copy_20"), PROMPTS, [RESULT])
    assert not is_done(CELL, Prompts("1.1", "abc"), [RESULT])
    assert not is_done(CELL, Prompts("1.0", "xyz"), [RESULT])


def test_a_checkpoint_that_changed_after_its_evaluation_is_evaluated_again(tmp_path):
    weights = tmp_path / "model.safetensors"
    weights.touch()
    cell = Cell(ModelEntry("mine", "hf", str(tmp_path)), None, CELL.task)
    result = replace(RESULT, model_args={"pretrained": str(tmp_path)}, date=1000.0)
    os.utime(weights, (999, 999))
    assert is_done(cell, PROMPTS, [result])
    os.utime(weights, (1001, 1001))
    assert not is_done(cell, PROMPTS, [result])


def test_models_and_tasks_may_be_added_to_a_folder(tmp_path, suite):
    refuse_other_suite(tmp_path / "new", suite)
    claim(tmp_path / "new", suite)
    refuse_other_suite(tmp_path / "new", replace(suite, models=(MODEL,), tasks=("c4_copy_25",)))


def test_the_folder_of_another_suite_is_refused(tmp_path, suite):
    claim(tmp_path, suite)
    with pytest.raises(UserError, match="holds the results of suite 'small': name another folder"):
        refuse_other_suite(tmp_path, replace(suite, name="other"))


@pytest.mark.parametrize("content", ["", "- 1", "[", "models: []"])
def test_a_marker_that_is_no_suite_is_refused(tmp_path, suite, content):
    (tmp_path / "suite.yaml").write_text(content)
    with pytest.raises(UserError, match="is not a suite"):
        refuse_other_suite(tmp_path, suite)


def test_a_folder_with_other_things_is_left_alone(tmp_path, suite):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="is not empty"):
        refuse_other_suite(tmp_path, suite)


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path, suite):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="Not a directory"):
        refuse_other_suite(tmp_path / "file", suite)
    with pytest.raises(UserError, match="cannot write to"):
        claim(tmp_path / "file" / "results", suite)


def test_other_prompts_or_another_version_are_refused(results):
    [result] = [result for result in read_done(results / "tiny-pythia") if result.task == "phonebook_copy_10"]
    refuse_other_prompts(results, {"phonebook_copy_10": result.prompts, "c4_copy_25": PROMPTS})
    with pytest.raises(UserError, match=r"other prompts of phonebook_copy_10.*name another folder"):
        refuse_other_prompts(results, {"phonebook_copy_10": replace(result.prompts, sha256="other")})
    with pytest.raises(UserError, match=r"version 1\.0 of phonebook_copy_10, this is version 2\.0"):
        refuse_other_prompts(results, {"phonebook_copy_10": replace(result.prompts, version="2.0")})


def test_a_truncated_result_is_named(results, tmp_path):
    copied = shutil.copytree(results / "tiny-pythia", tmp_path / "tiny-pythia")
    file = next(copied.glob("results_*.json"))
    file.write_text(file.read_text()[:-100])
    with pytest.raises(UserError, match=rf"{file} is not a whole result file of lm-eval's: delete it"):
        list(read_done(copied))


def test_failures_are_those_of_the_last_run(tmp_path):
    write_failures(tmp_path, [{"task": "phonebook_copy_10", "reason": "two\nlines"}])
    assert [json.loads(line) for line in (tmp_path / "failures.jsonl").read_text().splitlines()] == [
        {"task": "phonebook_copy_10", "reason": "two\nlines"}
    ]
    write_failures(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_leaves_the_old_file_whole(tmp_path, suite):
    claim(tmp_path, suite)
    before = (tmp_path / "suite.yaml").read_text()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # a write beyond it fails as on a full disk
    try:
        with pytest.raises(UserError, match="cannot write to"):
            claim(tmp_path, Suite("small", (MODEL,) * 9, ("c4_copy_25",)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [file.name for file in tmp_path.iterdir()] == ["suite.yaml"]
    assert (tmp_path / "suite.yaml").read_text() == before
