"""Prompt lookup decoding: what an answer is drafted from, when it is drafted, and how much of it.

A draft is what followed the longest suffix of the text where it stood before:

    the cat sat. the cat      (the suffix "the cat" stood there before, followed by " sat.")

Saxena 2023 (prompt lookup decoding) looks for the last few tokens only; the longest suffix finds the right one of
several similar places: the second copy of a text rather than another sentence that begins with the same words.

Drafts are long where they prove right and rare where they do not. Nothing here changes an answer: a draft only saves
forward passes where the model's own choices agree with it.
"""

from collections import deque
from collections.abc import Sequence

SHORTEST = 2
"""Tokens that must have stood there before: one alone, such as a digit, says too little about what follows."""

_FLOOR = 8
"""Tokens that may always be drafted: this costs a forward pass next to nothing."""

_GROWTH = 8
"""After a slip the next draft is about twice what stood; each that is right as a whole makes the next longer."""

_WORTH = 2
"""Tokens of a draft that must be right for it to have saved more than it cost."""

_MISSES = 4
"""Worthless first drafts in a row after which a wary trust asks for few."""

_PROBE = 16
"""Of so many answers one is then still drafted, to find out whether the model copies again."""

_FIRST_PAUSE = 4
"""Tokens decoded one by one after a draft that was not worth it; each further one in a row doubles it."""


def look_up(tokens: Sequence[int], most: int) -> list[int]:
    """Return what followed the longest earlier occurrence of a suffix of ``tokens``, in linear time.

    Of several such occurrences the last one counts: what a text has just repeated, it tends to repeat once more. The
    occurrence may overlap the suffix, and what followed it may run into the guess itself, for as long as the text has
    repeated itself so far: ``1 2 1 2 1 2`` goes on as ``1 2 1 2``.

    Args:
        tokens: the text so far.
        most: the length of the guess at most.

    Returns:
        The guess; empty where no suffix of at least ``SHORTEST`` tokens stood there before.
    """
    back, matched = _last_match(tokens)
    size = max(0, min(most, max(back, matched)))
    if back == 0 or size == 0:
        return []
    period = list(tokens[len(tokens) - back :])
    return (period * -(-size // back))[:size]


def _last_match(tokens: Sequence[int]) -> tuple[int, int]:
    """Return by how many tokens the occurrence ends before the text does, 0 for none, and its length.

    This is the Z function of the reversed text: ``matched[i]`` is how long the text's suffix and the suffix of the
    text without its last i tokens agree.
    """
    backwards = tokens[::-1]
    matched = [0] * len(backwards)
    left = right = 0
    best, longest = 0, SHORTEST - 1
    i = 1
    while i < len(backwards):
        if i >= right:
            # Nothing is known from here on: skip in C to the next place that ends in the last token.
            try:
                i = backwards.index(backwards[0], i)
            except ValueError:
                break
        same = min(right - i, matched[i - left]) if i < right else 1
        while i + same < len(backwards) and backwards[same] == backwards[i + same]:
            same += 1
        if i + same > right:
            left, right = i, i + same
        matched[i] = same
        if same > longest:
            best, longest = i, same
        i += 1
    return best, longest


class Trust:
    """How long the first draft of an answer may be, by what became of the answers before: a model's whole run has one.

    A draft that is wrong lengthens the pass over the prompt for nothing, so a model that has not copied of late gets
    short ones. Twice of what was right grows back to any length within a few answers.
    """

    def __init__(self, wary: bool = False) -> None:
        """Begin a run.

        Args:
            wary: whether a wrong first draft costs a whole second pass over the prompt, so that a model that has not
                copied of late should get nearly none.
        """
        self._wary = wary
        self._accepted: deque[int] = deque(maxlen=32)
        self._answers = 0

    def longest(self) -> int | None:
        """Return the most tokens that the next answer's drafts may have; None for no limit."""
        self._answers += 1
        recent = list(self._accepted)[-_MISSES:]
        misses = len(recent) == _MISSES and max(recent) < _WORTH
        if self._wary and misses and self._answers % _PROBE:
            return 0
        return 2 * max(self._accepted) + _FLOOR if self._accepted else None

    def learn(self, accepted: int) -> None:
        """Take note of how much of an answer's first draft was right."""
        self._accepted.append(accepted)


def width_filled(lengths: Sequence[int], share: float) -> int:
    """Return how much of a batch's drafts to take in together, by what the padding of the shorter ones costs.

    Args:
        lengths: of each row's draft, 0 for a row without one.
        share: the part of rows times width that drafted tokens must fill.

    Returns:
        The greatest of the lengths at which they do; 0 if none.
    """
    return max(
        (width for width in lengths if sum(min(width, length) for length in lengths) >= share * width * len(lengths)),
        default=0,
    )


class Drafter:
    """Drafts one answer, as often as that pays."""

    def __init__(self, prompt: Sequence[int], trust: Trust) -> None:
        self._text = list(prompt)
        self._trust = trust
        self._longest = trust.longest()
        self._first = True
        self._pause, self._next_pause = 0, _FIRST_PAUSE

    def draft(self, most: int) -> list[int]:
        """Return up to ``most`` tokens that the answer may go on with; often none."""
        if self._pause > 0:
            return []
        return look_up(self._text, most if self._longest is None else min(most, self._longest))

    def learn(self, draft: Sequence[int], accepted: int, tokens: Sequence[int]) -> None:
        """Take note of how the answer went on.

        Args:
            draft: what ``draft`` returned.
            accepted: how many of its tokens were right.
            tokens: the answer's new tokens: the accepted ones and the one after them.
        """
        self._text += tokens
        self._pause -= len(tokens)
        if not draft:
            return
        if self._first:
            self._trust.learn(accepted)
            self._first = False
        if accepted < min(_WORTH, len(draft)):
            self._pause = self._next_pause
            self._next_pause *= 2
        else:
            self._next_pause = _FIRST_PAUSE
        if accepted < len(draft):
            self._longest = 2 * accepted + _FLOOR
        elif self._longest is not None:
            self._longest *= _GROWTH
