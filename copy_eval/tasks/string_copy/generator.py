"""Copying a random string (Jelassi et al. 2024, section 3): a string between two marks, then the string once more.

An example with 8 letters, whose answer is ``gkbzsxin.``::

    $gkbzsxin|

The same with a repeated 3-gram: ``kbz`` has overwritten ``xin``::

    $gkbzskbz|

Everything here is pure: a random source in, plain records out.
"""

import random

from copy_eval.errors import UserError
from copy_eval.tasks.alphabet import BEGIN, END, SEPARATOR, draw_string
from copy_eval.tasks.sampling import draw_below, example_rng
from copy_eval.tasks.synthetic import Example


def repeat_ngram(rng: random.Random, string: str, size: int) -> str:
    """Overwrite one n-gram of ``string`` by another that it does not overlap, each such pair equally likely.

    Raises:
        UserError: if the string does not hold two n-grams side by side.
    """
    free = len(string) - 2 * size
    if free < 0:
        raise UserError(f"a string of {len(string)} letters cannot hold an n-gram of {size} letters twice")
    # Two places that leave at least `size` between them are any two different ones of a string shorter by `size`.
    places = free + 2
    first = draw_below(rng, places)
    second = draw_below(rng, places - 1)
    second += second >= first
    kept, overwritten = (place + (size - 1) * (place > other) for place, other in ((first, second), (second, first)))
    return string[:overwritten] + string[kept : kept + size] + string[overwritten + size :]


def draw_example(data_seed: int, length: int, index: int, repeated: int = 0) -> Example:
    """Draw example ``index``; it depends on the arguments alone.

    Args:
        data_seed: the seed of all examples.
        length: letters of the string.
        index: which example.
        repeated: letters of the n-gram that stands in the string twice, or 0; the other letters of the string are those
            of the example without one.

    Raises:
        UserError: if the n-gram does not fit into the string twice.
    """
    rng = example_rng(data_seed, length, index)
    string = draw_string(rng, length)
    if repeated:
        string = repeat_ngram(rng, string, repeated)
    return Example(f"{BEGIN}{string}{SEPARATOR}", f"{string}{END}")
