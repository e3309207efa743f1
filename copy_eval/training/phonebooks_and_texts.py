"""What the packaged checkpoints learn from: phonebooks and repeated texts, which grow with the run.

A step has a batch of each. A batch is of one kind and one length, so that little of it is padding. Only what stands in
the context already is learned: the numbers that are looked up and the copies of a text, never the text itself.
"""

import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from copy_eval.tasks.phonebook.generator import Entry, dash_number, draw_book, draw_lookups, render_reversed_prompt
from copy_eval.training.curriculum import Batch

_LEARNING_RATE = 2e-3
_WARM_UP_STEPS = 100
_ENGLISH_ONLY_FROM = 0.9  # of the run: what it has to copy in the end are texts
# Shares of the run: the rate falls linearly to zero; for the English texts at the end it falls again, from a quarter.
_DECAY = (0.585, _ENGLISH_ONLY_FROM)
_SECOND_PEAK = 0.25
# Tokens of each of a step's two batches. A Transformer's lookup forms after a number of steps, not of tokens.
_BUDGETS = ((0.135, 512), (0.36, 1024), (0.675, 1536), (1.0, 2048))

_ENTRIES = (2, 160)  # shortest and longest book
_TEXT_TOKENS = (4, 600)  # shortest and longest text
_FIRST_CEILING = {"entries": 3, "text": 10}
_CEILING_REACHED = 0.72  # of the run
_FIRST_ALPHABET = 32  # tokens that content-free texts are made of at first
_WHOLE_ALPHABET_REACHED = 0.27  # of the run
_TOKENS_PER_ENTRY = 18

_END_WEIGHT = 0.1  # of the line break that ends an answer
_START_WEIGHT = 0.3  # of the first tokens of a copy, which a prompt gives away


_Pieces = list[tuple[list[int], float]]


