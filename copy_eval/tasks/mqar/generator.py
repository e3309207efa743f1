"""Multi-query associative recall (Arora et al. 2023, arXiv 2312.04927): pairs of key and value, then all keys.

An example with 4 pairs, whose answer is ``nnzr.``, the values of the keys in the order in which they are asked::

    $hhzjbnkknkhr|kkjbhhkh|

Keys are two letters of the first half of the alphabet and values one of the second, as Zoology's are of two halves of
the vocabulary. Everything here is pure: a random source in, plain records out.
"""

from copy_eval.errors import UserError
from copy_eval.tasks.alphabet import BEGIN, END, LETTERS, SEPARATOR, draw_string
from copy_eval.tasks.sampling import draw_distinct, example_rng
from copy_eval.tasks.synthetic import Example

KEY_LETTERS, VALUE_LETTERS = LETTERS[:13], LETTERS[13:]

KEYS = [first + second for first in KEY_LETTERS for second in KEY_LETTERS]
"""Every key that there is."""


def draw_example(data_seed: int, pairs: int, index: int) -> Example:
    """Draw example ``index``; it depends on the arguments alone.

    No key stands twice among the pairs, and each is asked for once, in another order.

    Raises:
        UserError: if there are fewer keys than ``pairs``.
    """
    if pairs > len(KEYS):
        raise UserError(f"{pairs} pairs need as many different keys, but there are {len(KEYS)}")
    rng = example_rng(data_seed, pairs, index)
    keys = [KEYS[place] for place in draw_distinct(rng, len(KEYS), pairs)]
    values = draw_string(rng, pairs, VALUE_LETTERS)
    order = draw_distinct(rng, pairs, pairs)
    book = "".join(key + value for key, value in zip(keys, values, strict=True))
    asked = "".join(keys[place] for place in order)
    return Example(f"{BEGIN}{book}{SEPARATOR}{asked}{SEPARATOR}", "".join(values[place] for place in order) + END)
