"""What the synthetic tasks share: the form of an example, and the scores of an answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from copy_eval.tasks.alphabet import END


@dataclass(frozen=True, slots=True)
class Example:
    """A question and its answer, which ends with the end mark.

    ``depth`` is the place in the prompt where the answer stands, from 0.0 (as early as it can) to 1.0; None where the
    answer is made of the whole prompt.
    """

    prompt: str
    answer: str
    depth: float | None = None


def read_answer(response: str) -> str:
    """Return the answer in a model's text: what stands before the end mark."""
    return response.split(END, 1)[0]


def teacher_forced_match(answer: str, gold: str) -> float:
    """Return 1.0 if the answer begins with the gold letters, else 0.0: what the official code reports.

    The official code gives the model the gold letters and asks whether it would have chosen each of them. Greedy
    decoding with a token for each letter has seen the same letters up to its first error, so that it makes an error if
    and only if teacher forcing does. What comes after the last letter does not count.
    """
    return float(answer.startswith(gold))


def character_accuracy(answer: str, gold: str) -> float:
    """Return the share of the gold letters that stand at the same place in the answer."""
    return sum(given == wanted for given, wanted in zip(answer, gold, strict=False)) / len(gold)


def score(doc: Mapping[str, str], results: Sequence[str]) -> dict[str, float]:
    """Score the response ``results[0]`` to the record ``doc``."""
    answer, gold = read_answer(results[0]), doc["answer"]
    return {
        "exact_match": float(answer == gold),
        "teacher_forced_match": teacher_forced_match(answer, gold),
        "character_accuracy": character_accuracy(answer, gold),
    }
