from collections import Counter

from copy_eval.tasks.alphabet import BEGIN, CHARACTERS, END, LETTERS, SEPARATOR, draw_string
from copy_eval.tasks.sampling import example_rng


def test_the_characters_are_26_letters_and_three_marks_in_a_pinned_order() -> None:
    assert CHARACTERS == "abcdefghijklmnopqrstuvwxyz$|."
    assert (BEGIN, SEPARATOR, END) == ("$", "|", ".")


def test_every_letter_is_equally_likely_at_every_place() -> None:
    strings = [draw_string(example_rng(1234, 4, index), 4) for index in range(5200)]
    for place in range(4):
        counts = Counter(string[place] for string in strings)
        assert sorted(counts) == list(LETTERS)
        # The sum of squared deviations of 25 degrees of freedom; 52.6 is exceeded once in a thousand times.
        assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 52.6


def test_letters_may_be_a_part_of_the_alphabet() -> None:
    assert set(draw_string(example_rng(1234, 100, 0), 100, "xyz")) == set("xyz")


def test_an_empty_string_has_no_letters() -> None:
    assert draw_string(example_rng(0, 0, 0), 0) == ""
