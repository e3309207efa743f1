"""The results folder: what is done, whose it is, and files that are whole or not there."""

import json
import resource
import shutil
from dataclasses import replace

import pytest

from copy_eval.errors import UserError
from copy_eval.runs.model_entries import ModelEntry
from copy_eval.runs.results_folder import (
    Result,
    claim,
    folder_of,
    is_done,
    read_done,
    refuse_other_prompts,
    refuse_other_suite,
    write_failures,
)
from copy_eval.runs.suite import Cell, Suite
from copy_eval.runs.task_loading import Prompts

MODEL = ModelEntry("mine", "hf", "EleutherAI/pythia-410m", dtype="bfloat16")
CELL = Cell(MODEL, "step1000", "phonebook_copy_10")
PROMPTS = Prompts("1.0", "abc", 2)
RESULT = Result(
    None, ("EleutherAI/pythia-410m", "step1000"), {"adapter": "hf", "dtype": "bfloat16"}, CELL.task, PROMPTS, None
)


def test_the_result_of_a_cell_is_known_again():
    assert is_done(CELL, PROMPTS, None, [RESULT])


@pytest.mark.parametrize(
    "same",
    [
        {"batch_size": 64},
        {"name": "other"},
        {"gpus": 1},
        {"model_args": {"device": "cpu"}},
        {"model_args": {"parallelize": True}},
        {"model_args": {"tensor_parallel_size": 2}},
        {"model_args": {"tp_size": 2}},
        {"model_args": {"draft": 0}},
    ],
)
def test_what_leaves_the_answers_as_they_are_does_not_matter(same):
    assert is_done(replace(CELL, model=replace(MODEL, **same)), PROMPTS, None, [RESULT])


@pytest.mark.parametrize("shown", ["chat_template", "system_instruction", "gen_kwargs"])
def test_a_result_of_prompts_in_a_template_is_not_the_cells(shown):
    assert not is_done(CELL, PROMPTS, None, [replace(RESULT, setup={**RESULT.setup, shown: "f"})])


@pytest.mark.parametrize(
    "change",
    [
        {"adapter": "pythia"},
        {"dtype": "float32"},
        {"pretrained": "EleutherAI/pythia-1b"},
        {"model_args": {"max_length": 64}},
    ],
)
def test_another_way_to_load_the_model_is_another_cell(change):
    assert not is_done(replace(CELL, model=replace(MODEL, **change)), PROMPTS, None, [RESULT])


def test_another_revision_task_version_or_text_is_another_cell():
    assert not is_done(replace(CELL, revision="step2000"), PROMPTS, None, [RESULT])
    assert not is_done(replace(CELL, task="phonebook_copy_20"), PROMPTS, None, [RESULT])
    assert not is_done(CELL, Prompts("1.1", "abc", 2), None, [RESULT])
    assert not is_done(CELL, Prompts("1.0", "xyz", 2), None, [RESULT])


def test_a_result_of_fewer_prompts_is_not_the_cells():
    assert not is_done(CELL, PROMPTS, None, [replace(RESULT, prompts=replace(PROMPTS, count=1))])


def test_other_weights_are_another_cell_and_so_is_a_result_that_does_not_say_which_it_had():
    assert is_done(CELL, PROMPTS, "these", [replace(RESULT, weights="these")])
    assert not is_done(CELL, PROMPTS, "these", [replace(RESULT, weights="those")])
    assert not is_done(CELL, PROMPTS, "these", [RESULT])


def test_a_name_with_an_at_sign_and_a_revision_are_two_folders(tmp_path):
    named = folder_of(tmp_path, Cell(ModelEntry("x@y", "hf", "./x@y"), None, CELL.task))
    revised = folder_of(tmp_path, Cell(ModelEntry("x", "hf", "x"), "y", CELL.task))
    assert revised == tmp_path / "x@y"
    assert named != revised
    assert named.parent == tmp_path


