import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_eval.errors import UserError
from copy_eval.tasks.ngram_lookup.generator import VARIANTS, draw_example, find_unique

SEEDS, LENGTHS, INDEXES = st.integers(), st.integers(4, 120), st.integers(0, 10**6)
ANY_VARIANT = st.sampled_from(VARIANTS)


def parts(prompt: str, variant: str) -> tuple[str, str]:
    """Return the string and the n-gram of a prompt."""
    if variant == "prefix":
        found = re.fullmatch(r"\$(?P<ngram>[a-z]{3})\|(?P<string>[a-z]+)\|", prompt)
    else:
        found = re.fullmatch(r"\$(?P<string>[a-z]+)\|(?P<ngram>[a-z]{3})", prompt)
    assert found is not None
    return found["string"], found["ngram"]


def test_the_first_example_of_twelve_letters_reads() -> None:
    prefix, suffix = (draw_example(1234, 12, 0, variant) for variant in ("prefix", "suffix"))
    assert prefix.prompt == "$dtt|uizrzkbdttfw|"
    assert suffix.prompt == "$uizrzkbdttfw|dtt"
    assert prefix.answer == suffix.answer == "fw."
    assert prefix.depth == suffix.depth == 7 / 8


@given(SEEDS, LENGTHS, INDEXES, ANY_VARIANT)
def test_the_ngram_stands_once_and_the_answer_follows_it(seed: int, length: int, index: int, variant: str) -> None:
    example = draw_example(seed, length, index, variant)
    string, ngram = parts(example.prompt, variant)
    assert len(string) == length
    assert len(re.findall(f"(?={ngram})", string)) == 1  # overlapping ones count, too
    place = string.index(ngram)
    assert example.answer == string[place + 3 : place + 6] + "."
    assert example.depth == (place / (length - 4) if length > 4 else 0.0)


@given(SEEDS, LENGTHS, INDEXES)
def test_the_variants_of_an_example_share_string_ngram_and_answer(seed: int, length: int, index: int) -> None:
    prefix, suffix = (draw_example(seed, length, index, variant) for variant in VARIANTS)
    assert parts(prefix.prompt, "prefix") == parts(suffix.prompt, "suffix")
    assert (prefix.answer, prefix.depth) == (suffix.answer, suffix.depth)


def test_every_place_is_drawn_from_the_first_to_the_last_that_a_letter_follows() -> None:
    examples = [draw_example(1234, 20, index, "suffix") for index in range(2000)]
    depths = sorted(example.depth for example in examples if example.depth is not None)
    assert len(set(depths)) == 17
    assert (depths[0], depths[-1]) == (0.0, 1.0)
    assert max(after - before for before, after in pairwise(depths)) == pytest.approx(1 / 16)
    assert sum(depths) / len(depths) == pytest.approx(0.5, abs=0.03)
    assert {len(example.answer) for example in examples} == {2, 3, 4}


@pytest.mark.parametrize(
    ("string", "places"),
    [
        ("abcd", [0]),  # after `bcd` nothing follows
        ("aaaaaa", []),
        ("aaaab", []),  # `aab` ends the string
        ("aaaabc", [2]),
        ("abcabcx", [1, 2]),
        ("abababcd", [4]),
        ("abc", []),
    ],
)
def test_only_ngrams_that_stand_once_and_are_followed_can_be_asked_for(string: str, places: list[int]) -> None:
    assert find_unique(string) == places


def test_a_string_too_short_for_a_letter_after_the_ngram_is_refused() -> None:
    with pytest.raises(UserError, match="a string of 3 letters is too short to look up what follows 3 of them"):
        draw_example(1234, 3, 0, "prefix")


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(UserError, match="unknown ngram_lookup variant 'infix': choose one of prefix, suffix"):
        draw_example(1234, 10, 0, "infix")
