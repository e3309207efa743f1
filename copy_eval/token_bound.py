"""How many tokens a text has at least, found without encoding it.

A token of a byte-level BPE stands for so many letters and digits at most, as its vocabulary tells, and each letter of a
text is in one of its tokens. Counting letters takes a thousandth of the time of encoding, which for a prompt of 256
thousand tokens is most of a second; one that is far beyond a model's context is refused by this alone.
"""

import json
import unicodedata
from functools import cached_property
from string import ascii_letters, digits
from typing import Any

_LETTERS = frozenset(ascii_letters + digits)

_OTHERS = bytes(set(range(256)) - set("".join(_LETTERS).encode()))


class TokenBound:
    """The fewest tokens that one tokenizer of transformers makes of a text."""

    def __init__(self, tokenizer: Any) -> None:
        """Take a tokenizer; of one that is not understood, nothing is known."""
        self._tokenizer = tokenizer

    def fewest(self, text: str) -> int:
        """Return how many tokens a text has at least, not counting those that are put around it; 0 if that is unknown.

        The count is of ASCII letters and digits, since tokens of hundreds of spaces or dashes are common.
        """
        if self._most_letters is None:
            return 0
        # Some tokenizers do so first, and a letter with an accent behind it is then no ASCII letter any more.
        composed = unicodedata.normalize("NFC", text)
        return -(-_count_letters(composed) // self._most_letters)

    @cached_property
    def _most_letters(self) -> int | None:
        """The letters and digits of the token with most of them; None where a text may lose some on its way."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None or type(backend.model).__name__ != "BPE":
            return None
        vocabulary = backend.get_vocab(with_added_tokens=True)
        if not (vocabulary.keys() >= _LETTERS and _keeps_letters(backend.normalizer, backend.pre_tokenizer)):
            return None
        return max(map(_count_letters, vocabulary))


def _count_letters(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass").translate(None, _OTHERS))


def _keeps_letters(normalizer: Any, pre_tokenizer: Any) -> bool:
    """Tell whether the BPE gets the bytes of all letters, of a text that is composed (NFC) or as it was.

    Args:
        normalizer: one of the package tokenizers, or None.
        pre_tokenizer: likewise.
    """
    splits = _steps(pre_tokenizer, "pretokenizers")
    return (
        all(step["type"] == "NFC" for step in _steps(normalizer, "normalizers"))
        and any(step["type"] == "ByteLevel" for step in splits)
        and all(
            step["type"] in ("ByteLevel", "Digits") or (step["type"] == "Split" and step["behavior"] != "Removed")
            for step in splits
        )
    )


def _steps(part: Any, name: str) -> list[dict[str, Any]]:
    """Return the steps of a part of a tokenizer, as its tokenizer.json has them."""
    if part is None:
        return []
    described = json.loads(part.__getstate__())
    return described[name] if described["type"] == "Sequence" else [described]