def test_models_and_tasks_may_be_added_to_a_folder(tmp_path, suite):
    refuse_other_suite(tmp_path / "new", suite)
    claim(tmp_path / "new", suite)
    refuse_other_suite(tmp_path / "new", replace(suite, models=(MODEL,), tasks=("c4_copy_25",)))


def test_the_folder_of_another_suite_is_refused(tmp_path, suite):
    claim(tmp_path, suite)
    with pytest.raises(UserError, match="holds the results of suite 'small': name another folder"):
        refuse_other_suite(tmp_path, replace(suite, name="other"))


@pytest.mark.parametrize("content", ["", "- 1", "[", "models: []", "name: 2024-13-45"])
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
    said = []
    refuse_other_prompts(results, {"phonebook_copy_10": result.prompts, "c4_copy_25": PROMPTS}, said.append)
    refuse_other_prompts(results, {"phonebook_copy_10": replace(result.prompts, count=9)}, said.append)
    with pytest.raises(UserError, match=r"other prompts of phonebook_copy_10.*name another folder"):
        refuse_other_prompts(results, {"phonebook_copy_10": replace(result.prompts, sha256="other")}, said.append)
    with pytest.raises(UserError, match=r"version 1\.1 of phonebook_copy_10, this is version 2\.0"):
        refuse_other_prompts(results, {"phonebook_copy_10": replace(result.prompts, version="2.0")}, said.append)
    assert said == []


HELLASWAG = {
    "results": {"hellaswag": {"alias": "hellaswag", "acc,none": 0.25}},
    "configs": {"hellaswag": {"task": "hellaswag", "metadata": {"version": 1.0}}},
    "versions": {"hellaswag": 1.0},
    "n-samples": {"hellaswag": {"original": 10042, "effective": 8}},
    "config": {"model": "hf", "model_args": {"pretrained": "gpt2"}},
}
FOREIGN = [
    HELLASWAG,
    HELLASWAG | {"configs": {"hellaswag": {"metadata": None}}},
    HELLASWAG | {"configs": {"hellaswag": {"metadata": {"prompts_sha256": "abc"}}}, "config": {"model": "hf"}},
    {"results": []},
    {"results": {"a": 1}, "configs": []},
    {"epoch": 3, "loss": 2.5},
    ["a", "list"],
    None,
    7,
]


@pytest.mark.parametrize("content", FOREIGN)
def test_what_is_no_result_of_ours_is_passed_over_without_a_word(content, tmp_path):
    (tmp_path / "results_of_another.json").write_text(json.dumps(content))
    said = []
    assert list(read_done(tmp_path, said.append)) == []
    assert said == []


def test_the_tasks_of_a_file_with_a_group_and_a_foreign_task_are_read(results, tmp_path):
    file = next((results / "tiny-pythia").glob("results_*.json"))
    [ours] = [result for result in read_done(file.parent) if result.file == file]
    report = json.loads(file.read_text())
    for part in ("results", "configs", "versions", "n-samples"):
        report[part] |= HELLASWAG[part]
    report["results"]["phonebook_copy"] = {"alias": "phonebook_copy"}
    (tmp_path / "results_mixed.json").write_text(json.dumps(report))
    assert list(read_done(tmp_path)) == [replace(ours, file=tmp_path / "results_mixed.json")]


def test_a_truncated_result_is_told_in_one_line_and_the_others_are_read(results, tmp_path):
    copied = shutil.copytree(results / "tiny-pythia", tmp_path / "tiny-pythia")
    file, *others = sorted(copied.glob("results_*.json"))
    truncated = file.read_text()[:-100]
    file.write_text(truncated)
    (copied / "results_folder.json").mkdir()
    said = []
    assert [result.file for result in read_done(copied, said.append)] == others
    assert [line.partition(" is not a whole result file (")[0] for line in said] == [
        f"not read: {file}",
        f"not read: {copied / 'results_folder.json'}",
    ]
    assert all(len(line.splitlines()) == 1 for line in said)
    assert file.read_text() == truncated


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
