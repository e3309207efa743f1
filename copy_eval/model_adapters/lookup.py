"""Prompt lookup: guesses how a text goes on from how it went on before.

    the cat sat. the cat      (the longest suffix that stood there before: "the cat", followed by " sat.")

Saxena 2023 (prompt lookup decoding) looks for the last few tokens only; the longest suffix finds the right one of
several like places: the second copy of a text rather than another sentence that begins with the same words.
"""

from collections.abc import Sequence

SHORTEST = 2
"""Tokens that must have stood there before: one alone, such as a digit, says too little about what follows."""


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
