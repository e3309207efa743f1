import pytest
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.text import squad
from torchmetrics.functional.text.squad import _normalize_text

from copy_eval.tasks.squad.scoring import best, contains, exact_match, f1, normalise, read_answer, score

WORDS = st.lists(
    st.sampled_from(["the", "The", "a", "an", "10th", "century", "Century,", "France", "U.S.", "and", "-", "é", "  "]),
    max_size=6,
).map(" ".join)


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("The Normans", "normans"),
        ("  10th  and\n11th centuries. ", "10th and 11th centuries"),
        ("an apple, a day", "apple day"),
        ("U.S.", "us"),
        ("“Don't”", "“dont”"),
        ("the", ""),
        ("theatre", "theatre"),
    ],
)
def test_answers_are_compared_without_case_punctuation_articles_and_space(text: str, normalised: str) -> None:
    assert normalise(text) == normalised


@given(WORDS | st.text(), st.lists(WORDS | st.text(), min_size=1, max_size=3))
def test_exact_match_and_f1_agree_with_torchmetrics(answer: str, golds: list[str]) -> None:
    reference = squad(
        [{"prediction_text": answer, "id": "1"}],
        [{"answers": {"answer_start": [0] * len(golds), "text": golds}, "id": "1"}],
    )
    assert best(exact_match, answer, golds) * 100 == reference["exact_match"].item()
    assert best(f1, answer, golds) * 100 == pytest.approx(reference["f1"].item(), abs=1e-4)


@given(WORDS | st.text(), st.lists(WORDS | st.just("."), min_size=1, max_size=4))
def test_gold_answers_that_normalise_to_nothing_are_dropped_as_the_official_script_does(
    answer: str, golds: list[str]
) -> None:
    answer = read_answer(answer)
    counting = [gold for gold in golds if _normalize_text(gold)] or [""]
    reference = squad(
        [{"prediction_text": answer, "id": "1"}],
        [{"answers": {"answer_start": [0] * len(counting), "text": counting}, "id": "1"}],
    )
    scores = score({"answers": golds}, [answer])
    assert scores["exact_match"] * 100 == reference["exact_match"].item()
    assert scores["f1"] * 100 == pytest.approx(reference["f1"].item(), abs=1e-4)


def test_an_empty_answer_is_wrong_where_one_gold_answer_of_several_is_a_full_stop() -> None:
    doc = {"answers": [".", "France"]}
    assert score(doc, [""]) == {"exact_match": 0.0, "f1": 0.0, "contains": 0.0}
    assert score(doc, ["France."]) == {"exact_match": 1.0, "f1": 1.0, "contains": 1.0}


@given(WORDS | st.text(), WORDS | st.text())
def test_scores_are_bounded_f1_is_symmetric_and_a_match_is_in_all_three(answer: str, gold: str) -> None:
    scores = [metric(answer, gold) for metric in (exact_match, f1, contains)]
    assert all(0.0 <= value <= 1.0 for value in scores)
    assert f1(answer, gold) == f1(gold, answer)
    assert exact_match(answer, gold) <= min(scores)
    assert [metric(gold, gold) for metric in (exact_match, f1, contains)] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("answer", "gold", "scores"),
    [
        ("In France, I think", "France", (0.0, 0.4, 1.0)),
        ("the 10th century", "10th and 11th centuries", (0.0, 1 / 3, 0.0)),
        ("Concatenate", "cat", (0.0, 0.0, 0.0)),
        ("", "France", (0.0, 0.0, 0.0)),
        ("the", "a", (1.0, 1.0, 1.0)),
        ("France", "the", (0.0, 0.0, 0.0)),
    ],
)
def test_answers_are_scored_by_words(answer: str, gold: str, scores: tuple[float, ...]) -> None:
    assert (exact_match(answer, gold), f1(answer, gold), contains(answer, gold)) == pytest.approx(scores)


def test_the_best_gold_answer_counts() -> None:
    doc = {"answers": ["10th and 11th centuries", "in the 10th and 11th centuries"]}
    response = " In the 10th and 11th centuries\n\nQuestion: What"
    assert read_answer(response) == "In the 10th and 11th centuries"
    assert score(doc, [response]) == {"exact_match": 1.0, "f1": 1.0, "contains": 1.0}
