"""The requests of ``copy-eval verify``: few, always the same, and each of a kind that has broken some software.

They are drawn by the generators of the tasks. What a model is trained on does not matter: it is compared with itself.
"""

from collections.abc import Callable, Iterator, Sequence

from copy_eval.tasks.mqar import generator as mqar
from copy_eval.tasks.phonebook.generator import Entry, draw_book, draw_example, draw_lookups, render_prompt
from copy_eval.tasks.sampling import example_rng
from copy_eval.tasks.string_copy import generator as string_copy
from copy_eval.verification.comparing import Request

_SEED = 1234

_LINE: tuple[str, ...] = ("\n",)
_MOST_OF_A_LINE, _MOST_OF_A_COPY = 32, 48


def make_requests() -> tuple[Request, ...]:
    """Return all requests, those of a kind side by side.

    Nearly all have one of two limits, so that those of different kinds share batches: the end of a line or 32 tokens,
    and 48 tokens.
    """
    return tuple(
        Request(f"{kind} {number}", prompt, until, most)
        for kind, until, most, prompts in _KINDS
        for number, prompt in enumerate(prompts(), 1)
    )


def select_fitting(
    requests: Sequence[Request], context: int | None, encode: Callable[[str], Sequence[int]]
) -> tuple[tuple[Request, ...], tuple[Request, ...]]:
    """Return the requests that fit a context together with their answers, and the others.

    Args:
        requests: see ``make_requests``.
        context: the most tokens of a prompt with its answer; None for no limit.
        encode: from a prompt to its tokens.
    """
    fits = [context is None or len(encode(request.prompt)) + request.most <= context for request in requests]
    chosen = [
        tuple(each for each, fit in zip(requests, fits, strict=True) if fit is wanted) for wanted in (True, False)
    ]
    return chosen[0], chosen[1]


def _phonebook() -> Iterator[str]:
    for index, entries in enumerate((3, 6, 12, 24)):
        yield draw_example(_SEED, entries, index).prompt


def _shared_prefix() -> Iterator[str]:
    rng = example_rng(_SEED, 30, 0)
    book = draw_book(rng, 30)
    *asked, first, second = draw_lookups(rng, book, 10)
    for entry in asked:
        yield render_prompt(book, [first, second], entry.name)


def _recall() -> Iterator[str]:
    for index, pairs in enumerate((4, 12)):
        yield mqar.draw_example(_SEED, pairs, index).prompt


def _string() -> Iterator[str]:
    for index, length in enumerate((12, 24, 48)):
        yield string_copy.draw_example(_SEED, length, index, repeated=length // 3).prompt


def _length() -> Iterator[str]:
    prompt = draw_example(_SEED, 8, 0).prompt
    for size in (1, 3, 10, 40, 160):
        yield prompt[:size].rstrip()


def _draw_books() -> Iterator[list[Entry]]:
    for index in range(3):
        yield draw_book(example_rng(_SEED, 4, index), 4)


def _copy() -> Iterator[str]:
    for book in _draw_books():
        yield "\n".join(map(str, book)) + f"\n\n{book[0].name}:"


def _slip() -> Iterator[str]:
    for book in _draw_books():
        wrong = Entry(book[0].name, book[1].number)
        yield "\n".join(map(str, book)) + f"\n\n{wrong}\n{book[1].name}:"


def _loop() -> Iterator[str]:
    for index, book in enumerate(_draw_books()):
        # Of one line, of two, and of three.
        yield "\n".join(map(str, book[: index + 1] * 4)) + f"\n{book[0].name}:"


def _ask_shortly() -> Iterator[str]:
    for index in range(3):
        yield draw_example(_SEED, 5, index).prompt


_KINDS: tuple[tuple[str, tuple[str, ...], int, Callable[[], Iterator[str]]], ...] = (
    # Lookups in books of different lengths, whose answers stand in the prompt; then eight questions about one book.
    ("phonebook", _LINE, _MOST_OF_A_LINE, _phonebook),
    ("shared prefix", _LINE, _MOST_OF_A_LINE, _shared_prefix),
    # The values of many keys.
    ("recall", _LINE, _MOST_OF_A_LINE, _recall),
    # Random letters with a part that stands there twice, of which a draft takes the wrong one.
    ("string", _LINE, _MOST_OF_A_LINE, _string),
    # Prompts from one character up, which a batch pads most.
    ("length", _LINE, _MOST_OF_A_LINE, _length),
    # A text to be repeated, for which a draft is right over its whole length.
    ("copy", (), _MOST_OF_A_COPY, _copy),
    # A repeated text with an error, from which a draft goes on as if there were none.
    ("slip", (), _MOST_OF_A_COPY, _slip),
    # A line that is said over and over, where a draft runs into itself.
    ("loop", (), _MOST_OF_A_COPY, _loop),
    # Answers that end with their first token, since models put a space before a number; and those of a single token.
    ("empty", (" ", "\n"), _MOST_OF_A_LINE, _ask_shortly),
    ("one token", _LINE, 1, _ask_shortly),
)
"""The kinds of requests, with which the names of requests begin: what ends an answer, its most tokens, the prompts."""
