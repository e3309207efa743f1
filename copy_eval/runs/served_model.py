"""A model that a server answers for, through lm-eval's API models such as ``local-completions``.

lm-eval cuts prompts that exceed the context, or sends them as they are, and it forgets what a server has answered as
soon as one request fails. Here such prompts are refused as our own adapters refuse them, and each answer is written
down when it comes, so that what a server has answered is kept when it dies.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from copy_eval.errors import UserError
from copy_eval.measurement import model_of, requested_setup
from copy_eval.over_context import refuse_over_context
from copy_eval.packaged import PACKAGED, packaged_checkpoints
from copy_eval.runs.model_entries import SERVED
from copy_eval.token_bound import TokenBound

_NO_COMPLETIONS = (AssertionError, KeyError, IndexError, TypeError, ValueError)
"""What lm-eval stumbles with over an answer that is no list of completions."""

_api_log = logging.getLogger("lm_eval.models.api_models")


class ServerGoneError(UserError):
    """The server does not answer at all, so that no other task needs to ask it."""


def arguments_for_server(adapter: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that lm-eval's model is made with: a checkpoint on this machine also names the tokenizer.

    lm-eval would look for the tokenizer under the name that the server knows the model by.

    Args:
        adapter: lm-eval's ``--model``.
        arguments: its ``--model_args``, as they are logged.
    """
    pretrained = str(arguments.get("pretrained"))
    folder = Path(pretrained)
    if not folder.is_dir() and pretrained in packaged_checkpoints():
        folder = PACKAGED / pretrained
    if adapter not in SERVED or not folder.is_dir():
        return dict(arguments)
    return {"model": str(folder), "tokenizer": str(folder), **arguments}


