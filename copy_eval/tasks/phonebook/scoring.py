"""Scores of one answer to a phonebook question: two strings in, numbers out."""

import re
from collections.abc import Mapping, Sequence

_NUMBER_OF_ENTRY = re.compile(r": ([\d-]+)$", re.MULTILINE)

_BETWEEN_DIGITS = r"[\s.()\-\u2010-\u2015]{0,3}"
"""What people and chat models write inside a number: ``(609) 323-7777``; the range is that of Unicode's dashes."""

# Ten digits that no other digit adjoins, not even after a dash or a dot. A lookahead, so that numbers may overlap: `55
# 6093 2377 77` holds one that begins at its second number.
_TEN_DIGITS = re.compile(rf"(?<![0-9])(?<![0-9][.-])(?=([0-9](?:{_BETWEEN_DIGITS}[0-9]){{9}})(?![.-]?[0-9]))")
_NO_DIGIT = re.compile(r"[^0-9]")

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


def find_numbers(text: str) -> set[str]:
    """Return the ten digits of each phone number in ``text``, however it is written; no part of a longer number."""
    return {_only_digits(number) for number in _TEN_DIGITS.findall(text)}


def _only_digits(number: str) -> str:
    return _NO_DIGIT.sub("", number)


def contains(answer: str, gold: str) -> float:
    """Return 1.0 if the gold number stands in the answer, however it is written, else 0.0."""
    return float(_only_digits(gold) in find_numbers(answer))


def _numbers_of_book(prompt: str) -> set[str]:
    return set(map(_only_digits, _NUMBER_OF_ENTRY.findall(prompt)))


def is_other_entry(answer: str, gold: str, prompt: str) -> bool:
    """Tell whether the answer holds the number of another entry of the book in ``prompt``, and not the right one."""
    return not contains(answer, gold) and not find_numbers(answer).isdisjoint(_numbers_of_book(prompt))


def is_not_in_book(answer: str, prompt: str) -> bool:
    """Tell whether the answer holds no number of the book in ``prompt``, and is no piece of the prompt either."""
    return find_numbers(answer).isdisjoint(_numbers_of_book(prompt)) and (not answer or answer not in prompt)


def score(doc: Mapping[str, str], results: Sequence[str]) -> dict[str, float | None]:
    """Score the response ``results[0]`` to the record ``doc``.

    The two ``wrong_…`` metrics are 1.0 or 0.0 for a wrong answer and None for a right one. Both are 0.0 for an answer
    that only ``contains`` the number, and for a piece of the prompt, such as half a number.
    """
    answer, gold, prompt = read_answer(results[0]), doc["answer"], doc["prompt"]
    wrong = answer != gold
    return {
        "exact_match": exact_match(answer, gold),
        "contains": contains(answer, gold),
        "digit_accuracy": digit_accuracy(answer, gold),
        "wrong_is_other_entry": float(is_other_entry(answer, gold, prompt)) if wrong else None,
        "wrong_not_in_book": float(is_not_in_book(answer, prompt)) if wrong else None,
    }


def share_of_wrong(values: Sequence[float | None]) -> float | str:
    """Average a ``wrong_…`` metric over the wrong answers; without any, it is ``NO_WRONG_ANSWERS``."""
    wrong = [value for value in values if value is not None]
    return sum(wrong) / len(wrong) if wrong else NO_WRONG_ANSWERS
