"""A small serving engine, which does by itself what large ones do, and a server around it.

Batches are padded on the left, prompts are taken in by chunks, the next prompt goes on with the cache of the one
before, and drafts are looked up in the prompt.
"""

import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, PreTrainedModel

from benchmarks.completions_server import CompletionsHandler, serve_completions
from copy_eval.packaged import PACKAGED

CHECKPOINT = PACKAGED / "tiny-pythia"

_NGRAM, _DRAFT = 2, 6
"""Tokens that must come again for a draft, and tokens of a draft."""


@dataclass(frozen=True)
class Settings:
    """How an engine works; none of it may change an answer."""

    batch_size: int = 4
    chunk: int = 4096
    """Tokens of a prompt that go through the model at once."""
    drafts: bool = False
    """Whether each prompt of a batch is answered alone, with drafts and the cache of the one before it."""
    attention: str = "sdpa"
    threads: int = 1
    reverse: bool = False
    """Whether the last prompt of a batch stands in the first row."""
    data_seed: int = 1234


class Engine:
    """Greedy decoding with the packaged checkpoint, as a server does it."""

    settings = Settings()
    """An instance has its own."""

    def __init__(self, settings: Settings | None = None) -> None:
        """Load the model; ``settings`` are those that the kind of engine has by default."""
        self.settings = settings or self.settings
        self._model, self._tokenizer = load(self.settings.attention)
        self._past, self._cache = [], DynamicCache()

    @torch.inference_mode()
    def answer(self, prompts: Sequence[str], most: int, stops: Sequence[str]) -> list[str]:
        """Return the text that follows each prompt, of at most ``most`` tokens and without the stop sequence."""
        torch.set_num_threads(self.settings.threads)
        rows = [self._encode(prompt) for prompt in prompts]
        order = -1 if self.settings.reverse else 1
        if self.settings.drafts:
            answers = [self._decode_alone(row, most, stops) for row in rows]
        else:
            answers = self._decode(rows[::order], most, stops)[::order]
        return self._deliver([self._cut(self._text(tokens), stops) for tokens in answers])

    # What goes right here goes wrong in the faults.

    def _encode(self, prompt: str) -> list[int]:
        return self._tokenizer(prompt).input_ids

    def _text(self, tokens: list[int]) -> str:
        return self._tokenizer.decode(tokens, skip_special_tokens=True)

    def _cut(self, text: str, stops: Sequence[str]) -> str:
        return text[: min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))]

    def _has_ended(self, tokens: list[int], most: int, stops: Sequence[str]) -> bool:
        text = self._text(tokens)
        return len(tokens) >= most or tokens[-1] == self._tokenizer.eos_token_id or self._cut(text, stops) != text

    def _deliver(self, answers: list[str]) -> list[str]:
        return answers

    def _mask(self, attended: torch.Tensor) -> torch.Tensor:
        return attended

    def _positions(self, attended: torch.Tensor) -> torch.Tensor:
        return (attended.cumsum(-1) - 1).clamp(min=0)

    def _choose(self, logits: torch.Tensor, texts: Sequence[Sequence[int]]) -> list[int]:  # noqa: ARG002 - a fault reads them
        return logits.argmax(-1).tolist()

    def _settle(self, cache: DynamicCache) -> None:
        """Do nothing to the cache between the prompts and the answers."""

    def _shared(self, row: Sequence[int], past: Sequence[int]) -> int:
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(row, past, strict=False)))
        return min(same, len(row) - 1)

    def _accepted(self, draft: Sequence[int], choices: Sequence[int]) -> int:
        return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(draft, choices, strict=False)))

    def _forget(self, length: int) -> None:
        self._keep(length)

    def _keep(self, length: int) -> None:
        if (extra := self._cache.get_seq_length() - length) > 0:
            self._cache.crop(-extra)

    def _decode(self, rows: list[list[int]], most: int, stops: Sequence[str]) -> list[list[int]]:
        """Decode a batch, padded on the left; rows that have ended go on until all have."""
        width = max(map(len, rows))
        tokens = torch.tensor([[0] * (width - len(row)) + row for row in rows])
        attended = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        cache, answers, ended = DynamicCache(), [[] for _ in rows], [False] * len(rows)
        positions = self._positions(attended)
        for begin in range(0, width, self.settings.chunk):
            end = begin + self.settings.chunk
            logits = self._feed(tokens[:, begin:end], self._mask(attended[:, :end]), positions[:, begin:end], cache)
        self._settle(cache)
        while not all(ended):
            texts = [row + answer for row, answer in zip(rows, answers, strict=True)]
            chosen = self._choose(logits[:, -1], texts)
            for place, token in enumerate(chosen):
                if not ended[place]:
                    answers[place].append(token)
                    ended[place] = self._has_ended(answers[place], most, stops)
            attended = torch.cat([attended, torch.ones(len(rows), 1, dtype=torch.long)], dim=1)
            positions = self._positions(attended)[:, -1:]
            logits = self._feed(torch.tensor([[token] for token in chosen]), self._mask(attended), positions, cache)
        return answers

    def _decode_alone(self, row: list[int], most: int, stops: Sequence[str]) -> list[int]:
        """Decode one prompt, from where it parts from the one before it, with drafts."""
        shared = self._shared(row, self._past)
        if shared == 0:
            self._cache = DynamicCache()
        else:
            self._keep(shared)
        answer: list[int] = []
        new, draft = row[shared:], find_draft(row)
        while True:
            length = self._cache.get_seq_length()
            attended = torch.ones(1, length + len(new) + len(draft), dtype=torch.long)
            positions = self._positions(attended)[:, length:]
            logits = self._feed(torch.tensor([new + draft]), self._mask(attended), positions, self._cache)
            logits = logits[0, len(new) - 1 :]
            texts = [row + answer + draft[:count] for count in range(len(draft) + 1)]
            choices = self._choose(logits, texts)
            accepted = self._accepted(draft, choices)
            self._forget(length + len(new) + accepted)
            for token in [*draft[:accepted], choices[accepted]]:
                answer.append(token)
                if self._has_ended(answer, most, stops):
                    self._past = (row + answer)[: self._cache.get_seq_length()]
                    return answer
            new = answer[-1:]
            draft = find_draft(row + answer)

    def _feed(
        self, tokens: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: DynamicCache
    ) -> torch.Tensor:
        given = {"input_ids": tokens, "attention_mask": mask, "position_ids": positions, "past_key_values": cache}
        return self._model(**given).logits


def find_draft(text: Sequence[int]) -> list[int]:
    """Return what followed the last tokens of a text where they stood before."""
    ending = list(text[-_NGRAM:])
    for place in range(len(text) - _NGRAM - 1, -1, -1):
        if list(text[place : place + _NGRAM]) == ending:
            return list(text[place + _NGRAM : place + _NGRAM + _DRAFT])
    return []


@cache
def load(attention: str) -> tuple[PreTrainedModel, Any]:
    """Return the packaged checkpoint in float32, and its tokenizer."""
    model = AutoModelForCausalLM.from_pretrained(CHECKPOINT, dtype=torch.float32, attn_implementation=attention)
    return model.eval(), AutoTokenizer.from_pretrained(CHECKPOINT)


ALONE = Settings(batch_size=1, drafts=True)


@contextmanager
def serve(engine: Engine) -> Iterator[str]:
    """Serve an engine, which answers one request at a time, and give the address."""
    lock = threading.Lock()

    class Handler(CompletionsHandler):
        def answer(self, asked: dict[str, Any], prompts: Sequence[str]) -> None:
            with lock:
                texts = engine.answer(prompts, asked["max_tokens"], asked["stop"])
            self.send_texts(texts)

    with serve_completions(Handler) as address:
        yield address
