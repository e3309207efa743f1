"""What the packaged checkpoints learn from: English texts, their tokenizer, and batches that grow with the run.

The texts are what every machine with lm-eval has, so that training needs no download: the task descriptions, READMEs
and worked examples of lm-eval, and the reference chapters of Python itself, two megabytes of prose, questions, tables
and code. None of it is C4, which the checkpoints are measured on. The texts differ a little from one release of lm-eval
and of Python to the next.

A batch holds phonebooks or repeated texts, of one kind and one length, so that little of it is padding. Only what
stands in the context already is learned: the numbers that are looked up and the copies of a text, never the text
itself.
"""

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import lm_eval.tasks
import torch
import yaml
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from copy_eval.tasks.phonebook.generator import Entry, dash_number, draw_book, draw_lookups, render_reversed_prompt

_SHORTEST_TEXT = 200  # characters
_FEWEST_FUNCTION_WORDS = 0.08
_FUNCTION_WORD = re.compile(r"\b(?:the|of|and|to|is|in|that|for|it|with)\b", re.IGNORECASE)

VOCABULARY_SIZE = 2048
END_OF_TEXT = "<|endoftext|>"

# GPT-2's pattern with two changes: a number is split into digits, so that no number has a token of its own, and a line
# break is never merged with what surrounds it, so that a blank line always reads the same.
_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\n|\s+(?!\S)|\s+"

_ENTRIES = (2, 160)  # shortest and longest book
_TEXT_TOKENS = (4, 600)  # shortest and longest text
_FIRST_CEILING = {"entries": 3, "text": 10}
_CEILING_REACHED = 0.72  # of the run
_FIRST_ALPHABET = 32  # tokens that content-free texts are made of at first
_WHOLE_ALPHABET_REACHED = 0.27  # of the run
ENGLISH_ONLY_FROM = 0.9  # of the run: what it has to copy in the end are texts
_TOKENS_PER_ENTRY = 18

_END_WEIGHT = 0.1  # of the line break that ends an answer
_START_WEIGHT = 0.3  # of the first tokens of a copy, which a prompt gives away


class _PlainLoader(yaml.CSafeLoader):
    """Reads lm-eval's task files; what their tags (``!function``) stand for is of no interest here."""


_PlainLoader.add_multi_constructor("!", lambda *_: None)


def _strings_in(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for item in value for text in _strings_in(item)]
    return []


def _is_english(text: str) -> bool:
    """Tell long English texts from short ones and from the languages that lm-eval's tasks are translated into."""
    enough = _FEWEST_FUNCTION_WORDS * len(text.split())
    return len(text) >= _SHORTEST_TEXT and len(_FUNCTION_WORD.findall(text)) >= enough


def read_corpus() -> list[str]:
    """Return the texts, each once, white space folded to single spaces, in a fixed order."""
    folder = Path(lm_eval.tasks.__file__).parent
    texts = [topics[key] for key in sorted(topics)]
    texts.extend(path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.md")))
    for path in sorted(folder.rglob("*.yaml")):
        if path.stat().st_size >= _SHORTEST_TEXT:
            texts.extend(_strings_in(yaml.load(path.read_text(encoding="utf-8"), _PlainLoader)))
    folded = (re.sub(r"\s+", " ", text).strip() for text in texts)
    return list(dict.fromkeys(text for text in folded if _is_english(text)))


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Learn the merges from ``texts``; the same texts give the same tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """Tokens, and the weight of each in the loss; both of shape (examples, longest)."""

    kind: str
    tokens: torch.Tensor
    weights: torch.Tensor


_Pieces = list[tuple[list[int], float]]


class BatchSampler:
    """Draws batches; the same seed gives the same sequence of batches."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, corpus: Sequence[str], seed: int) -> None:
        self._tokenizer = tokenizer.backend_tokenizer
        self._rng = random.Random(f"training/{seed}")
        self._newline = self._encode("\n")
        self._end = tokenizer.eos_token_id
        self._corpus = [token for text in corpus for token in self._encode(text)]
        self._content_free = [
            token for token in range(len(tokenizer)) if token != self._end and "\n" not in tokenizer.decode([token])
        ]

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
            draw_text = self._draw_english if progress >= ENGLISH_ONLY_FROM else partial(self._draw_mixed, progress)
            rows = [self._copy(draw_text(length)) for _ in range(max(1, budget // (3 * length)))]
        return self._pad(kind, rows)

    def draw_exact(self, kind: str, length: int, examples: int) -> Batch:
        """Draw ``examples`` of one length in the form that is evaluated: one number to look up, English to copy."""
        if kind == "phonebook":
            rows = [self._plain_phonebook(length) for _ in range(examples)]
        else:
            rows = [self._repeat(self._draw_english(length), start=1) for _ in range(examples)]
        return self._pad(kind, rows)

    def get_state(self) -> list[Any]:
        """Return the state of the random source, in types that any serializer keeps."""
        version, words, gauss = self._rng.getstate()
        return [version, list(words), gauss]

    def set_state(self, state: list[Any]) -> None:
        """Go on from a state that ``get_state`` returned."""
        version, words, gauss = state
        self._rng.setstate((version, tuple(words), gauss))

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
        return self._ask(prompt, asked, weights=[1.0] * len(asked))

    def _plain_phonebook(self, entries: int) -> _Pieces:
        book = draw_book(self._rng, entries)
        return self._ask("\n".join(map(str, book)), draw_lookups(self._rng, book), weights=[0.0, 0.0, 1.0])

    def _ask(self, prompt: str, asked: Sequence[Entry], weights: Sequence[float]) -> _Pieces:
        pieces: _Pieces = [(self._encode(prompt), 0.0), (self._newline * 2, 0.0)]
        for entry, weight in zip(asked, weights, strict=True):
            pieces += [(self._encode(f"{entry.name}:"), 0.0), (self._encode(f" {entry.number}"), weight)]
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
        return self._repeat(text, start=1 + int(self._rng.random() * 3))

    def _repeat(self, text: list[int], start: int) -> _Pieces:
        pieces: _Pieces = [(text, 0.0)]
        for _ in range(2):
            pieces += [(self._newline * 2, _END_WEIGHT), (text[:start], _START_WEIGHT), (text[start:], 1.0)]
        return [*pieces, (self._newline * 2, _END_WEIGHT)]

    def _pad(self, kind: str, rows: list[_Pieces]) -> Batch:
        sizes = [sum(len(piece) for piece, _ in row) for row in rows]
        tokens = torch.full((len(rows), max(sizes)), self._end)
        weights = torch.zeros(tokens.shape)
        for row, pieces in enumerate(rows):
            place = 0
            for piece, weight in pieces:
                tokens[row, place : place + len(piece)] = torch.tensor(piece)
                weights[row, place : place + len(piece)] = weight
                place += len(piece)
        return Batch(kind, tokens, weights)
