"""The tokenizer that measures the length of a text, whatever the tokenizer of the model is.

So all models are asked the same text. It is used as a plain function from text to tokens and back: no beginning or end
mark is added, and text that looks like one (``<|endoftext|>``) counts as text.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path

from huggingface_hub import hf_hub_download
from tokenizers import Tokenizer

from copy_eval.errors import UserError
from copy_eval.packaged import PACKAGED
from copy_eval.tasks.hub import explain_failure

_FILE = "tokenizer.json"


class LengthTokenizer:
    """Encodes and decodes text; ``sha256`` is that of its file."""

    def __init__(self, file: Path) -> None:
        content = file.read_bytes()
        self.sha256 = hashlib.sha256(content).hexdigest()
        self._tokenizer = Tokenizer.from_str(content.decode())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True

    def encode(self, text: str) -> list[int]:
        """Return the tokens of ``text``."""
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return tokens

    def count_before(self, text: str, places: Iterable[int]) -> list[int]:
        """Return for each place, an index of a character, how many tokens of ``text`` begin before it."""
        begins = [begin for begin, _ in self._tokenizer.encode(text, add_special_tokens=False).offsets]
        return [bisect_left(begins, place) for place in places]

    def decode(self, tokens: list[int]) -> str:
        """Return the text of ``tokens``; a character that they hold only a part of becomes U+FFFD."""
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=False)
        return text


def load_length_tokenizer(name: str) -> LengthTokenizer:
    """Load the tokenizer that ``length_tokenizer`` names.

    Args:
        name: a tokenizer.json, a folder with one, a packaged checkpoint (``tiny-pythia``) or a hub id; the first that
            fits.

    Raises:
        UserError: if it is none of them, or the file is no tokenizer.
    """
    file = _find(name)
    try:
        return _load(file)
    except Exception as error:  # tokenizers raises plain `Exception` for a file that it cannot read
        raise UserError(f"length_tokenizer={name}: {file} is not a tokenizer.json ({error})") from error


def _find(name: str) -> Path:
    if Path(name).is_file():
        return Path(name)
    for folder in (Path(name), PACKAGED / name):
        if (folder / _FILE).is_file():
            return folder / _FILE
    if Path(name).is_dir():
        raise UserError(f"length_tokenizer={name}: this folder has no {_FILE}")
    with explain_failure(f"length_tokenizer={name}", f"name a {_FILE}, a folder with one, or a hub id that has one"):
        return Path(hf_hub_download(name, _FILE))


_load = cache(LengthTokenizer)  # reading GPT-NeoX's takes a second, and every length of a group needs it


@lru_cache(maxsize=2)
def encode_all(texts: tuple[str, ...], tokenizer: LengthTokenizer) -> tuple[list[int], ...]:
    """Return the tokens of each text; the lengths of a group share the work."""
    return tuple(tokenizer.encode(text) for text in texts)
