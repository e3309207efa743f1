"""Scores of one copy: two strings in, numbers out."""

from collections.abc import Mapping, Sequence

from rapidfuzz.distance import Levenshtein, Prefix

from copy_eval.tasks.c4.chunks import clean


def read_answer(response: str) -> str:
    """Return the copy in a model's text: what stands before the first blank line, in one line."""
    return clean(response.split("\n\n", 1)[0])


def copied_before_error(answer: str, gold: str) -> float:
    """Return the share of the gold text's characters that the answer has in their place before its first error."""
    return Prefix.similarity(answer, gold) / len(gold)


def similarity(answer: str, gold: str) -> float:
    """Return 1 less the Levenshtein distance per character of the longer text; it is the same both ways round."""
    return Levenshtein.normalized_similarity(answer, gold)


def score(doc: Mapping[str, str], results: Sequence[str]) -> dict[str, float]:
    """Score the response ``results[0]`` to the record ``doc``."""
    answer, gold = read_answer(results[0]), doc["answer"]
    return {
        "exact_match": float(answer == gold),
        "copied_before_error": copied_before_error(answer, gold),
        "similarity": similarity(answer, gold),
    }
