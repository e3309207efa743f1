import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_eval.model_adapters.drafting import SHORTEST, look_up

texts = st.lists(st.integers(0, 3), max_size=40)


def search_naively(tokens, most):
    """Try every suffix, the longest first, at every earlier place, the last first; then copy token by token."""
    for length in range(len(tokens) - 1, SHORTEST - 1, -1):
        for start in range(len(tokens) - length - 1, -1, -1):
            if tokens[start : start + length] == tokens[-length:]:
                grown = list(tokens)
                gap = len(tokens) - start - length
                for place in range(start + length, start + length + min(most, max(gap, length))):
                    grown.append(grown[place])
                return grown[len(tokens) :]
    return []


@given(texts, st.integers(0, 50))
def test_the_lookup_finds_what_a_naive_search_finds(tokens, most):
    assert look_up(tokens, most) == search_naively(tokens, most)


@given(st.lists(st.integers(min_value=0), min_size=3, max_size=60, unique=True), st.data())
def test_a_text_without_repeats_is_copied_from_its_first_words_on(text, data):
    known = data.draw(st.integers(SHORTEST, len(text) - 1))
    assert look_up([*text, -1, *text[:known]], len(text) - known) == text[known:]


@pytest.mark.parametrize(
    ("text", "guess"),
    [
        ("Ann Lee: 12\nTom Lee: 34\n\nAnn Lee:", " 12\nT"),
        ("the cat. the dog. the c", "at. t"),
        ("ab1 ab2 ab", "2 ab"),
        ("xyxyxy", "xyxy"),
        ("abcde", ""),
        ("abca", ""),
        ("a", ""),
        ("", ""),
    ],
)
def test_the_guess_is_what_followed_the_longest_suffix(text, guess):
    assert "".join(look_up(text, 5)) == guess


def test_a_long_text_of_one_token_takes_linear_time():
    # A search that compared each place anew would take 10 to the 10 steps.
    assert look_up([7] * 100_000, 3) == [7, 7, 7]
