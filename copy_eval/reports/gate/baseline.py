"""The baseline of ``copy-eval gate``: one evaluation as a small JSON file, fit for a repository.

::

    {
     "copy_eval_baseline": 3,
     "model": "checkpoints/step-9000", "revision": "main", "label": "step-9000", "date": "2026-11-21T06:25:40+00:00",
     "setup": {"adapter": "pythia", "dtype": "bfloat16"},
     "scores": [
      {"task": "phonebook_copy", "task_name": "phonebook_copy_10", "length": 10, "length_name": "10",
       "unit": "entries in the phonebook", "task_version": "1.0", "text": null, "prompts_sha256": "0a94...", "n": 8,
       "right": 7, "over_context": false, "headline": "exact_match", "headline_value": 0.875, "context_checked": true,
       "answers": "fe", "prompts": null}
     ]
    }

``answers`` is hexadecimal and has a bit for each prompt, 1 where the answer was right, the first prompt's the highest
of the first byte; null where no samples were logged. ``prompts`` are the places of the prompts, null for the first
``n``. ``right`` is null where the length is over the model's context.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from copy_eval.errors import UserError, first_problem
from copy_eval.reports.comparison.evaluation import Answers, Evaluation, Score
from copy_eval.reports.frames.result_files import MOST, Count, Length, Name, Text

_SCHEMA = 3

_ABOUT = ("model", "revision", "label", "date", "setup")


class _Score(BaseModel):
    """A ``Score`` as JSON holds it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    task: Name
    task_name: Name
    length: Length
    length_name: Name
    unit: Name
    task_version: Name
    text: Text | None
    prompts_sha256: Name
    n: Count
    right: Annotated[int, Field(ge=0, le=MOST)] | None
    over_context: bool
    headline: Name
    headline_value: Annotated[float, Field(ge=0, le=1)] | None
    context_checked: bool
    answers: Annotated[str, Field(pattern=r"^([0-9a-f]{2})*$")] | None
    prompts: list[Annotated[int, Field(ge=0, le=MOST)]] | None

    @model_validator(mode="after")
    def _add_up(self) -> "_Score":
        if self.right is not None and self.right > self.n:
            raise ValueError(f"{self.right} of {self.n} right")
        if self.prompts is not None and (len(self.prompts) != self.n or self.prompts != sorted(set(self.prompts))):
            raise ValueError(f"prompts are not {self.n} places in ascending order")
        if self.answers is not None and (
            len(self.answers) != 2 * -(-self.n // 8) or _unpack(self.answers, self.n).sum() != self.right
        ):
            raise ValueError(f"the answers are not {self.right} of {self.n} right")
        return self


class _Baseline(BaseModel):
    """An ``Evaluation`` as JSON holds it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    copy_eval_baseline: int
    model: Name
    revision: Name
    label: Name
    date: Name
    setup: dict[Name, Text]
    scores: list[_Score]


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
    written = {name: getattr(score, name) for name in _Score.model_fields if name not in ("answers", "prompts")}
    if score.answers is None:
        return written | {"answers": None, "prompts": None}
    places = score.answers.prompts.tolist()
    prompts = None if places == list(range(len(places))) else places
    return written | {"answers": np.packbits(score.answers.right).tobytes().hex(), "prompts": prompts}


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
                f"{file} is a baseline of schema {schema!r:.60}, this version reads {_SCHEMA}; "
                "write it anew with --update"
            )
        baseline = _Baseline.model_validate(content)
    except FileNotFoundError as error:
        raise UserError(f"there is no baseline {file}; write one with --update") from error
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    except ValidationError as error:
        raise UserError(
            f"{file} is not a whole baseline ({first_problem(error)}); write it anew with --update"
        ) from error
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{file} is not a whole baseline ({error!r}); write it anew with --update") from error
    about = {name: getattr(baseline, name) for name in _ABOUT}
    return Evaluation(**about, scores=tuple(map(_score_from_json, baseline.scores)))


def _score_from_json(content: _Score) -> Score:
    answers = None
    if content.answers is not None:
        prompts = np.arange(content.n) if content.prompts is None else np.array(content.prompts)
        answers = Answers(prompts, _unpack(content.answers, content.n))
    return Score(**content.model_dump(exclude={"answers", "prompts"}), answers=answers)


def _unpack(bits: str, n: int) -> npt.NDArray[np.bool_]:
    return np.unpackbits(np.frombuffer(bytes.fromhex(bits), np.uint8), count=n).astype(bool)
