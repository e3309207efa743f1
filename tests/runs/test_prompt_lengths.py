"""Lengths that are estimated without data, against counted ones."""

import subprocess
import sys

import pytest

from copy_eval.errors import UserError
from copy_eval.runs.prompt_lengths import expect_tokens
from copy_eval.runs.task_loading import TASKS, tasks_by_name


@pytest.mark.parametrize(
    ("task", "prompt", "answer"),
    [
        ("phonebook_copy_10", 130.6, 4.6),
        ("phonebook_copy_1280", 13201.1, 4.6),
        ("phonebook_copy_dashed_160", 2052.7, 6.9),
        ("phonebook_reversed_80", 852.8, 4.6),
        ("phonebook_tokens_1k", 973.5, 4.6),
        ("phonebook_tokens_16k", 16334.0, 4.6),
        ("c4_copy_25", 55.6, 23.4),
        ("c4_copy_shuffled_600", 1205.4, 598.6),
        ("c4_copy_2400", 4805.5, 2398.5),
        ("squad_by_length_150_200", 214.1, 4.6),
        ("squad_by_length_400_plus", 609.5, 9.1),
        ("string_copy_1000", 563.2, 561.5),
        ("string_copy_duplicates_8", 30.3, 28.2),
        ("ngram_prefix_20", 16.8, 2.0),
        ("ngram_suffix_500", 287.2, 2.0),
        ("mqar_128", 353.3, 75.0),
    ],
)
def test_lengths_without_data_are_near_the_counted_ones(task, prompt, answer):
    # Counted with the GPT-NeoX tokenizer on the tasks' own data, parts of C4 and of SQuAD.
    expected = expect_tokens(task, {}, "no data")
    assert expected.prompts[0] == pytest.approx(prompt, rel=0.07)
    assert expected.answers[0] - 1 == pytest.approx(answer, abs=5)
    assert len(expected.prompts) == 200


def test_every_task_has_an_estimate():
    for name in {task for tasks in tasks_by_name().values() for task in tasks}:
        lengths = expect_tokens(name, {"num_samples": 3, "num_books": 3, "depths": "[0.5]"}, "no data")
        assert len(lengths.prompts) == len(lengths.answers) == 3
        assert lengths.limit > lengths.answers[0]


def test_a_users_task_describes_its_own_lengths(own_tasks):
    lengths = expect_tokens("phonebook_copy_11", {"num_samples": 3}, "no data", str(own_tasks))
    assert lengths.prompts == (round(12.63 * 11 + 32),) * 3


def test_a_task_that_says_nothing_of_its_tokens_is_one_line(own_tasks):
    (own_tasks / "odd.yaml").write_text(
        f"include: {TASKS}/phonebook/_phonebook_yaml\ntask: odd\ndataset_kwargs: {{length: 5}}\nmetadata: {{}}\n"
    )
    with pytest.raises(UserError, match=r"odd: its tokens cannot be counted \(no data\), and it does not say how many"):
        expect_tokens("odd", {"num_samples": 3}, "no data", str(own_tasks))


def test_counting_needs_neither_torch_nor_lm_eval():
    script = """
import sys
import copy_eval.runs.prompt_lengths
heavy = {"torch", "lm_eval", "transformers"} & sys.modules.keys()
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True)
