"""Scores of one answer to a phonebook question: two strings in, numbers out."""

import re
from collections.abc import Mapping, Sequence

_NUMBER_OF_ENTRY = re.compile(r": ([\d-]+)$", re.MULTILINE)

NO_WRONG_ANSWERS = "N/A"
"""The share of the wrong answers of a kind, where no answer is wrong; lm-eval's own word for a missing value."""


def read_answer(response: str) -> str:
    """Return the answer in a model's text: its first line, stripped."""
    return response.split("\n", 1)[0].strip()


def exact_match(answer: str, gold: str) -> float:
    """Return 1.0 if the answer is the gold number, else 0.0."""
    return float(answer == gold)


def digit_accuracy(answer: str, gold: str) -> float:
    """Return the share of the gold number's digits that stand at the same place in the answer; dashes do not count."""
    places = [place for place, character in enumerate(gold) if character.isdigit()]
    return sum(answer[place : place + 1] == gold[place] for place in places) / len(places)


def is_other_entry(answer: str, gold: str, prompt: str) -> bool:
    """Tell whether the answer is the number of another entry of the book in ``prompt``."""
    return answer != gold and answer in _NUMBER_OF_ENTRY.findall(prompt)


def is_not_in_book(answer: str, prompt: str) -> bool:
    """Tell whether the answer stands nowhere in ``prompt``, not even as a part of a number or a name."""
    return not answer or answer not in prompt


def score(doc: Mapping[str, str], results: Sequence[str]) -> dict[str, float | None]:
    """Score the response ``results[0]`` to the record ``doc``.

    The two ``wrong_…`` metrics are 1.0 or 0.0 for a wrong answer and None for a right one.
    """
    answer, gold, prompt = read_answer(results[0]), doc["answer"], doc["prompt"]
    wrong = answer != gold
    return {
        "exact_match": exact_match(answer, gold),
        "digit_accuracy": digit_accuracy(answer, gold),
        "wrong_is_other_entry": float(is_other_entry(answer, gold, prompt)) if wrong else None,
        "wrong_not_in_book": float(is_not_in_book(answer, prompt)) if wrong else None,
    }


def share_of_wrong(values: Sequence[float | None]) -> float | str:
    """Average a ``wrong_…`` metric over the wrong answers; without any, it is ``NO_WRONG_ANSWERS``."""
    wrong = [value for value in values if value is not None]
    return sum(wrong) / len(wrong) if wrong else NO_WRONG_ANSWERS
