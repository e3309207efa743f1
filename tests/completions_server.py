"""A server of completions on this machine, which looks numbers up in phonebooks and can fail as real ones do."""

import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

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

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # lm-eval looks for a tokenizer
            self.send_error(404)

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompts = asked["prompt"] if isinstance(asked["prompt"], list) else [asked["prompt"]]
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
                return
            body = book.said or json.dumps(
                {"choices": [{"index": n, "text": look_up(prompt)} for n, prompt in enumerate(prompts)][: book.choices]}
            )
            self.send_response(book.status)
            self.send_header("Content-Type", "text/html" if body.startswith("<") else "application/json")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/completions"
    finally:
        server.shutdown()
        server.server_close()
