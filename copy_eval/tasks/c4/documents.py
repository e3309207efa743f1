"""The documents that chunks are cut from: C4's by streaming, or those of a local file."""

import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import datasets

from copy_eval.errors import UserError
from copy_eval.files import write_whole
from copy_eval.tasks.hub import explain_failure

DOCUMENTS = 2000
"""How many documents are used, the first ones: ten for each of 200 chunks, about a million tokens of C4."""

C4 = {
    "path": "allenai/c4",
    "data_files": {"validation": "en/c4-validation.00000-of-00008.json.gz"},
    "revision": "1588ec454efa1a09f29cd18ddd04fe05fc8653a2",
    "split": "validation",
}
"""The arguments of ``datasets.load_dataset`` for one shard of C4's validation split, as it stood on that commit."""

_JSON_LINES = (".json", ".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class Corpus:
    """The documents, where they come from, and the SHA-256 of them all."""

    documents: tuple[str, ...]
    source: str

    @property
    def sha256(self) -> str:
        """Return the hash of the documents in their order, in hexadecimal."""
        return hashlib.sha256(json.dumps(self.documents).encode()).hexdigest()


def read_corpus(path: str | None) -> Corpus:
    """Return the first ``DOCUMENTS`` documents of C4, or of the file at ``path``.

    Raises:
        UserError: if the file or the hub does not give them.
    """
    if path is not None:
        if not Path(path).is_file():
            raise UserError(f"c4_path={path}: no such file")
        return Corpus(tuple(islice(_read_file(Path(path)), DOCUMENTS)), path)
    source = f"{C4['path']} {C4['data_files']['validation']} @ {C4['revision']}"  # type: ignore[index]
    return Corpus(tuple(_read_file(fetch(C4, DOCUMENTS))), source)


def fetch(source: Mapping[str, Any], count: int) -> Path:
    """Stream the first ``count`` documents of a dataset, once, and return the file of JSON lines that keeps them.

    The file stands in the cache folder of ``datasets``, under a name that hashes the arguments. It gets that name when
    it is complete.

    Args:
        source: arguments of ``datasets.load_dataset``.
        count: documents to keep.

    Raises:
        UserError: if the hub does not give them, or has fewer.
    """
    settings = json.dumps([dict(source), count], sort_keys=True)
    name = f"documents-{hashlib.sha256(settings.encode()).hexdigest()[:16]}.jsonl"
    file = Path(datasets.config.HF_DATASETS_CACHE, "copy_eval", name)
    if not file.is_file():
        with explain_failure(str(source["path"]), "give a local file with --metadata c4_path=FILE"):
            rows = datasets.load_dataset(**source, streaming=True).take(count)
            documents = [row["text"] for row in rows]
        if len(documents) < count:
            raise UserError(f"{source['path']} gave {len(documents)} documents, and {count} are needed: try again")
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, "".join(json.dumps({"text": document}) + "\n" for document in documents))
    return file


def _read_file(file: Path) -> Iterator[str]:
    """Yield the documents of JSON lines (by suffix) or of plain text, either also with ``.gz``.

    Raises:
        UserError: if it cannot be read or holds no text.
    """
    read = _read_json_lines if Path(file.name.removesuffix(".gz")).suffix in _JSON_LINES else _read_paragraphs
    empty = True
    try:
        with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8") as lines:
            for document in read(file, lines):
                empty = False
                yield document
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as text ({error})") from error
    if empty:
        raise UserError(f"{file}: holds no text")


def _read_json_lines(file: Path, lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)["text"]
        except (ValueError, KeyError, TypeError):
            text = None
        if not isinstance(text, str):
            raise UserError(f'{file}: line {number} is no JSON object with a text under the key "text"')
        if text.strip():
            yield text


def _read_paragraphs(_: Path, lines: Iterable[str]) -> Iterator[str]:
    """Yield the paragraphs of plain text, each with a line break at its end: joined ones do not run together."""
    for paragraph in re.split(r"\n\s*\n", "".join(lines)):
        if paragraph.strip():
            yield paragraph.strip() + "\n"
