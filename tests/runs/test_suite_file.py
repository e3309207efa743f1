"""Suites: what a good file means, and what a bad one is told."""

import pickle
from pathlib import Path

import pytest

from copy_eval.errors import UserError
from copy_eval.runs.suite_file import SETTINGS, dump_suite, load_suite, packaged_suites, suite_of_options
from copy_eval.tasks.c4 import dataset as c4
from copy_eval.tasks.phonebook import dataset as phonebook
from copy_eval.tasks.squad import dataset as squad

GOOD = """\
models:
  - adapter: pythia
    pretrained: EleutherAI/pythia-410m
    revision: [step1000, main]
    dtype: bfloat16
    batch_size: 16
tasks: [phonebook_copy_10, c4_copy_25]
settings:
  num_samples: 8
"""


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> str:
        file = tmp_path / "suite.yaml"
        file.write_text(text)
        return str(file)

    return write


def make_checkpoints(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text("{}")


def test_a_cell_is_a_model_at_a_revision_on_a_task(write):
    cells = load_suite(write(GOOD), {}).cells()
    assert [(cell.label, cell.task) for cell in cells] == [
        ("pythia-410m@step1000", "phonebook_copy_10"),
        ("pythia-410m@step1000", "c4_copy_25"),
        ("pythia-410m@main", "phonebook_copy_10"),
        ("pythia-410m@main", "c4_copy_25"),
    ]
    assert cells[0].model.arguments("step1000") == {
        "pretrained": "EleutherAI/pythia-410m",
        "revision": "step1000",
        "dtype": "bfloat16",
    }


def test_what_is_left_out_is_left_to_lm_eval(write):
    suite = load_suite(write("models: [{adapter: hf, pretrained: gpt2}]\ntasks: phonebook_copy_10"), {})
    model = suite.models[0]
    assert (suite.name, model.name, model.batch_size) == ("suite", "gpt2", 1)
    assert model.arguments(None) == {"pretrained": "gpt2"}


def test_a_task_that_is_asked_for_twice_is_evaluated_once(write):
    suite = load_suite(write(GOOD.replace("[phonebook_copy_10", "[phonebook_copy_40, phonebook_copy")), {})
    assert suite.tasks[:3] == ("phonebook_copy_40", "phonebook_copy_10", "phonebook_copy_20")
    assert len(suite.tasks) == len(set(suite.tasks)) == 7


def test_cells_can_be_sent_to_another_process(write):
    cells = load_suite(write(GOOD), {}).cells()
    assert pickle.loads(pickle.dumps(cells)) == cells
    assert len({*cells, *pickle.loads(pickle.dumps(cells))}) == 4


def test_a_pattern_is_a_model_for_each_folder_in_natural_order(write, tmp_path):
    make_checkpoints(tmp_path / "runs", "step1000", "step512", "step64")
    suite = load_suite(write("models: [{adapter: pythia, pretrained: runs/step*}]\ntasks: phonebook_copy"), {})
    assert [model.name for model in suite.models] == ["step64", "step512", "step1000"]
    assert suite.models[0].pretrained == str(tmp_path / "runs" / "step64")


def test_models_of_a_pattern_are_told_apart_by_all_that_it_leaves_open_and_by_the_name(write, tmp_path):
    make_checkpoints(tmp_path, "runs/a/final", "runs/b/final")
    text = "models: [{name: mine, adapter: hf, pretrained: ./runs/*/final}]\ntasks: phonebook_copy"
    assert [model.name for model in load_suite(write(text), {}).models] == ["mine-a/final", "mine-b/final"]


def test_relative_paths_start_from_the_suites_own_folder(write, tmp_path):
    make_checkpoints(tmp_path, "mine")
    for name in ("text.jsonl", "tokenizer.json"):
        (tmp_path / name).touch()
    suite = load_suite(
        write(
            "models: [{adapter: pythia, pretrained: mine}]\ntasks: c4_copy\n"
            "settings: {c4_path: text.jsonl, length_tokenizer: tokenizer.json}"
        ),
        {},
    )
    assert suite.models[0].pretrained == str(tmp_path / "mine")
    assert suite.settings == {
        "c4_path": str(tmp_path / "text.jsonl"),
        "length_tokenizer": str(tmp_path / "tokenizer.json"),
    }


def test_settings_of_the_command_line_come_before_the_files(write):
    suite = load_suite(write(GOOD), {"num_samples": "3", "length_tokenizer": "tiny-pythia"})
    assert suite.settings == {"num_samples": 3, "length_tokenizer": "tiny-pythia"}


def test_the_settings_are_those_of_the_tasks():
    assert sorted(SETTINGS) == sorted({*phonebook.SETTINGS, *c4.SETTINGS, *squad.SETTINGS})


def test_a_suite_that_was_written_out_reads_the_same(write, tmp_path):
    make_checkpoints(tmp_path, "runs/step1", "runs/step2")
    text = GOOD + "  data_seed: 7\n"
    text = text.replace(
        "tasks:", "  - {adapter: hf, pretrained: runs/*, gpus: 0.5, model_args: {parallelize: true}}\ntasks:"
    )
    suite = load_suite(write(text), {})
    assert load_suite(write(dump_suite(suite)), {}) == suite


@pytest.mark.parametrize("name", ["mamba-family", "paper", "pythia-training", "tiny"])
def test_the_packaged_suites_are_whole(name):
    assert name in packaged_suites()
    assert load_suite(name, {}).cells()


def test_the_command_line_describes_a_suite_of_one_model():
    suite = suite_of_options(
        {"adapter": "pythia", "pretrained": "tiny-pythia", "batch_size": "4"},
        ["phonebook_copy_10"],
        {"num_samples": "2"},
    )
    assert [cell.label for cell in suite.cells()] == ["tiny-pythia"]
    assert (suite.models[0].batch_size, suite.settings) == (4, {"num_samples": 2})


BAD = [
    ("adapter: pythia", "adaptor: pythia", "2: unknown key 'adaptor' of a model; did you mean 'adapter'?"),
    ("revision:", "revisio:", "4: unknown key 'revisio' of a model; did you mean 'revision'?"),
    ("settings:", "settinks:", "8: unknown key 'settinks' of a suite; did you mean 'settings'?"),
    ("num_samples", "num_sample", "9: unknown setting 'num_sample'; did you mean 'num_samples'?"),
    ("c4_copy_25", "c4_copy_26", "7: unknown task 'c4_copy_26'; did you mean 'c4_copy_25'?"),
    ("adapter: pythia", "adapter: pythai", "2: unknown adapter 'pythai'; did you mean 'pythia'?"),
    ("adapter: pythia", "name: x", "2: adapter must be a name or a path, not None"),
    ("bfloat16", "bf16", "5: unknown dtype 'bf16'; did you mean 'bfloat16'?"),
    ("batch_size: 16", "batch_size: 0", "6: batch_size must be a whole number of at least 1, not 0"),
    ("batch_size: 16", "gpus: -1", "6: gpus must be a number of at least 0, not -1"),
    ("batch_size: 16", "model_args: {dtype: float32}", "6: dtype stands beside model_args, not in it"),
    ("batch_size: 16", "dtype: float32", "6: the key 'dtype' stands here a second time"),
    ("[step1000, main]", "[step1000, step1000]", "4: revision must list at least one revision, and none twice"),
    ("[step1000, main]", "3000", "4: revision must be text or a list of texts; put 3000 in quotes"),
    ("EleutherAI/pythia-410m", "runs/step*", "3: pretrained=runs/step*: no folder matches"),
    ("EleutherAI/pythia-410m", "./nowhere", "3: pretrained=./nowhere: no such folder"),
    ("EleutherAI/pythia-410m", "tiny-pythai", "3: pretrained=tiny-pythai: no such checkpoint; did you mean tiny-"),
    ("num_samples: 8", "num_samples: many", "9: num_samples must be a whole number of at least 1, not 'many'"),
    ("num_samples: 8", "c4_path: nowhere.jsonl", "9: c4_path=nowhere.jsonl: no such file"),
    ("[phonebook_copy_10, c4_copy_25]", "[]", "7: tasks must list at least one task or group"),
    ("[phonebook_copy_10, c4_copy_25]", "[phonebook_copy_10", "8: not valid YAML: "),
    (GOOD, "", "1: a suite has the keys name, models, tasks, settings"),
    (GOOD, "models: &m [*m]", " not valid YAML"),
    (GOOD[GOOD.index("  - ") : GOOD.index("tasks")], "", "1: models must list at least one model"),
    ("tasks:", "  - {adapter: hf, pretrained: other/Pythia-410M}\ntasks:", "7: two models are called 'Pythia-410M'"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line"), BAD)
def test_a_mistake_is_one_line_with_its_place(write, old, new, line):
    assert old in GOOD
    file = write(GOOD.replace(old, new))
    with pytest.raises(UserError) as caught:
        load_suite(file, {})
    assert str(caught.value).startswith(f"{file}:{line}")
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_checkpoint_is_named(write, tmp_path):
    make_checkpoints(tmp_path, "runs/step1")
    (tmp_path / "runs" / "logs").mkdir()
    with pytest.raises(UserError, match=r"suite\.yaml:1: pretrained=runs/\*: .*/runs/logs has no config.json"):
        load_suite(write("models: [{adapter: pythia, pretrained: runs/*}]\ntasks: phonebook_copy"), {})


def test_a_folder_has_no_revisions(write, tmp_path):
    make_checkpoints(tmp_path, "mine")
    with pytest.raises(UserError, match=r"suite\.yaml:1: a folder has no revisions"):
        load_suite(write("models: [{adapter: hf, pretrained: mine, revision: step1}]\ntasks: phonebook_copy"), {})


@pytest.mark.parametrize(
    ("name", "message"),
    [("tinny", "unknown suite 'tinny'; did you mean 'tiny'?"), ("a/b.yaml", "no such suite file: a/b.yaml")],
)
def test_a_suite_that_does_not_exist_is_named(name, message):
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        load_suite(name, {})
