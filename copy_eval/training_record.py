"""What ``copy-eval train`` says of a model that it trained, in a file beside its checkpoints.

Our adapters copy it into the result files, so that a report can average over seeds and show which lengths were learned.
"""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from copy_eval.errors import UserError, first_problem
from copy_eval.files import write_whole

RECORD = "copy_eval.json"
"""Stands beside the folders of a run's checkpoints."""

_Name = Annotated[str, Field(strict=True, min_length=1, max_length=200)]

_Count = Annotated[int, Field(strict=True, ge=1, le=10**9)]


class TrainingRecord(BaseModel):
    """One model of an experiment; a newer version may say more than is known here."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    experiment: _Name
    size: _Name
    task: _Name
    """The title of the task that it learned."""
    architecture: _Name
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)]
    lengths: tuple[_Count, _Count]
    """Of the training examples, the shortest and the longest, in the unit of the task."""
    examples: _Count
    """Of the whole training."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.lengths[0] > self.lengths[1]:
            raise ValueError("lengths must name the shortest first")
        return self


def write_record(folder: Path, record: TrainingRecord) -> None:
    """Write a record into the folder of a run.

    Raises:
        OSError: if it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / RECORD, record.model_dump_json(indent=2) + "\n")


def read_record(pretrained: str) -> TrainingRecord | None:
    """Return what trained a checkpoint; None for one that ``copy-eval train`` did not write.

    Args:
        pretrained: the checkpoint's folder, or anything else that lm-eval's ``pretrained=`` takes.

    Raises:
        UserError: if there is a record that cannot be used.
    """
    file = Path(pretrained).absolute().parent / RECORD
    if not (Path(pretrained).is_dir() and file.is_file()):
        return None
    try:
        return TrainingRecord.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        reason = first_problem(error) if isinstance(error, ValidationError) else error.strerror
        raise UserError(f"cannot use {file}: {reason}; copy-eval train writes it anew, or delete it") from error
