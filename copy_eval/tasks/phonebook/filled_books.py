"""Phonebooks that fill a number of tokens, each asked for entries at several depths.

All prompts about one book begin alike: the book and the two solved lookups are the same, and only the last line, the
name that is asked for, differs::

    James Smith: 6093237777
    ...
    Paul Weber: 9148812036

    Anna Brown: 7015550199
    Mary Lopez: 8323456789

    James Smith:
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice, pairwise
from typing import Protocol

from copy_eval.errors import UserError
from copy_eval.tasks.phonebook.generator import SHOTS, Entry, draw_entries, render_prompt
from copy_eval.tasks.phonebook.names import count_full_names
from copy_eval.tasks.sampling import draw_distinct, example_rng

ANSWER_TOKENS = 32
"""What an answer may take, the task's ``max_gen_toks``."""

_ROOM = ANSWER_TOKENS + 1
"""Tokens that a prompt leaves: for its answer, and for the mark that some models put before a text."""

_FIRST_ENTRIES = 64
"""From these it is estimated how many more are needed."""

_SURPLUS = 1.02
"""Entries that are drawn for each that is expected to be needed: the text is encoded again if they fall short."""


class TokenCounter(Protocol):
    """The part of a tokenizer that is needed here."""

    def encode(self, text: str) -> list[int]:
        """Return the tokens of ``text``."""

    def count_before(self, text: str, places: Iterable[int]) -> list[int]:
        """Return for each index of a character how many tokens of ``text`` begin before it."""


@dataclass(frozen=True, slots=True)
class FilledBook:
    """A book and the questions about it: a prompt and an answer for each depth."""

    entries: int
    questions: tuple[tuple[str, str], ...]


def draw_filled_book(
    data_seed: int, length: int, index: int, depths: Sequence[float], tokenizer: TokenCounter
) -> FilledBook:
    """Draw book ``index`` and ask for the entries nearest to the depths.

    Book and questions depend on the arguments alone, and the book on no depth.

    Args:
        data_seed: of the task.
        length: tokens that each prompt with its answer has room in.
        index: of the book.
        depths: from 0.0 (the first entry) to 1.0 (the last), in ascending order.
        tokenizer: counts the tokens.

    Raises:
        UserError: if the length is too short for the questions, or there are too few names for it.
    """
    rng = example_rng(data_seed, length, index)
    book = fill_book(rng, length, tokenizer)
    asked = [round(depth * (len(book) - 1)) for depth in depths]
    if len(set(asked)) < len(asked) or len(book) < len(asked) + SHOTS:
        raise UserError(
            f"{length} tokens hold a phonebook of {len(book)} entries, too few for questions at {len(depths)} "
            f"depths and {SHOTS} solved lookups of other entries: give fewer depths or a greater length"
        )
    others = sorted(set(range(len(book))) - set(asked))
    solved = [book[others[place]] for place in draw_distinct(rng, len(others), SHOTS)]
    questions = tuple((render_prompt(book, solved, book[place].name), book[place].number) for place in asked)
    return FilledBook(len(book), questions)


def fill_book(rng: random.Random, length: int, tokenizer: TokenCounter) -> list[Entry]:
    """Draw the largest book about which any question fits ``length`` tokens, with ``_ROOM`` left.

    What stands below the book is counted as three lines as long as the longest of the book, so that the book is at
    least one entry short of the length, and does not depend on what will be asked. The text is encoded once, and the
    tokens before each line are read off it.

    Raises:
        UserError: if no book fits, or the census lists have too few names.
    """
    source = draw_entries(rng)
    book: list[Entry] = []
    counts = [0]
    wanted = _FIRST_ENTRIES
    while counts[-1] <= length:
        if wanted > count_full_names():
            raise UserError(
                f"{length} tokens need a phonebook of some {wanted} entries, but the census lists form "
                f"{count_full_names()} different names"
            )
        book += islice(source, wanted - len(book))
        lines = [f"{entry}\n" for entry in book]
        counts = tokenizer.count_before("".join(lines), accumulate(map(len, lines), initial=0))
        wanted = len(book) + 1 + int((length - counts[-1]) * _SURPLUS * len(book) / max(counts[-1], 1))
    longest, size = 0, 0
    for before, after in pairwise(counts):
        longest = max(longest, after - before)
        if after + (SHOTS + 1) * longest + _ROOM > length:
            break
        size += 1
    if size < SHOTS + 1:
        raise UserError(f"{length} tokens are too few for a phonebook: {SHOTS + 1} entries, a question and its answer")
    return book[:size]
