"""A server of completions on this machine, which looks numbers up in phonebooks and can fail as real ones do."""

import math
import threading
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
    answers: threading.Event = field(default_factory=threading.Event)
    """Set unless it leaves the requests that come in without any answer."""
    asked: list[Any] = field(default_factory=list)
    """The requests that came in."""
    prompts: int = 0
    """That were answered."""
    lock: Any = field(default_factory=threading.Lock)
    """Of the counts, as several requests may come at a time."""

    def __post_init__(self) -> None:
        """Let it answer."""
        self.answers.set()


@contextmanager
def serve(book: Book) -> Iterator[str]:
    """Serve the answers of ``book``, and give the address."""

    class Handler(CompletionsHandler):
        def answer(self, asked: dict[str, Any], prompts: Sequence[str]) -> None:
            with book.lock:
                book.asked.append(asked)
                fails = book.fails_after is not None and book.prompts + len(prompts) > book.fails_after
                fails = fails and book.failures > 0
                if fails:
                    book.failures -= 1
                else:
                    book.prompts += len(prompts)
            if fails or not book.answers.wait(100):
                self.close_connection = True
                self.connection.close()
            elif book.said:
                self.send(book.said, book.status)
            else:
                self.send_texts([look_up(prompt) for prompt in prompts][: book.choices])

    with serve_completions(Handler) as address:
        yield address
