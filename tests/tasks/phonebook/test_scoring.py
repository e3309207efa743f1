import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_eval.tasks.phonebook.generator import VARIANTS, Example, dash_number, draw_example
from copy_eval.tasks.phonebook.scoring import (
    NO_WRONG_ANSWERS,
    contains,
    digit_accuracy,
    exact_match,
    find_numbers,
    is_not_in_book,
    is_other_entry,
    read_answer,
    score,
    share_of_wrong,
)

NUMBERS = st.from_regex(r"[6-9][0-9]{9}", fullmatch=True)
FORMS = st.sampled_from(
    [
        str,
        dash_number,
        lambda number: dash_number(number).replace("-", " "),
        lambda number: dash_number(number).replace("-", "."),
        lambda number: f"({number[:3]}) {number[3:6]}-{number[6:]}",
        " ".join,
    ]
)
SENTENCES = st.sampled_from(["{}", " {}\n", "The number is {}.", "Sure! Bob Ray's number (from the book) is **{}**"])
EXAMPLES = st.builds(draw_example, st.integers(), st.integers(3, 20), st.integers(0, 99), st.sampled_from(VARIANTS))
PROMPT = "Ann Lee: 6000000000\nBob Ray: 7111111111\nCy Fox: 8222222222\n\nAnn Lee: 6000000000\n\nBob Ray:"
DOC = {"prompt": PROMPT, "answer": "7111111111"}


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (" 7111111111", "7111111111"),
        (" 7111111111\nCy Fox: 8222222222", "7111111111"),
        ("7111111111 \r\n", "7111111111"),
        ("\n7111111111", ""),
        ("", ""),
    ],
)
def test_the_answer_is_the_first_line_stripped(response: str, answer: str) -> None:
    assert read_answer(response) == answer


@pytest.mark.parametrize(
    ("answer", "gold", "accuracy"),
    [
        ("6093237777", "6093237777", 1.0),
        ("6093237778", "6093237777", 0.9),
        ("609323777", "6093237777", 0.9),
        ("60932377771", "6093237777", 1.0),
        ("0932377776", "6093237777", 0.3),
        ("609-323-7777", "609-323-7777", 1.0),
        ("609-323-7770", "609-323-7777", 0.9),
        ("6093237777", "609-323-7777", 0.5),
        ("---", "609-323-7777", 0.0),
        ("", "6093237777", 0.0),
    ],
)
def test_digit_accuracy_counts_the_digits_in_their_places(answer: str, gold: str, accuracy: float) -> None:
    assert digit_accuracy(answer, gold) == pytest.approx(accuracy)


@given(EXAMPLES)
def test_the_gold_answer_scores_one(example: Example) -> None:
    scores = score({"prompt": example.prompt, "answer": example.answer}, [f" {example.answer}\n"])
    assert scores == {
        "exact_match": 1.0,
        "contains": 1.0,
        "digit_accuracy": 1.0,
        "wrong_is_other_entry": None,
        "wrong_not_in_book": None,
    }


@given(EXAMPLES, st.data())
def test_the_number_of_another_entry_is_known_as_such(example: Example, data: st.DataObject) -> None:
    numbers = re.findall(r": ([\d-]+)", example.prompt)
    other = data.draw(st.sampled_from([number for number in numbers if number != example.answer]))
    response = data.draw(SENTENCES).format(data.draw(FORMS)(other.replace("-", "")))
    scores = score({"prompt": example.prompt, "answer": example.answer}, [response])
    assert scores["exact_match"] == scores["contains"] == 0.0
    assert scores["wrong_is_other_entry"] == 1.0
    assert scores["wrong_not_in_book"] == 0.0


@given(EXAMPLES, st.text())
def test_scores_stay_between_zero_and_one_and_the_wrong_kinds_exclude_each_other(
    example: Example, response: str
) -> None:
    scores = score({"prompt": example.prompt, "answer": example.answer}, [response])
    values = [value for value in scores.values() if value is not None]
    assert all(0.0 <= value <= 1.0 for value in values)
    if scores["exact_match"] == 0.0:
        assert scores["wrong_is_other_entry"] in (0.0, 1.0)
        assert (scores["wrong_is_other_entry"], scores["wrong_not_in_book"]) != (1.0, 1.0)
    else:
        assert len(values) == 3


