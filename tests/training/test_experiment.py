import re

import pytest

from copy_eval.errors import UserError
from copy_eval.training.experiment import load_experiment, packaged_experiments, runs_of

TEXT = """\
description: Copying.
architectures: [rope, mamba]
seeds: [0, 1]
sizes:
  cpu:
    lengths: [5, 20]
    examples: 1000
    batch: 50
    context: 64
    learning_rate: 0.001
    evaluation_points: [500]
    tasks:
      string_copy: [string_copy_10, string_copy_20]
"""


def write(tmp_path, text=TEXT):
    (tmp_path / "mine.yaml").write_text(text)
    return str(tmp_path / "mine.yaml")


def test_an_experiment_is_every_architecture_with_every_seed_and_checkpoints_at_its_points(tmp_path):
    name, experiment = load_experiment(write(tmp_path), "cpu")
    runs = runs_of(experiment, "cpu")
    assert name == "mine"
    assert [run.name for run in runs] == [
        "string_copy/rope-seed0", "string_copy/mamba-seed0", "string_copy/rope-seed1", "string_copy/mamba-seed1",
    ]  # fmt: skip
    assert runs[0].points == [500, 1000]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seeds: [0, 1]", "seed: [0, 1]", "3: unknown key 'seed' of an experiment; did you mean 'seeds'?"),
        ("    batch: 50", "    batches: 50", "8: unknown key 'batches' of a size; did you mean 'batch'?"),
        ("    batch: 50\n", "", "5: sizes.cpu.batch is missing"),
        ("[rope, mamba]", "[rope, mambo]", "2: unknown architecture 'mambo'; did you mean 'mamba'?"),
        ("[rope, mamba]", "[rope, rope]", "2: architectures lists something twice"),
        ("string_copy: [", "string_cpoy: [", "13: unknown task to learn 'string_cpoy'; did you mean 'string_copy'?"),
        ("string_copy_20]", "string_copy_21]", "13: unknown task 'string_copy_21'; did you mean 'string_copy_"),
        ("  cpu:", "  gpu:", "5: unknown size 'gpu'; did you mean 'cpu'?"),
        ("[5, 20]", "[20, 5]", "6: lengths must be the shortest and the longest, not [20, 5]"),
        ("[5, 20]", "[5]", "6: sizes.cpu.lengths list should have at least 2 items"),
        ("[5, 20]", "[5, 40]", "6: an example of string_copy with length 40 has 83 tokens, which a context of 64"),
        ("examples: 1000", "examples: 1010", "7: examples must be a multiple of batch, 50, not 1010"),
        ("examples: 1000", "examples: many", "7: sizes.cpu.examples should be a valid integer, not 'many'"),
        ("[500]", "[500, 501]", "11: an evaluation point must be a multiple of batch, 50, and at most examples"),
        ("[500]", "[2000]", "11: an evaluation point must be a multiple of batch, 50, and at most examples"),
        ("seeds: [0, 1]", f"seeds: [{2**63}]", "3: seeds.0 should be less than"),
        ("0.001", ".inf", "10: sizes.cpu.learning_rate should be a finite number, not inf"),
        ("0.001", "0", "10: sizes.cpu.learning_rate should be greater than 0, not 0"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, old, new, said):
    assert old in TEXT
    file = write(tmp_path, TEXT.replace(old, new))
    with pytest.raises(UserError, match="^" + re.escape(f"{file}:{said}")) as error:
        load_experiment(file, "cpu")
    assert "\n" not in str(error.value)


def test_lengths_that_a_task_does_not_have_are_told(tmp_path):
    text = TEXT.replace("[5, 20]", "[2, 20]").replace(
        "string_copy: [string_copy_10, string_copy_20]", "ngram_prefix: []"
    )
    with pytest.raises(UserError, match=r"6: ngram_prefix has lengths from 4 to any, not \[2, 20\]"):
        load_experiment(write(tmp_path, text), "cpu")


def test_a_list_is_no_experiment_and_an_unknown_name_is_none(tmp_path):
    for text in ("- rope\n", "", "rope"):
        with pytest.raises(UserError, match=r"mine\.yaml:1: an experiment is a mapping with description, arch"):
            load_experiment(write(tmp_path, text), "cpu")
    with pytest.raises(UserError, match=r"unknown experiment 'data-eficiency'; did you mean 'data-efficiency'\?"):
        load_experiment("data-eficiency", "cpu")
    with pytest.raises(UserError, match=r"unknown experiment 'tiny-pythi'; did you mean 'tiny-pythia'\?"):
        load_experiment("tiny-pythi", "cpu")
    with pytest.raises(UserError, match=r"no such experiment file: nowhere/mine\.yaml"):
        load_experiment("nowhere/mine.yaml", "cpu")


def test_a_size_that_an_experiment_does_not_have_is_told(tmp_path):
    with pytest.raises(UserError, match="this experiment has no size 'paper', only cpu"):
        load_experiment(write(tmp_path), "paper")


@pytest.mark.parametrize("size", ["cpu", "paper"])
def test_the_packaged_experiments_can_be_read_at_both_sizes(size):
    assert packaged_experiments() == [
        "data-efficiency",
        "duplicates",
        "length-generalization",
        "ngram-lookup",
        "recall",
    ]
    for name in packaged_experiments():
        assert runs_of(load_experiment(name, size)[1], size)
