"""Questions about a paragraph (Jelassi et al. 2024, section 4): the paragraph, a solved question and an open one.

An example, whose answer is ``France``::

    The Normans were the people who in the 10th and 11th centuries gave their name to Normandy, a region in France.

    Question: When were the Normans in Normandy?
    Answer: 10th and 11th centuries

    Question: In what country is Normandy located?
    Answer:
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import datasets

from copy_eval.errors import UserError
from copy_eval.tasks.hub import explain_failure
from copy_eval.tasks.squad.scoring import counting

SQUAD = {
    "path": "rajpurkar/squad_v2",
    "revision": "3ffb306f725f7d2ce8394bc1873b24868140c412",
    "split": "validation",
}
"""The arguments of ``datasets.load_dataset`` for SQuAD 2.0's development set, as it stood on that commit."""

Row = tuple[str, str, str, list[str]]
"""An article's title, the text of a paragraph of it, a question about that, and its gold answers: none for an
impossible question."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its gold answers, each once, at least one, and none of them empty to the score."""

    text: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph with its first two questions that have an answer, and the title of its article."""

    article: str
    text: str
    solved: Question
    asked: Question


@dataclass(frozen=True, slots=True)
class Collection:
    """The paragraphs in the order of their source, and where they come from."""

    paragraphs: tuple[Paragraph, ...]
    source: str

    @property
    def sha256(self) -> str:
        """Return the hash of the paragraphs with their questions and answers, in hexadecimal."""
        read = [(paragraph.text, astuple(paragraph.solved), astuple(paragraph.asked)) for paragraph in self.paragraphs]
        return hashlib.sha256(json.dumps(read).encode()).hexdigest()


def render_prompt(paragraph: Paragraph) -> str:
    """Write the paragraph, the solved question and the open one; the answer follows after a space."""
    solved = f"Question: {paragraph.solved.text}\nAnswer: {paragraph.solved.answers[0]}"
    return f"{paragraph.text}\n\n{solved}\n\nQuestion: {paragraph.asked.text}\nAnswer:"


def read_paragraphs(path: str | None) -> Collection:
    """Return the paragraphs of SQuAD 2.0's development set, or of the official JSON file at ``path``, v1.1 or v2.0.

    A paragraph with fewer than two questions that have an answer is left out. An answer that is empty to the score
    (``.``) is none.

    Raises:
        UserError: if the file or the hub does not give them, or none is left.
    """
    if path is None:
        source, rows = f"{SQUAD['path']} {SQUAD['split']} @ {SQUAD['revision']}", _download()
    else:
        source, rows = path, _read_official_json(path)
    paragraphs = tuple(_group(rows))
    if not paragraphs:
        raise UserError(f"{source}: no paragraph has two questions with an answer")
    return Collection(paragraphs, source)


def _group(rows: Iterable[Row]) -> Iterator[Paragraph]:
    questions: dict[str, list[Question]] = {}
    articles: dict[str, str] = {}
    for article, text, question, answers in rows:
        asked = questions.setdefault(text, [])
        articles.setdefault(text, article)
        if kept := counting(answers):
            asked.append(Question(question, tuple(dict.fromkeys(kept))))
    for text, asked in questions.items():
        if len(asked) >= 2:
            yield Paragraph(articles[text], text, *asked[:2])


def _download() -> list[Row]:
    with explain_failure(SQUAD["path"], "give the official JSON file with --metadata squad_path=FILE"):
        rows = datasets.load_dataset(**SQUAD)
    return [(row["title"], row["context"], row["question"], row["answers"]["text"]) for row in rows]


def _read_official_json(path: str) -> list[Row]:
    if not Path(path).is_file():
        raise UserError(f"squad_path={path}: no such file")
    try:
        content: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"squad_path={path}: no JSON file ({error})") from error
    try:
        return [
            (title, paragraph["context"], question["question"], [answer["text"] for answer in question["answers"]])
            for number, article in enumerate(content["data"], start=1)
            for title in [article.get("title") or f"article {number}"]
            for paragraph in article["paragraphs"]
            for question in paragraph["qas"]
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(
            f"squad_path={path}: not in SQuAD's official layout "
            "(data > paragraphs > context and qas > question and answers > text)"
        ) from error
