"""Phonebook lookup (Jelassi et al. 2024, section 4): a book of names and numbers, then the name to look up.

An example with 4 entries, whose answer is ``8323456789``::

    James Smith: 6093237777
    Mary Lopez: 8323456789
    Anna Brown: 7015550199
    Paul Weber: 9148812036

    Paul Weber: 9148812036
    James Smith: 6093237777

    Mary Lopez:

Everything here is pure: a random source in, plain records out.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from copy_eval.errors import UserError
from copy_eval.tasks.phonebook.names import count_full_names, draw_full_name
from copy_eval.tasks.sampling import draw_below, draw_distinct, example_rng

SHOTS = 2
"""Solved lookups between the book and the question, as in the official code."""

VARIANTS = ("plain", "dashed", "reversed")
"""The same books: as they are, with dashes in the numbers, with the question also before the book."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a book; ``number`` is ten digits, the first from 6 to 9."""

    name: str
    number: str

    def __str__(self) -> str:
        return f"{self.name}: {self.number}"


def _draw_number(rng: random.Random) -> str:
    return f"{6 + draw_below(rng, 4)}{draw_below(rng, 10**9):09d}"


def draw_book(rng: random.Random, entries: int) -> list[Entry]:
    """Draw a book in which no name and no number stands twice, so that every question has one answer.

    Raises:
        UserError: if the census lists cannot form ``entries`` different names.
    """
    if entries > count_full_names():
        raise UserError(
            f"{entries} entries need as many different names, but the census lists form {count_full_names()}"
        )
    return list(islice(draw_entries(rng), entries))


def draw_entries(rng: random.Random) -> Iterator[Entry]:
    """Draw entries without end; no name and no number comes twice.

    The rarer the names that are left, the longer the next one takes; a caller asks for no more than there are.
    """
    names: set[str] = set()
    numbers: set[str] = set()
    while True:
        name, number = draw_full_name(rng), _draw_number(rng)
        if name not in names and number not in numbers:
            names.add(name)
            numbers.add(number)
            yield Entry(name, number)


def draw_lookups(rng: random.Random, book: Sequence[Entry], count: int = SHOTS + 1) -> list[Entry]:
    """Draw ``count`` different entries of the book: the solved ones, and last the one that is asked for."""
    return [book[place] for place in draw_distinct(rng, len(book), count)]


def dash_number(number: str) -> str:
    """Write ``6093237777`` as ``609-323-7777``."""
    return f"{number[:3]}-{number[3:6]}-{number[6:]}"


def render_prompt(book: Sequence[Entry], solved: Sequence[Entry], name: str) -> str:
    """Write the book, the solved lookups and the open one; the answer follows after a space."""
    blocks = ["\n".join(map(str, block)) for block in (book, solved)]
    return "\n\n".join([*blocks, f"{name}:"])


def render_reversed_prompt(book: Sequence[Entry], name: str) -> str:
    """Write the question first, then the book, then the question again.

    A model with a fixed-size state can then look for one entry instead of remembering all of them. The idea is that of
    Waleffe et al. 2024 (arXiv 2406.07887, section 3.3.3); the wording is ours.
    """
    question = f"Find the phone number of {name} in this phonebook. Each line reads First Last: number."
    return "\n\n".join([question, "\n".join(map(str, book)), f"{name}:"])


@dataclass(frozen=True, slots=True)
class Example:
    """A question and its answer; ``depth`` is the place of its entry, from 0.0 (first line of the book) to 1.0."""

    prompt: str
    answer: str
    depth: float


def draw_example(data_seed: int, entries: int, index: int, variant: str = "plain") -> Example:
    """Draw example ``index``; it depends on the arguments alone, and the variants of an example share its book.

    Raises:
        UserError: for an unknown variant, or more entries than there are different names.
    """
    if variant not in VARIANTS:
        raise UserError(f"unknown phonebook variant {variant!r}: choose one of {', '.join(VARIANTS)}")
    rng = example_rng(data_seed, entries, index)
    book = draw_book(rng, entries)
    if variant == "dashed":
        book = [Entry(entry.name, dash_number(entry.number)) for entry in book]
    *solved, asked = draw_lookups(rng, book)
    reverse = variant == "reversed"
    prompt = render_reversed_prompt(book, asked.name) if reverse else render_prompt(book, solved, asked.name)
    return Example(prompt, asked.number, book.index(asked) / (entries - 1))
