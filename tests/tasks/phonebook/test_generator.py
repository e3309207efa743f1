import os
import random
import re
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_eval.errors import UserError
from copy_eval.tasks.phonebook.generator import VARIANTS, draw_book, draw_example
from copy_eval.tasks.phonebook.names import count_full_names
from copy_eval.tasks.sampling import example_rng

SEEDS, ENTRIES, INDEXES = st.integers(), st.integers(3, 60), st.integers(0, 10**6)
ANY_VARIANT = st.sampled_from(VARIANTS)

PROMPTS = {
    "plain": """\
Lena Bold: 9932170529
James Wade: 8656684708
Kim Arnold: 6512987679
Karl Bullock: 9431303187

Lena Bold: 9932170529
James Wade: 8656684708

Kim Arnold:""",
    "dashed": """\
Lena Bold: 993-217-0529
James Wade: 865-668-4708
Kim Arnold: 651-298-7679
Karl Bullock: 943-130-3187

Lena Bold: 993-217-0529
James Wade: 865-668-4708

Kim Arnold:""",
    "reversed": """\
Find the phone number of Kim Arnold in this phonebook. Each line reads First Last: number.

Lena Bold: 9932170529
James Wade: 8656684708
Kim Arnold: 6512987679
Karl Bullock: 9431303187

Kim Arnold:""",
}


def book_of(prompt: str, variant: str) -> list[str]:
    """Return the lines of the book in a prompt."""
    return prompt.split("\n\n")[1 if variant == "reversed" else 0].split("\n")


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_first_example_of_four_entries_reads(variant: str) -> None:
    example = draw_example(1234, 4, 0, variant)
    assert example.prompt == PROMPTS[variant]
    assert example.answer == ("651-298-7679" if variant == "dashed" else "6512987679")
    assert example.depth == pytest.approx(2 / 3)


@given(SEEDS, ENTRIES, INDEXES, ANY_VARIANT)
def test_names_and_numbers_stand_once_in_a_book(data_seed: int, entries: int, index: int, variant: str) -> None:
    book = book_of(draw_example(data_seed, entries, index, variant).prompt, variant)
    names, numbers = zip(*(line.split(": ") for line in book), strict=True)
    assert len(book) == len(set(names)) == len(set(numbers)) == entries


@given(SEEDS, ENTRIES, INDEXES, ANY_VARIANT)
def test_the_answer_stands_once_in_the_prompt_beside_the_name_asked_for(
    data_seed: int, entries: int, index: int, variant: str
) -> None:
    example = draw_example(data_seed, entries, index, variant)
    question = example.prompt.rsplit("\n\n", 1)[1]
    assert example.prompt.count(example.answer) == 1
    line = book_of(example.prompt, variant).index(f"{question} {example.answer}")
    assert example.depth == pytest.approx(line / (entries - 1))


@given(SEEDS, ENTRIES, INDEXES)
def test_the_solved_lookups_are_two_other_entries_of_the_book(data_seed: int, entries: int, index: int) -> None:
    book, solved, question = draw_example(data_seed, entries, index).prompt.split("\n\n")
    first, second = solved.split("\n")
    assert first != second
    assert {first, second} <= set(book.split("\n"))
    assert not any(line.startswith(question) for line in (first, second))


@given(SEEDS, ENTRIES, INDEXES)
def test_the_variants_of_an_example_share_book_question_and_depth(data_seed: int, entries: int, index: int) -> None:
    plain, dashed, reverse = (draw_example(data_seed, entries, index, variant) for variant in VARIANTS)
    assert dashed.prompt.replace("-", "") == plain.prompt.replace("-", "")
    assert re.fullmatch(r"\d{3}-\d{3}-\d{4}", dashed.answer)
    assert book_of(reverse.prompt, "reversed") == book_of(plain.prompt, "plain")
    assert dashed.answer.replace("-", "") == plain.answer == reverse.answer
    assert dashed.depth == plain.depth == reverse.depth


@given(SEEDS, st.lists(st.tuples(ENTRIES, INDEXES), min_size=1, max_size=5))
def test_an_example_does_not_depend_on_what_was_drawn_before(data_seed: int, places: list[tuple[int, int]]) -> None:
    forwards = [draw_example(data_seed, *place) for place in places]
    backwards = [draw_example(data_seed, *place) for place in reversed(places)]
    assert forwards == backwards[::-1]


@given(SEEDS, SEEDS, INDEXES, INDEXES)
def test_another_seed_or_index_gives_another_book(seed: int, other_seed: int, index: int, other_index: int) -> None:
    same = (seed, index) == (other_seed, other_index)
    assert (draw_example(seed, 10, index).prompt == draw_example(other_seed, 10, other_index).prompt) == same


def test_global_random_state_is_neither_used_nor_moved() -> None:
    random.seed(1)
    state = random.getstate()
    first = draw_example(1234, 20, 0)
    assert random.getstate() == state
    random.seed(2)
    assert draw_example(1234, 20, 0) == first


def test_processes_with_different_hash_seeds_write_the_same_bytes() -> None:
    code = (
        "import sys; from copy_eval.tasks.phonebook.generator import VARIANTS, draw_example\n"
        "for v in VARIANTS: sys.stdout.buffer.write(draw_example(1234, 160, 7, v).prompt.encode())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout
        for seed in ("0", "1", "2")
    }
    here = "".join(draw_example(1234, 160, 7, variant).prompt for variant in VARIANTS)
    assert outputs == {here.encode()}


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(UserError, match="unknown phonebook variant 'dotted': choose one of plain, dashed, reversed"):
        draw_example(1234, 10, 0, "dotted")


def test_more_entries_than_distinct_names_are_refused_at_once() -> None:
    with pytest.raises(UserError, match=f"the census lists form {count_full_names()}"):
        draw_book(example_rng(1234, 10, 0), count_full_names() + 1)


def test_depths_cover_the_book_evenly() -> None:
    depths = sorted(draw_example(1234, 20, index).depth for index in range(1000))
    assert depths[0] == 0.0
    assert depths[-1] == 1.0
    assert max(after - before for before, after in pairwise(depths)) == pytest.approx(1 / 19)
    assert sum(depths) / len(depths) == pytest.approx(0.5, abs=0.04)
