"""The baseline of ``copy-eval gate``: one evaluation as a small JSON file, fit for a repository.

::

    {
     "copy_eval_baseline": 1,
     "model": "checkpoints/step-9000", "revision": "main", "label": "step-9000", "date": "2026-11-21T06:25:40+00:00",
     "scores": [
      {"task": "phonebook_copy", "task_name": "phonebook_copy_10", "length": 10, "task_version": "1.0", "text": null,
       "prompts_sha256": "0a94...", "n": 8, "right": 7, "over_context": false, "answers": "fe"}
     ]
    }

``answers`` is hexadecimal and has a bit for each prompt, 1 where the answer was right, the first prompt's the highest
of the first byte; null where no samples were logged. ``right`` is null where the length is over the model's context.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from copy_eval.errors import UserError
from copy_eval.reports.comparison.evaluation import Answers, Evaluation, Score

_SCHEMA = 1

_ABOUT = ("model", "revision", "label", "date")


def to_json(evaluation: Evaluation) -> str:
    """Write an evaluation as a baseline, a line for each score, so that a diff shows which of them changed.

    Raises:
        UserError: if a length has no score although it is not over the model's context.
    """
    for score in evaluation.scores:
        if score.right is None and not score.over_context:
            raise UserError(f"{score.task_name} has no score, so that no baseline can be made of it; evaluate again")
    about = {name: getattr(evaluation, name) for name in _ABOUT}
    scores = ",\n".join(f"  {json.dumps(_score_to_json(score))}" for score in evaluation.scores)
    head = json.dumps({"copy_eval_baseline": _SCHEMA} | about, indent=1).removesuffix("\n}")
    return f'{head},\n "scores": [\n{scores}\n ]\n}}\n'


def _score_to_json(score: Score) -> dict[str, Any]:
    answers = None if score.answers is None else np.packbits(score.answers).tobytes().hex()
    return {field.name: getattr(score, field.name) for field in fields(score)} | {"answers": answers}


def read_baseline(file: Path) -> Evaluation:
    """Read a baseline.

    Raises:
        UserError: if there is none, or it is damaged, or another version of copy-eval wrote it.
    """
    try:
        content = json.loads(file.read_bytes())
        schema = content["copy_eval_baseline"]
        if schema != _SCHEMA:
            raise UserError(
                f"{file} is a baseline of schema {schema}, this version reads {_SCHEMA}; write it anew with --update"
            )
        about = {name: str(content[name]) for name in _ABOUT}
        return Evaluation(**about, scores=tuple(_score_from_json(score) for score in content["scores"]))
    except FileNotFoundError as error:
        raise UserError(f"there is no baseline {file}; write one with --update") from error
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{file} is not a whole baseline ({error!r}); write it anew with --update") from error


def _score_from_json(content: Mapping[str, Any]) -> Score:
    n, right = int(content["n"]), content["right"]
    if n < 1 or not (right is None or 0 <= right <= n):
        raise ValueError(f"{right} of {n} right")
    texts = {name: str(content[name]) for name in ("task", "task_name", "task_version", "prompts_sha256")}
    return Score(
        **texts,
        length=int(content["length"]),
        text=None if content["text"] is None else str(content["text"]),
        n=n,
        right=None if right is None else int(right),
        over_context=bool(content["over_context"]),
        answers=None if content["answers"] is None else _unpack(content["answers"], n, right),
    )


def _unpack(bits: str, n: int, right: int | None) -> Answers:
    answers = np.unpackbits(np.frombuffer(bytes.fromhex(bits), np.uint8), count=n).astype(bool)
    if len(bits) != 2 * math.ceil(n / 8) or np.count_nonzero(answers) != right:
        raise ValueError(f"the answers are not {right} of {n} right")
    return answers