class ServedModel:
    """One of lm-eval's API models, with the answers that it has given so far."""

    def __init__(self, lm: Any, adapter: str, arguments: Mapping[str, Any]) -> None:
        """Take over ``generate_until`` and ``parse_generations`` of ``lm``.

        Args:
            lm: a ``TemplateAPI`` of lm-eval's.
            adapter: the name it goes by.
            arguments: lm-eval's ``--model_args``.
        """
        self._lm, self._generate, self._parse = lm, lm.generate_until, lm.parse_generations
        self._address = str(lm.base_url)
        self._identity = [model_of(arguments), requested_setup(adapter, arguments)]
        # lm-eval cuts tokens to a context of 2048 by default, but it sends a text of any length.
        known = lm.tokenizer is not None and (lm.tokenized_requests or arguments.get("max_length") is not None)
        self._context: int | None = lm.max_length if known else None
        self._token_bound = TokenBound(lm.tokenizer)
        lm.refuses_over_context = known
        lm.generate_until, lm.parse_generations = self.generate_until, self._parse_all
        # Of several requests at a time, the first that fails is told; asyncio would add a traceback for each other one.
        logging.getLogger("asyncio").addFilter(_is_no_second_failure)
        self._file: Path | None = None
        self._on_answer: Callable[[int], None] = lambda _: None
        self._answered = 0

    def begin(self, file: Path, on_answer: Callable[[int], None]) -> None:
        """Begin with a task.

        Args:
            file: where its answers are kept until all of them are there.
            on_answer: is told how many there are at each of them.
        """
        self._file, self._on_answer, self._answered = file, on_answer, 0
        self._lm.set_cache_hook(self)

    def end(self) -> None:
        """Drop the answers of a task, which stand in its result now."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def add_partial(self, _kind: str, request: tuple[str, Mapping[str, Any]], answer: str) -> None:
        """Keep an answer; the name is that of lm-eval's ``CacheHook``, which backends tell of each answer."""
        if self._file is not None:
            line = json.dumps({"request": self._key(*request), "answer": answer})
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with self._file.open("a", encoding="utf-8") as stream:
                    stream.write(f"{line}\n")
            except OSError as error:
                raise UserError(f"cannot write {self._file}: {error.strerror}") from error
        self._count(1)

    def _count(self, new: int) -> None:
        self._answered += new
        self._on_answer(self._answered)

    def _key(self, prompt: str, gen_kwargs: Mapping[str, Any]) -> str:
        asked = [*self._identity, prompt, gen_kwargs]
        return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answer each request; those that are too long or answered already are not sent.

        Raises:
            ServerGoneError: if the server does not answer.
            UserError: if it answers with an error, or with something else than completions.
        """
        kept = self._read_kept()
        answers: dict[int, str] = {}
        for place, request in enumerate(requests):
            prompt, gen_kwargs = request.args
            with self._errors_in_words():
                refusal = self._refuse(prompt, gen_kwargs)
            if refusal is not None:
                answers[place] = refusal
            elif (key := self._key(prompt, gen_kwargs)) in kept:
                answers[place] = kept[key]
        if answers:
            self._count(len(answers))
        asked = [place for place in range(len(requests)) if place not in answers]
        if asked:
            with self._errors_in_words():
                answers |= zip(asked, self._generate([requests[place] for place in asked]), strict=True)
        return [answers[place] for place in range(len(requests))]

    def _parse_all(self, **answer: Any) -> list[str]:
        """Return the texts of completions; in the place of one that has none, lm-eval would score an empty text.

        Raises:
            ValueError: if one has none, or two are of one prompt.
        """
        texts: list[str | None] = self._parse(**answer)
        known = [text for text in texts if text is not None]
        if len(known) < len(texts):
            raise ValueError(f"{len(texts) - len(known)} of {len(texts)} have no text")
        return known

    def _refuse(self, prompt: str, gen_kwargs: Mapping[str, Any]) -> str | None:
        if self._context is None:
            return None
        most = int(gen_kwargs.get("max_gen_toks", self._lm._max_gen_toks))
        needed = self._token_bound.fewest(prompt) + most
        if needed <= self._context:
            needed = len(self._lm.tok_encode(prompt)) + most
        return refuse_over_context(needed, self._context) if needed > self._context else None

    def _read_kept(self) -> dict[str, str]:
        kept: dict[str, str] = {}
        if self._file is not None and self._file.is_file():
            for line in self._file.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError, KeyError, TypeError):  # what a kill left of the last line
                    content = json.loads(line)
                    kept[content["request"]] = content["answer"]
        return kept

    @contextmanager
    def _errors_in_words(self) -> Iterator[None]:
        """Turn what goes wrong between lm-eval and the server into one line."""
        import aiohttp
        import requests

        with _quiet_retries() as complaints:
            try:
                yield
            except UserError:
                raise
            except (requests.JSONDecodeError, aiohttp.ContentTypeError, *_NO_COMPLETIONS) as error:
                raise UserError(
                    f"{self._address} did not answer with a completion for each prompt ({error!r}): base_url is the "
                    "whole address, such as http://localhost:8000/v1/completions, and a server may need batch_size 1"
                ) from error
            except (requests.HTTPError, aiohttp.ClientResponseError) as error:
                raise UserError(self._refused(error, complaints)) from error
            except (requests.RequestException, aiohttp.ClientError, TimeoutError) as error:
                what = "took too long" if isinstance(error, requests.Timeout | TimeoutError) else "cannot be reached"
                raise ServerGoneError(
                    f"the server at {self._address} {what}; its answers so far are kept, and the same command goes on "
                    "when it is back"
                ) from error

    def _refused(self, error: Any, complaints: list[str]) -> str:
        status = error.status if hasattr(error, "status") else error.response.status_code
        said = " ".join(complaints[-1].split()) if complaints else ""
        advice = ""
        if status in (404, 405):
            advice = "; base_url is the whole address, such as http://localhost:8000/v1/completions"
        return f"{self._address} answered with status {status}: {said:.300}{advice}"


def _is_no_second_failure(record: logging.LogRecord) -> bool:
    return "exception was never retrieved" not in record.getMessage()


@contextmanager
def _quiet_retries() -> Iterator[list[str]]:
    """Take lm-eval's lines about failed requests from the terminal, and hand out what the server said."""
    complaints: list[str] = []

    def take(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        for beginning in ("API request failed with error message: ", "Response text: "):
            _, found, said = text.partition(beginning)
            if found:
                complaints.append(said.removesuffix(" Retrying...").removesuffix("."))
        return not found and not text.startswith("Exception:")

    _api_log.addFilter(take)
    try:
        yield complaints
    finally:
        _api_log.removeFilter(take)
