"""SQuAD's official scores of one answer: two strings in, numbers out."""

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Return a text as the official evaluation compares it: small letters, no punctuation, articles or extra space."""
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def read_answer(response: str) -> str:
    """Return the answer in a model's text: what stands before the first blank line, stripped."""
    return response.split("\n\n", 1)[0].strip()


def exact_match(answer: str, gold: str) -> float:
    """Return 1.0 if both are the same but for what ``normalise`` takes away, else 0.0."""
    return float(normalise(answer) == normalise(gold))


def f1(answer: str, gold: str) -> float:
    """Return the harmonic mean of the shares of words that the answer and the gold answer have in common.

    Where one has no words left, it is 1.0 if both have none, else 0.0, as in SQuAD 2.0's official script.
    """
    words, gold_words = Counter(normalise(answer).split()), Counter(normalise(gold).split())
    if not words or not gold_words:
        return float(words == gold_words)
    return 2 * (words & gold_words).total() / (words.total() + gold_words.total())


def contains(answer: str, gold: str) -> float:
    """Return 1.0 if the gold answer stands in the answer, in whole words, else 0.0."""
    return float(f" {normalise(gold)} " in f" {normalise(answer)} ")


def counting(golds: Sequence[str]) -> list[str]:
    """Return the gold answers that the official script counts: those that ``normalise`` leaves something of."""
    return [gold for gold in golds if normalise(gold)]


def best(metric: Callable[[str, str], float], answer: str, golds: Sequence[str]) -> float:
    """Return the highest score of ``answer`` against any of the gold answers, of which there is at least one."""
    return max(metric(answer, gold) for gold in golds)


def score(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score the response ``results[0]`` to the record ``doc``.

    Where no gold answer counts, the empty answer is the right one, as in SQuAD 2.0's official script.
    """
    answer, golds = read_answer(results[0]), counting(doc["answers"]) or [""]
    return {metric.__name__: best(metric, answer, golds) for metric in (exact_match, f1, contains)}
