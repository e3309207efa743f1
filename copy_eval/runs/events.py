"""What is told of a run while it goes on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from copy_eval.runs.suite import Cell


@dataclass(frozen=True)
class CellEvent:
    """What has just happened to a cell."""

    cell: Cell
    state: Literal["loading", "running", "done", "failed"]
    """``loading``: the weights of the cell's model, before its first cell."""

    prompts: int = 0
    accuracy: float | str | None = None
    """The share of exact matches, or why there is none."""

    reason: str = ""
    details: str = ""
    """Of a failure: one line, and the traceback if it is not the user's to mend."""


OnEvent = Callable[[CellEvent], None]
