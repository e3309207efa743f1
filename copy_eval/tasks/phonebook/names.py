"""Full names drawn by their frequency in the 1990 US census; the lists come with the package ``names``."""

import random
from bisect import bisect_right
from functools import cache
from pathlib import Path

import names as census

from copy_eval.tasks.sampling import draw_below

_FIRST_NAME_LISTS = ("first:male", "first:female")
_LAST_NAME_LIST = "last"


@cache
def _read_list(key: str) -> tuple[list[str], list[float]]:
    """Return the names of one census list and their cumulative frequencies, in percent."""
    spelled, cumulative = [], []
    for line in Path(census.FILES[key]).read_text(encoding="ascii").splitlines():
        name, _, up_to_here, _ = line.split()
        spelled.append(name.capitalize())
        cumulative.append(float(up_to_here))
    return spelled, cumulative


def _draw_from(rng: random.Random, key: str) -> str:
    spelled, cumulative = _read_list(key)
    # The lists stop near 90 %: the census published no rarer names.
    return spelled[bisect_right(cumulative, rng.random() * cumulative[-1])]


def draw_full_name(rng: random.Random) -> str:
    """Draw ``First Last``; male and female first names are equally likely."""
    first = _draw_from(rng, _FIRST_NAME_LISTS[draw_below(rng, 2)])
    return f"{first} {_draw_from(rng, _LAST_NAME_LIST)}"


@cache
def count_full_names() -> int:
    """Return how many different full names the lists can form."""
    first_names = {name for key in _FIRST_NAME_LISTS for name in _read_list(key)[0]}
    return len(first_names) * len(set(_read_list(_LAST_NAME_LIST)[0]))
