"""The characters of the synthetic tasks: 26 letters and three marks, each of them one token of a model trained on them.

The marks are those of the official code: ``$`` begins an example, ``|`` ends a part of the prompt, ``.`` ends the
answer.
"""

import random
from string import ascii_lowercase

from copy_eval.tasks.sampling import draw_below

LETTERS = ascii_lowercase
BEGIN = "$"
SEPARATOR = "|"
END = "."

CHARACTERS = LETTERS + BEGIN + SEPARATOR + END
"""All characters, in the order of their tokens."""


def draw_string(rng: random.Random, length: int, letters: str = LETTERS) -> str:
    """Draw ``length`` letters, each uniform and independent of the others."""
    return "".join(letters[draw_below(rng, len(letters))] for _ in range(length))
