import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_eval.errors import UserError
from copy_eval.tasks.sampling import example_rng
from copy_eval.tasks.string_copy.generator import draw_example, repeat_ngram

SEEDS, LENGTHS, INDEXES = st.integers(), st.integers(1, 200), st.integers(0, 10**6)


def test_the_first_example_of_eight_letters_reads() -> None:
    example = draw_example(1234, 8, 0)
    assert (example.prompt, example.answer, example.depth) == ("$gkbzsxin|", "gkbzsxin.", None)
    repeated = draw_example(1234, 8, 0, repeated=3)
    assert (repeated.prompt, repeated.answer) == ("$gkbzskbz|", "gkbzskbz.")


@given(SEEDS, LENGTHS, INDEXES)
def test_the_answer_is_the_string_between_the_marks(data_seed: int, length: int, index: int) -> None:
    example = draw_example(data_seed, length, index)
    assert re.fullmatch(rf"\$[a-z]{{{length}}}\|", example.prompt)
    assert example.prompt[1:-1] + "." == example.answer


@given(SEEDS, st.integers(1, 8), st.integers(0, 30), INDEXES)
def test_a_repeated_ngram_stands_twice_side_by_side_and_the_rest_is_the_plain_string(
    data_seed: int, size: int, more: int, index: int
) -> None:
    length = 2 * size + more
    plain = draw_example(data_seed, length, index).answer[:-1]
    string = draw_example(data_seed, length, index, repeated=size).answer[:-1]
    assert len(string) == length
    places = range(length - size + 1)
    assert any(
        abs(kept - overwritten) >= size
        and string == plain[:overwritten] + plain[kept : kept + size] + plain[overwritten + size :]
        for kept in places
        for overwritten in places
    )


def test_every_pair_of_places_is_equally_likely() -> None:
    counts = Counter(repeat_ngram(example_rng(1234, 0, index), "abcdefgh", 3) for index in range(12_000))
    assert len(counts) == 12  # ordered pairs of places, 3 or more apart, of 6
    assert all(abs(count - 1000) < 150 for count in counts.values())


def test_an_ngram_that_fits_twice_exactly_overwrites_the_other_half() -> None:
    assert {repeat_ngram(example_rng(0, 0, index), "abcd", 2) for index in range(20)} == {"abab", "cdcd"}


def test_an_ngram_that_does_not_fit_twice_is_refused() -> None:
    with pytest.raises(UserError, match="a string of 5 letters cannot hold an n-gram of 3 letters twice"):
        draw_example(1234, 5, 0, repeated=3)


@given(SEEDS, st.lists(st.tuples(LENGTHS, INDEXES), min_size=1, max_size=5))
def test_an_example_does_not_depend_on_what_was_drawn_before(data_seed: int, places: list[tuple[int, int]]) -> None:
    forwards = [draw_example(data_seed, *place) for place in places]
    assert forwards == [draw_example(data_seed, *place) for place in reversed(places)][::-1]


@given(SEEDS, SEEDS, INDEXES, INDEXES)
def test_another_seed_or_index_gives_another_string(seed: int, other_seed: int, index: int, other_index: int) -> None:
    same = (seed, index) == (other_seed, other_index)
    assert (draw_example(seed, 20, index) == draw_example(other_seed, 20, other_index)) == same
