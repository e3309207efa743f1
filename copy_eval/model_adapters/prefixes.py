"""The order in which prompts that begin alike meet: what they share is then taken in once.

Sorted by their tokens, prompts that share a prefix stand side by side, and the longest prefixes that neighbours share
form a tree:

    [header [book A [question 1] [question 2]] [book B [question 1] [question 2]]]

A prompt's path is cut at most once, where that saves most: here at the books rather than at the header. Prompts for
which no cut is worth it remain alone.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """Prompts that begin with the same tokens."""

    members: list[int]
    """Their places in the list of prompts."""

    shared: int
    """Tokens that they have in common; each prompt has at least one more."""

    gain: float = 0.0


def find_families(prompts: Sequence[Sequence[int]], gain: Callable[[int, int], float]) -> list[Family]:
    """Return every prompt in one family, which may be that of this prompt alone.

    Args:
        prompts: token ids, at least one a prompt.
        gain: what so many prompts gain by so many tokens that they share.
    """
    order = sorted(range(len(prompts)), key=lambda place: list(prompts[place]))
    # From the root to the last prompt: the tokens that a branch shares, and the families in it so far.
    path: list[tuple[int, list[Family]]] = [(0, [])]
    for place, prompt in enumerate(order):
        families = [Family([prompt], 0)]
        # The last prompt has no next one, so that all branches end.
        shared = _count_shared(prompts[prompt], prompts[order[place + 1]]) if place + 1 < len(order) else 0
        while path[-1][0] > shared:
            length, others = path.pop()
            families = _merge([*others, *families], length, gain)
        if path[-1][0] < shared:
            path.append((shared, []))
        path[-1][1].extend(families)
    return path[0][1]


def _merge(families: list[Family], shared: int, gain: Callable[[int, int], float]) -> list[Family]:
    """Make one family, by what all share, of those that gain more in it than by themselves."""
    apart = [family for family in families if family.gain > shared * len(family.members)]
    together = [family for family in families if family.gain <= shared * len(family.members)]
    members = [member for family in together for member in family.members]
    merged = Family(members, shared, gain(len(members), shared))
    return [*apart, merged] if merged.gain > sum(family.gain for family in together) else families


def _count_shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens two prompts have in common, without the last token of the shorter."""
    most = min(len(one), len(other)) - 1
    # Slices are compared in C.
    return bisect_left(range(1, most + 1), True, key=lambda size: one[:size] != other[:size])
