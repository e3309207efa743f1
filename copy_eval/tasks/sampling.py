"""Seeded draws that give the same values on every platform and Python version.

Python promises a stable sequence only for ``Random.random()`` and for seeding with a string; ``sample``, ``choice`` and
``randrange`` may change between releases. Everything here is built on those two.
"""

import random


def example_rng(data_seed: int, length: int, index: int) -> random.Random:
    """Return the random source of example ``index`` at ``length``; it depends on these three numbers alone."""
    return random.Random(f"{data_seed}/{length}/{index}")


def draw_below(rng: random.Random, bound: int) -> int:
    """Draw a whole number from 0 to ``bound - 1``, each equally likely."""
    return int(rng.random() * bound)


def draw_distinct(rng: random.Random, bound: int, count: int) -> list[int]:
    """Draw ``count`` different whole numbers below ``bound``, in random order.

    Raises:
        ValueError: if there are fewer than ``count`` such numbers.
    """
    if count > bound:
        raise ValueError(f"cannot draw {count} different numbers below {bound}")
    # Fisher-Yates on a dictionary of the moved places: no list of `bound` elements is built.
    moved: dict[int, int] = {}
    drawn = []
    for last in range(bound - 1, bound - 1 - count, -1):
        pick = draw_below(rng, last + 1)
        drawn.append(moved.get(pick, pick))
        moved[pick] = moved.get(last, last)
    return drawn
