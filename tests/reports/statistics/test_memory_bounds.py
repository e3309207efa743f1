"""Bounds against what real memories achieve: every encoder of a small material, with the best decoder."""

import math
from collections import Counter
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_eval.reports.report import build_report
from copy_eval.reports.statistics.memory_bounds import (
    bound_curves,
    copying_accuracy_bound,
    lookup_accuracy_bound,
)
from tests.reports.result_files import write_trained

LETTERS = 3
STRINGS = list(product(range(LETTERS), repeat=3))
ENCODERS = st.lists(st.integers(0, 7), min_size=len(STRINGS), max_size=len(STRINGS))
"""The state, one of 8, that each string leaves."""


def best_share(encoder: list[int], asked: list[object]) -> float:
    """Return the share of the strings for which the best answer to a state is the one asked for."""
    answers: dict[int, Counter[object]] = {}
    for state, answer in zip(encoder, asked, strict=True):
        answers.setdefault(state, Counter())[answer] += 1
    return sum(counts.most_common(1)[0][1] for counts in answers.values()) / len(asked)


@given(ENCODERS)
def test_no_memory_copies_more_strings_than_theorem_2_7_allows(encoder: list[int]) -> None:
    memory, material = math.log2(len(set(encoder))), 3 * math.log2(LETTERS)
    assert best_share(encoder, list(STRINGS)) == pytest.approx(copying_accuracy_bound(memory, material))


@given(ENCODERS)
def test_no_memory_looks_up_more_letters_than_fanos_inequality_allows(encoder: list[int]) -> None:
    memory, letter = math.log2(len(set(encoder))), math.log2(LETTERS)
    shares = [best_share(encoder, [string[place] for string in STRINGS]) for place in range(3)]
    assert sum(shares) / 3 <= lookup_accuracy_bound(memory, 3 * letter, letter) + 1e-9


def test_with_fewer_bits_than_corollary_2_8_asks_for_half_of_the_strings_are_wrong() -> None:
    material = 100 * math.log2(26)
    assert copying_accuracy_bound(material - 1, material) == pytest.approx(0.5)
    assert copying_accuracy_bound(469.0, material) < 0.5 < copying_accuracy_bound(469.1, material)


def test_a_state_that_is_far_too_small_copies_nothing_and_one_that_is_large_enough_has_no_bound() -> None:
    assert copying_accuracy_bound(0, 1e6) == 0.0
    assert copying_accuracy_bound(1e9, 4700) == 1.0
    assert lookup_accuracy_bound(1e9, 4700, 14.1) == lookup_accuracy_bound(4700, 4700, 14.1) == 1.0


def test_without_memory_a_lookup_is_a_guess() -> None:
    assert lookup_accuracy_bound(0, 100, 10) == pytest.approx(2**-10, rel=1e-4)


def test_a_memory_of_half_a_phonebook_may_answer_half_of_the_questions_although_it_copies_no_book() -> None:
    number = math.log2(4e9)
    half = 20 * number
    assert copying_accuracy_bound(half, 40 * number) < 1e-100
    assert 0.5 <= lookup_accuracy_bound(half, 40 * number, number) < 0.54


@given(st.floats(0, 1000), st.floats(0, 1000), st.floats(1, 100))
def test_more_memory_never_lowers_a_bound(memory: float, more: float, asked: float) -> None:
    assert copying_accuracy_bound(memory, 500) <= copying_accuracy_bound(memory + more, 500)
    assert lookup_accuracy_bound(memory, 500, asked) <= lookup_accuracy_bound(memory + more, 500, asked) + 1e-12


def memory_of(folder, task, **run):
    write_trained(folder, {10: 0.5, 40: 0.5}, task=task, **run)
    return build_report([folder]).memory.set_index("length")


def test_a_copy_is_bounded_by_theorem_2_7_and_a_lookup_by_fano(tmp_path):
    memory = {10: 20.0, 40: 20.0}
    copied = memory_of(tmp_path / "copy", "string_copy", memory=memory)
    asked = memory_of(tmp_path / "lookup", "phonebook_copy", memory=memory)
    letter, number = math.log2(26), math.log2(4e9)
    assert copied.loc[40, "memory_bits"] == 160
    assert copied.loc[40, "material_bits"] == copied.loc[40, "asked_bits"] == pytest.approx(40 * letter)
    assert copied["bound"].tolist() == pytest.approx([1.0, copying_accuracy_bound(160, 40 * letter)])
    assert asked.loc[40, "bound"] == pytest.approx(lookup_accuracy_bound(160, 40 * number, number))


def test_what_a_task_does_not_say_is_missing_and_so_is_a_model_that_says_nothing(tmp_path):
    found = memory_of(tmp_path / "squad", "squad_by_length", memory={10: 20.0, 40: 20.0})
    assert found["memory_bits"].tolist() == [160, 160]
    assert found[["material_bits", "asked_bits", "bound"]].isna().all(axis=None)
    assert memory_of(tmp_path / "silent", "string_copy").empty


def test_between_lengths_the_bound_is_that_of_the_material_there(tmp_path):
    write_trained(tmp_path, {10: 0.5, 40: 0.5}, memory={10: 15.0, 40: 15.0})
    curves = bound_curves(build_report([tmp_path]).accuracy, linear=False)
    expected = [copying_accuracy_bound(120, length * math.log2(26)) for length in curves["length"]]
    assert curves["bound"].tolist() == pytest.approx(expected)
