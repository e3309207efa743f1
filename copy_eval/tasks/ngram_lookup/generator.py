"""Looking an n-gram up (Jelassi et al. 2024, section 3): a string and one of its n-grams, then what follows it there.

An example with 12 letters, the n-gram after the string and before it; the answer of both is ``fw.``, since only
two letters follow::

    $uizrzkbdttfw|dtt
    $dtt|uizrzkbdttfw|

Everything here is pure: a random source in, plain records out.
"""

from copy_eval.errors import UserError
from copy_eval.tasks.alphabet import BEGIN, END, SEPARATOR, draw_string
from copy_eval.tasks.sampling import draw_below, example_rng
from copy_eval.tasks.synthetic import Example

NGRAM = 3
"""Letters of the n-gram."""

FOLLOWING = 3
"""Letters that are asked for; where the string ends before, those up to its end."""

SHORTEST = NGRAM + 1
"""Letters of the shortest string: something must follow the n-gram."""

VARIANTS = ("prefix", "suffix")
"""The same strings and n-grams: the n-gram before the string, and after it."""


def find_unique(string: str) -> list[int]:
    """Return the places of the n-grams that stand in ``string`` once and that a letter follows, in their order."""
    ngrams = [string[place : place + NGRAM] for place in range(len(string) - NGRAM + 1)]
    counts: dict[str, int] = {}
    for ngram in ngrams:
        counts[ngram] = counts.get(ngram, 0) + 1
    return [place for place, ngram in enumerate(ngrams[:-1]) if counts[ngram] == 1]


def draw_example(data_seed: int, length: int, index: int, variant: str) -> Example:
    """Draw example ``index``; it depends on the arguments alone.

    The variants of an example share string and n-gram. The string is uniform among those that have an n-gram to ask
    for, and the n-gram among those of the string.

    Args:
        data_seed: the seed of all examples.
        length: letters of the string.
        index: which example.
        variant: one of ``VARIANTS``.

    Raises:
        UserError: for an unknown variant, or a string that is too short for an n-gram and a letter after it.
    """
    if variant not in VARIANTS:
        raise UserError(f"unknown ngram_lookup variant {variant!r}: choose one of {', '.join(VARIANTS)}")
    if length < SHORTEST:
        raise UserError(f"a string of {length} letters is too short to look up what follows {NGRAM} of them")
    rng = example_rng(data_seed, length, index)
    places: list[int] = []
    while not places:
        string = draw_string(rng, length)
        places = find_unique(string)
    place = places[draw_below(rng, len(places))]
    end = place + NGRAM
    ngram, following = string[place:end], string[end : end + FOLLOWING]
    parts = [ngram, string, ""] if variant == "prefix" else [string, ngram]
    last = length - SHORTEST
    return Example(BEGIN + SEPARATOR.join(parts), following + END, place / last if last else 0.0)
