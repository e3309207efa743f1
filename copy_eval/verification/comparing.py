"""Compares answers with those of a reference: how many are equal, where the others part, and whether that is rounding.

Nothing here knows where the answers came from: from the ways in which this machine runs a model, or from the logged
samples of an engine. Two greedy answers of one model may differ and both be right, where its best two choices are
nearer to each other than rounding; a ``Judge`` tells such a tie from a real divergence. Without one, a difference is
``unjudged``, and counts as a divergence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal, Protocol

TIE: Literal["tie"] = "tie"
"""Every token of the other answer is the model's best choice, or below it by no more than rounding."""

DIVERGED: Literal["diverged"] = "diverged"
"""The other answer has a token that the model would not choose."""

UNJUDGED: Literal["unjudged"] = "unjudged"
"""There is no model to ask."""

_SHOWN = 24
"""Characters of an answer that are shown from the first difference on."""


@dataclass(frozen=True)
class Request:
    """One prompt, and how its answer is generated: greedily, up to the first of ``until`` or ``most`` tokens."""

    name: str
    """Of its kind and number, such as ``phonebook 3``."""

    prompt: str
    until: tuple[str, ...] = ()
    most: int = 32


@dataclass(frozen=True)
class Answers:
    """What one way of running a model answered, a text for each request."""

    way: str
    texts: Sequence[str]
    seconds: float | None = None
    """How long all answers took; None where nobody knows."""


@dataclass(frozen=True)
class Judgement:
    """What a judge found of an answer that is not the reference's."""

    index: int
    """The token of the answer at which the two part, from 0."""

    gap: float
    """How far the least likely token of the other answer lies below the model's best choice there, in logits; infinite
    for a text that goes on after its end or after as many tokens as it may have."""

    noise: float
    """How far the two could lie apart by rounding alone, in logits."""


class Judge(Protocol):
    """Knows the logits of the model."""

    def judge(self, request: Request, reference: str, other: str) -> Judgement:
        """Say whether the model could have answered ``other``, where it answered ``reference``."""


@dataclass(frozen=True)
class Difference:
    """An answer that is not the reference's."""

    request: str
    """The name of the request."""

    index: int | None
    """The token of the answer at which the two part, from 0; None without a judge."""

    reference: str
    other: str
    """How each goes on from there; empty where it ends."""

    verdict: Literal["tie", "diverged", "unjudged"]
    gap: float | None = None
    noise: float | None = None
    """See ``Judgement``; None where it is not finite, too."""

    @classmethod
    def judged(cls, request: Request, reference: str, other: str, found: Judgement) -> "Difference":
        """Return the difference that a judge found something of."""
        verdict: Literal["tie", "diverged"] = TIE if found.gap <= found.noise else DIVERGED
        gap, noise = (number if isfinite(number) else None for number in (found.gap, found.noise))
        return cls(request.name, found.index, reference, other, verdict, gap, noise)


@dataclass(frozen=True)
class Comparison:
    """The answers of one way beside those of the reference."""

    way: str
    total: int
    differences: tuple[Difference, ...] = ()
    seconds: float | None = None
    unused: str = ""
    """Why this way was not run; empty if it was."""

    @property
    def equal(self) -> int:
        """How many answers are equal."""
        return self.total - len(self.differences)

    @property
    def ties(self) -> int:
        """How many answers differ by rounding alone."""
        return sum(difference.verdict == TIE for difference in self.differences)

    @property
    def diverged(self) -> int:
        """How many answers differ otherwise."""
        return len(self.differences) - self.ties


@dataclass(frozen=True)
class Verification:
    """Everything that was compared with one reference."""

    subject: str
    """What was verified, in a few words."""

    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...] = ()
    """What else there is to know, such as prompts that were left out."""

    @property
    def exit_code(self) -> int:
        """0 if all answers are equal but for ties, 1 if one diverged."""
        return int(any(comparison.diverged for comparison in self.comparisons))


def compare(requests: Sequence[Request], reference: Answers, other: Answers, judge: Judge | None = None) -> Comparison:
    """Compare the answers to the same requests.

    Args:
        requests: what both were asked.
        reference: the answers that are taken for the model's own.
        other: the answers to verify.
        judge: tells ties from divergences.

    Raises:
        ValueError: if there is not an answer for each request on both sides.
    """
    pairs = zip(requests, reference.texts, other.texts, strict=True)
    differences = tuple(_find_difference(*pair, judge) for pair in pairs if pair[1] != pair[2])
    return Comparison(other.way, len(requests), differences, other.seconds)


def _find_difference(request: Request, reference: str, other: str, judge: Judge | None) -> Difference:
    same = count_same(reference, other)
    said = reference[same:][:_SHOWN], other[same:][:_SHOWN]
    if judge is None:
        return Difference(request.name, None, *said, UNJUDGED)
    return Difference.judged(request, *said, judge.judge(request, reference, other))


def count_same(first: str, second: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(first), len(second)))