class PhonebooksAndTexts:
    """A curriculum of ``total`` tokens, padding included; the same seed gives the same batches."""

    unit = "tokens"

    def __init__(self, corpus: Sequence[str], tokenizer: PreTrainedTokenizerFast, seed: int, total: int) -> None:
        self.total, self.seen, self._steps = total, 0, 0
        self._tokenizer = tokenizer.backend_tokenizer
        self._rng = random.Random(f"training/{seed}")
        self._newline = self._encode("\n")
        self._end = tokenizer.eos_token_id
        self._corpus = [token for text in corpus for token in self._encode(text)]
        self._content_free = [
            token for token in range(len(tokenizer)) if token != self._end and "\n" not in tokenizer.decode([token])
        ]

    def learning_rate(self) -> float:
        """Return the learning rate of the next step."""
        progress = self.seen / self.total
        begin, end = _DECAY
        if progress >= end:
            return _LEARNING_RATE * _SECOND_PEAK * (1.0 - progress) / (1.0 - end)
        warm_up = min(1.0, (self._steps + 1) / _WARM_UP_STEPS)
        return _LEARNING_RATE * warm_up * min(1.0, (end - progress) / (end - begin))

    def take_step(self) -> list[Batch]:
        """Return a batch of phonebooks and one of texts."""
        progress = self.seen / self.total
        budget = next(budget for until, budget in _BUDGETS if progress <= until)
        batches = [self.draw(kind, budget, progress) for kind in ("phonebook", "copy")]
        self.seen += sum(batch.tokens.numel() for batch in batches)
        self._steps += 1
        return batches

    def get_state(self) -> dict[str, Any]:
        """Return how far it is, and the state of the random source."""
        version, words, gauss = self._rng.getstate()
        return {"tokens": self.seen, "steps": self._steps, "random": [version, list(words), gauss]}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that ``get_state`` returned."""
        version, words, gauss = state["random"]
        self._rng.setstate((version, tuple(words), gauss))
        self.seen, self._steps = state["tokens"], state["steps"]

    def _encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def draw(self, kind: str, budget: int, progress: float) -> Batch:
        """Draw one batch.

        Args:
            kind: ``"phonebook"`` or ``"copy"``.
            budget: tokens of the batch, about.
            progress: share of the run that is done, 0 to 1; it sets how long the examples may be.
        """
        if kind == "phonebook":
            entries = self._draw_length(*_ENTRIES, _FIRST_CEILING["entries"], progress)
            examples = max(1, budget // (entries * _TOKENS_PER_ENTRY))
            rows = [self._phonebook(entries) for _ in range(examples)]
        else:
            length = self._draw_length(*_TEXT_TOKENS, _FIRST_CEILING["text"], progress)
            draw_text = self._draw_english if progress >= _ENGLISH_ONLY_FROM else partial(self._draw_mixed, progress)
            rows = [self._copy(draw_text(length)) for _ in range(max(1, budget // (3 * length)))]
        return self._pad(rows)

    def _draw_length(self, shortest: int, longest: int, first_ceiling: int, progress: float) -> int:
        """Draw log-uniformly up to a ceiling that itself grows geometrically, so short examples never vanish."""
        grown = min(1.0, progress / _CEILING_REACHED)
        ceiling = first_ceiling * (longest / first_ceiling) ** grown
        return round(shortest * (ceiling / shortest) ** self._rng.random())

    def _phonebook(self, entries: int) -> _Pieces:
        rng = self._rng
        book = draw_book(rng, entries)
        form = rng.random()
        if form < 0.1:
            book = [Entry(entry.name, dash_number(entry.number)) for entry in book]
        if form > 0.9:
            asked = draw_lookups(rng, book, 1)
            prompt = render_reversed_prompt(book, asked[0].name).rsplit("\n\n", 1)[0]
        else:
            # Many lookups in one book: most of the cost is reading the book, so ask as much as it bears.
            most = min(entries, 10 + entries // 4)
            asked = draw_lookups(rng, book, 2 + int(rng.random() * (most - 1)))
            prompt = "\n".join(map(str, book))
        return self._ask(prompt, asked)

    def _ask(self, prompt: str, asked: Sequence[Entry]) -> _Pieces:
        pieces: _Pieces = [(self._encode(prompt), 0.0), (self._newline * 2, 0.0)]
        for entry in asked:
            pieces += [(self._encode(f"{entry.name}:"), 0.0), (self._encode(f" {entry.number}"), 1.0)]
            pieces += [(self._newline, _END_WEIGHT)]
        return pieces

    def _alphabet(self, progress: float) -> list[int]:
        """Return the tokens for content-free texts: few at first, all of them later.

        With few, a Transformer finds out within some hundred steps that what followed a token before follows it again;
        with the whole vocabulary from the start it learns to copy a bag of words and stays there.
        """
        grown = min(1.0, progress / _WHOLE_ALPHABET_REACHED)
        size = round(_FIRST_ALPHABET * (len(self._content_free) / _FIRST_ALPHABET) ** grown)
        return self._content_free[:size]

    def _draw_mixed(self, progress: float, length: int) -> list[int]:
        """Draw English, shuffled English, or random tokens: the latter teach copying that ignores what is copied."""
        rng = self._rng
        form = rng.random()
        text = rng.choices(self._alphabet(progress), k=length) if form < 0.6 else self._draw_english(length)
        if 0.6 <= form < 0.7:
            rng.shuffle(text)
        return text

    def _draw_english(self, length: int) -> list[int]:
        start = int(self._rng.random() * (len(self._corpus) - length))
        return self._corpus[start : start + length]

    def _copy(self, text: list[int]) -> _Pieces:
        start = 1 + int(self._rng.random() * 3)
        pieces: _Pieces = [(text, 0.0)]
        for _ in range(2):
            pieces += [(self._newline * 2, _END_WEIGHT), (text[:start], _START_WEIGHT), (text[start:], 1.0)]
        return [*pieces, (self._newline * 2, _END_WEIGHT)]

    def _pad(self, rows: list[_Pieces]) -> Batch:
        sizes = [sum(len(piece) for piece, _ in row) for row in rows]
        tokens = torch.full((len(rows), max(sizes)), self._end)
        weights, answers = torch.zeros(tokens.shape), torch.full_like(tokens, -1)
        answer = 0
        for row, pieces in enumerate(rows):
            place = 0
            for piece, weight in pieces:
                span = slice(place, place + len(piece))
                tokens[row, span] = torch.tensor(piece)
                weights[row, span] = weight
                if weight == 1.0:
                    answers[row, span] = answer
                    answer += 1
                place += len(piece)
        return Batch(tokens, weights, answers)
