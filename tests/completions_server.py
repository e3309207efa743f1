"""A server of completions on this machine, which looks numbers up in phonebooks and can fail as real ones do."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.completions_server import CompletionsHandler, serve_completions
from tests.tasks.oracle import look_up


@dataclass
class Book:
    """What a server answers, and how it fails."""

    fails_after: int | None = None
    """Prompts; then it closes connections without an answer."""
    failures: float = math.inf
    """How many connections it closes so."""
    status: int = 200
    said: str = ""
    """The body of an answer with another status."""
    choices: int | None = None
    """The most that one answer holds."""
    asked: list[Any] = field(default_factory=list)
    """The requests that came in."""
    prompts: int = 0


@contextmanager
def serve(book: Book) -> Iterator[str]:
    """Serve the answers of ``book``, and give the address."""

    class Handler(CompletionsHandler):
        def answer(self, asked: dict[str, Any], prompts: Sequence[str]) -> None:
            book.asked.append(asked)
            fails = book.fails_after is not None and book.prompts + len(prompts) > book.fails_after
            if fails and book.failures > 0:
                book.failures -= 1
                self.close_connection = True
                self.connection.close()
                return
            book.prompts += len(prompts)
            if book.said:
                self.send(book.said, book.status)
            else:
                self.send_texts([look_up(prompt) for prompt in prompts][: book.choices])

    with serve_completions(Handler) as address:
        yield address