@given(EXAMPLES, SENTENCES, FORMS)
def test_the_right_number_in_a_sentence_or_another_form_is_contained_and_no_other_kind_of_wrong_answer(
    example: Example, sentence: str, form: Callable[[str], str]
) -> None:
    response = sentence.format(form(example.answer.replace("-", "")))
    scores = score({"prompt": example.prompt, "answer": example.answer}, [response])
    assert scores["contains"] == 1.0
    if response.strip() == example.answer:
        assert scores["exact_match"] == 1.0
    else:
        assert (scores["exact_match"], scores["wrong_is_other_entry"], scores["wrong_not_in_book"]) == (0.0, 0.0, 0.0)


@given(NUMBERS, FORMS, st.text(), st.text())
def test_a_number_is_found_in_any_text_that_does_not_make_it_longer(
    number: str, form: Callable[[str], str], before: str, after: str
) -> None:
    assert number in find_numbers(f"{before}: {form(number)}, {after}")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Her number is (609) 323-7777.", {"6093237777"}),
        ("**609.323.7777**", {"6093237777"}),
        ("609\N{NON-BREAKING HYPHEN}323\N{NON-BREAKING HYPHEN}7777", {"6093237777"}),
        ("1. 6093237777", {"6093237777"}),
        ("+1 609-323-7777", {"6093237777"}),
        ("6093237777 or 7111111111", {"6093237777", "7111111111"}),
        ("6093237777 7111111111", {"6093237777", "7111111111"}),
        ("609323777", set()),
        ("60932377771", set()),
        ("1-609-323-7777", set()),
        ("609-323-7777-1", set()),
        ("0.6093237777", set()),
        ("609, 323, 7777", set()),
        ("609-323-\N{ARABIC-INDIC DIGIT SEVEN}777", set()),
        ("", set()),
    ],
)
def test_a_number_is_ten_digits_however_they_are_written_but_no_part_of_more(text: str, numbers: set[str]) -> None:
    assert find_numbers(text) == numbers


def test_the_right_number_beside_others_is_contained_as_in_squad() -> None:
    assert contains("6000000000 or 7111111111", "7111111111") == 1.0
    assert is_other_entry("6000000000 or 7111111111", "7111111111", PROMPT) is False


@given(NUMBERS, NUMBERS)
def test_digit_accuracy_is_one_less_the_hamming_distance_per_digit(answer: str, gold: str) -> None:
    distance = sum(a != b for a, b in zip(answer, gold, strict=True))
    assert digit_accuracy(answer, gold) == pytest.approx(1 - distance / 10)
    assert (exact_match(answer, gold) == 1.0) == (distance == 0)


@pytest.mark.parametrize(
    ("answer", "other_entry", "not_in_book"),
    [
        ("6000000000", True, False),  # another entry's, solved before the question too
        ("8222222222", True, False),
        ("9999999999", False, True),  # invented
        ("7111111111", False, False),  # right
        ("711111111", False, False),  # a part of the right number
        ("Cy Fox", False, False),  # a name of the book
        ("", False, True),
        ("The number is 8222222222.", True, False),
        ("822-222-2222", True, False),
        ("Ann Lee: 6000000000", True, False),  # a whole line of the book
        ("999-999-9999 or 8222222222", True, False),
        ("The number is 711-111-1111.", False, False),  # right, in other words
        ("The number is 9999999999.", False, True),
        ("I cannot find Bob Ray.", False, True),
    ],
)
def test_an_answer_is_another_entry_or_not_in_the_book_or_neither(
    answer: str, other_entry: bool, not_in_book: bool
) -> None:
    assert is_other_entry(answer, "7111111111", PROMPT) is other_entry
    assert is_not_in_book(answer, PROMPT) is not_in_book


def test_only_the_first_line_of_the_response_is_scored() -> None:
    assert score(DOC, [" 7111111111\n9"])["exact_match"] == 1.0
    assert score(DOC, ["Bob\n7111111111"])["exact_match"] == 0.0


def test_the_share_of_wrong_answers_leaves_the_right_ones_out() -> None:
    assert share_of_wrong([None, 1.0, 0.0, 0.0, None, 0.0]) == 0.25
    assert share_of_wrong([1.0]) == 1.0


def test_the_share_of_no_wrong_answers_is_not_zero() -> None:
    assert share_of_wrong([None, None]) == NO_WRONG_ANSWERS
    assert share_of_wrong([]) == NO_WRONG_ANSWERS
