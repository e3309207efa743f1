"""Runs a suite: finds out what is left to do, has it done, and keeps the list of what failed."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from copy_eval.errors import UserError
from copy_eval.runs.evaluate import evaluate_model, left_to_do, load_task, prompts_of
from copy_eval.runs.events import CellEvent, OnEvent
from copy_eval.runs.progress import Progress
from copy_eval.runs.results_folder import claim, refuse_other_prompts, refuse_other_suite, write_failures
from copy_eval.runs.suite import Cell, Suite

EvaluateAll = Callable[[Sequence[Sequence[Cell]], Mapping[str, int | str], Path, OnEvent], None]
"""Evaluates groups of cells, each of one model and revision, and tells of every step in the calling process."""


def evaluate_in_turn(
    groups: Sequence[Sequence[Cell]], settings: Mapping[str, int | str], out: Path, on_event: OnEvent
) -> None:
    """Evaluate one model after the other in this process."""
    for cells in groups:
        evaluate_model(cells, settings, out, on_event)


def run_suite(
    suite: Suite, out: Path, progress: Progress, evaluate_all: EvaluateAll = evaluate_in_turn
) -> list[CellEvent]:
    """Evaluate the cells of a suite that have no result in ``out`` yet, and return the failures.

    Raises:
        UserError: if ``out`` holds results of another suite or of other prompts, or cannot be written.
    """
    refuse_other_suite(out, suite)
    tasks, failures = _load_tasks(suite, progress)
    if out.exists():
        refuse_other_prompts(out, {name: prompts_of(task) for name, task in tasks.items()}, progress.say)
    claim(out, suite)
    cells = [cell for cell in suite.cells() if cell.task in tasks]
    left = left_to_do(cells, suite.settings, out, lambda label: progress.prepare(f"comparing the weights of {label}"))
    progress.start(suite.cells(), left, {name: _work(task) for name, task in tasks.items()})
    for failure in failures:
        progress.on_event(failure)
    write_failures(out, [_row(failure) for failure in failures])

    def on_event(event: CellEvent) -> None:
        progress.on_event(event)
        if event.state == "failed":
            failures.append(event)
            write_failures(out, [_row(failure) for failure in failures])

    groups = [list(cells) for _, cells in groupby(left, key=lambda cell: (cell.model, cell.revision))]
    evaluate_all(groups, suite.settings, out, on_event)
    return failures


def _load_tasks(suite: Suite, progress: Progress) -> tuple[dict[str, Any], list[CellEvent]]:
    """Return the tasks whose prompts can be had, and a failure for every cell of the others."""
    tasks: dict[str, Any] = {}
    failures: list[CellEvent] = []
    for name in suite.tasks:
        progress.prepare(f"preparing the prompts of {name}")
        try:
            tasks[name] = load_task(name, suite.settings)
        except UserError as error:
            cells = [cell for cell in suite.cells() if cell.task == name]
            failures.extend(CellEvent(cell, "failed", reason=str(error)) for cell in cells)
    return tasks, failures


def _work(task: Any) -> int:
    """Return the characters of a task's prompts and answers: what its time is roughly proportional to."""
    return sum(len(doc["prompt"]) + len(doc["answer"]) for doc in task.eval_docs)


def _row(failure: CellEvent) -> dict[str, str | None]:
    return {
        "model": failure.cell.model.name,
        "revision": failure.cell.revision,
        "task": failure.cell.task,
        "reason": failure.reason,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "details": failure.details,
    }
