import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_eval.tasks.c4.scoring import copied_before_error, read_answer, score, similarity


def edit_distance(first: str, second: str) -> int:
    """Return the Levenshtein distance by the textbook's table."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        above, row[0] = row[0], i
        for j, b in enumerate(second, start=1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (a != b))
    return row[-1]


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (" rest of the text", "rest of the text"),
        (" rest of the text\n\nAnd more", "rest of the text"),
        (" rest\nof the text \n", "rest of the text"),
        ("\n\nrest", ""),
        ("", ""),
    ],
)
def test_the_answer_stands_before_the_blank_line_in_one_line(response: str, answer: str) -> None:
    assert read_answer(response) == answer


@pytest.mark.parametrize(
    ("answer", "gold", "share"),
    [
        ("one two", "one two", 1.0),
        ("one twa", "one two", 6 / 7),
        ("one", "one two", 3 / 7),
        ("one two three", "one two", 1.0),
        ("One two", "one two", 0.0),
        ("", "one two", 0.0),
    ],
)
def test_the_copy_counts_up_to_its_first_error(answer: str, gold: str, share: float) -> None:
    assert copied_before_error(answer, gold) == pytest.approx(share)


@given(st.text(max_size=30), st.text(max_size=30))
def test_similarity_is_one_less_the_edit_distance_per_character_and_symmetric(first: str, second: str) -> None:
    expected = 1 - edit_distance(first, second) / max(len(first), len(second), 1)
    assert similarity(first, second) == pytest.approx(expected)
    assert similarity(second, first) == similarity(first, second)


@given(st.text(), st.text(min_size=1))
def test_scores_are_bounded_and_all_one_only_for_the_gold_text(response: str, gold: str) -> None:
    scores = score({"answer": gold}, [response])
    assert all(0.0 <= value <= 1.0 for value in scores.values())
    assert (scores["similarity"] == 1.0) == (scores["exact_match"] == 1.0) == (read_answer(response) == gold)


def test_a_right_copy_scores_one_in_everything() -> None:
    doc = {"answer": "two three."}
    assert score(doc, [" two three.\n\nOne"]) == dict.fromkeys(
        ("exact_match", "copied_before_error", "similarity"), 1.0
    )
    assert score(doc, [" two three!"])["exact_match"] == 0.0
