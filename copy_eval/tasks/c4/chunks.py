"""Copying text (Jelassi et al. 2024, section 4): a chunk of text twice, then its first word.

An example, whose answer is ``woman who died has been identified.``::

    The woman who died has been identified.

    The woman who died has been identified.

    The

Everything here is pure: the tokens of documents, a tokenizer and a random source in, text out.
"""

import random
from collections.abc import Sequence
from itertools import chain
from typing import Protocol

from copy_eval.errors import UserError
from copy_eval.tasks.no_prompts import NoPromptsError
from copy_eval.tasks.sampling import draw_below, draw_distinct, example_rng

JOINED = 10
"""Documents that a chunk is cut from, as in the official code; more where these are too short."""

VARIANTS = ("plain", "shuffled")
"""A chunk as it stands, and one whose tokens are in random order."""

_DRAWS = 100
_FITTING_STEPS = 10
_BROKEN = "\N{REPLACEMENT CHARACTER}"


class Codec(Protocol):
    """The part of a tokenizer that is needed here."""

    def encode(self, text: str) -> list[int]:
        """Return the tokens of ``text``."""

    def decode(self, tokens: list[int]) -> str:
        """Return the text of ``tokens``."""


def without_line_breaks(text: str) -> str:
    """Turn line breaks into spaces."""
    return text.replace("\n", " ")


def clean(text: str) -> str:
    """Turn line breaks into spaces and strip."""
    return without_line_breaks(text).strip()


def render_prompt(text: str) -> tuple[str, str]:
    """Return the prompt of a chunk, which ends in its first word, and the answer: the rest."""
    first_word, _, rest = text.partition(" ")
    return f"{text}\n\n{text}\n\n{first_word}", rest.strip()


def draw_chunk(
    data_seed: int, documents: Sequence[list[int]], length: int, index: int, codec: Codec, variant: str = "plain"
) -> str:
    """Draw chunk ``index``: clean text of several words that is exactly ``length`` tokens, without a broken character.

    The tokens of the documents are joined as they are, where the official code encodes the joined text. What counts is
    the text of a chunk, which is encoded again.

    It depends on the arguments alone; the two variants of a chunk stand in the same documents at the same place.

    Raises:
        NoPromptsError: if no such chunk is found in 100 draws.
        UserError: for an unknown variant.
    """
    if variant not in VARIANTS:
        raise UserError(f"unknown variant {variant!r} of the copying task: choose one of {', '.join(VARIANTS)}")
    rng = example_rng(data_seed, length, index)
    room = length + length // 2  # the end of a shuffled text moves by what its neighbours merge to
    for _ in range(_DRAWS):
        tokens = _draw_tokens(rng, documents, room)
        if len(tokens) < length:
            continue
        start = draw_below(rng, len(tokens) - length + 1)
        piece = tokens[start : start + room]
        if variant == "shuffled":
            piece = [token for token in piece if _BROKEN not in codec.decode([token])]
            piece = [piece[place] for place in draw_distinct(rng, len(piece), len(piece))]
        text = fit(piece, length, codec)
        if text is not None:
            return text
    raise NoPromptsError(
        f"no chunk of exactly {length} tokens was found in {_DRAWS} draws from {len(documents)} documents "
        f"with {sum(map(len, documents))} tokens: "
        "the text is too short, or has no spaces or many broken characters"
    )


def _draw_tokens(rng: random.Random, documents: Sequence[list[int]], room: int) -> list[int]:
    """Return the tokens of ten documents in random order, or of as many as ``room`` tokens take."""
    count = JOINED
    while True:
        count = min(count, len(documents))
        drawn = draw_distinct(rng, len(documents), count)
        tokens = list(chain.from_iterable(documents[place] for place in drawn))
        if len(tokens) >= room or count == len(documents):
            return tokens
        count *= 2


def fit(tokens: list[int], length: int, codec: Codec) -> str | None:
    """Return the text of the first of ``tokens`` if it is exactly ``length`` tokens long when it is read again.

    The space that is stripped from its beginning, or neighbours that merge, change the count; then as many tokens more
    or fewer are taken.

    Returns:
        The text, or None if there is none of that length, or it has a broken character or a single word.
    """
    count = length
    for _ in range(_FITTING_STEPS):
        text = clean(codec.decode(tokens[:count]))
        found = len(codec.encode(text))
        if found == length:
            return text if " " in text and _BROKEN not in text else None
        count += length - found
        if not 0 < count <= len(tokens):
            break
    return None
