"""A server of completions on this machine: the HTTP around whatever answers, for benchmarks and tests."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class CompletionsHandler(BaseHTTPRequestHandler):
    """Answers what lm-eval's ``local-completions`` asks; a subclass says how."""

    def answer(self, asked: dict[str, Any], prompts: Sequence[Any]) -> None:
        """Send an answer.

        Args:
            asked: the whole request.
            prompts: those in it, as texts or as tokens.
        """
        raise NotImplementedError

    def do_GET(self) -> None:
        """Have nothing, such as the tokenizer that lm-eval looks for."""
        self.send_error(404)

    def do_POST(self) -> None:
        """Answer a request."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(asked, asked["prompt"] if isinstance(asked["prompt"], list) else [asked["prompt"]])

    def send_texts(self, texts: Sequence[str]) -> None:
        """Answer with a text for each prompt."""
        self.send(json.dumps({"choices": [{"index": place, "text": text} for place, text in enumerate(texts)]}))

    def send(self, body: str, status: int = 200) -> None:
        """Answer with JSON, or with an HTML page."""
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if body.startswith("<") else "application/json")
        self.end_headers()
        self.wfile.write(body.encode())

    def handle(self) -> None:
        """Answer until the client hangs up, in the midst of an answer too."""
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, *_: Any) -> None:
        """Say nothing of requests."""


@contextmanager
def serve_completions(handler: type[CompletionsHandler]) -> Iterator[str]:
    """Serve at a free port, and give the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/completions"
    finally:
        server.shutdown()
        server.server_close()
