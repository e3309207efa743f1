"""Evaluates the cells of one model at one revision through lm-eval; the weights load once, a cell is written when done.

Every function here can run in another process: nothing but its arguments is needed.
"""

import gc
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from copy_eval.checkpoint_fingerprint import fingerprint_model
from copy_eval.errors import UserError
from copy_eval.runs.events import CellEvent, OnEvent
from copy_eval.runs.imports import collector_off
from copy_eval.runs.loaded_model import LoadedModel
from copy_eval.runs.results_folder import Prompts, folder_of, is_done, read_done, weights_notes, write_result
from copy_eval.runs.suite import Cell
from copy_eval.runs.task_names import TASKS


def load_task(name: str, settings: Mapping[str, int | str]) -> Any:
    """Return lm-eval's task with its prompts; the same task is built once in a process, for all models.

    Raises:
        UserError: if its data cannot be had or do not fit the settings.
    """
    return _load_task(name, tuple(sorted(settings.items())))


@cache
def _load_task(name: str, settings: tuple[tuple[str, int | str], ...]) -> Any:
    return _task_manager(settings).load([name])["tasks"][name]


@cache
def _task_manager(settings: tuple[tuple[str, int | str], ...]) -> Any:
    with collector_off():
        from lm_eval.tasks import TaskManager

    # lm-eval's own 14,000 tasks, which it would index for 8 seconds, are left out.
    return TaskManager(include_path=TASKS, include_defaults=False, metadata=dict(settings))


def prompts_of(task: Any) -> Prompts:
    """Return what a loaded task asks."""
    return Prompts(str(task.VERSION), task.config.metadata["prompts_sha256"], len(task.eval_docs))


def left_to_do(
    cells: Sequence[Cell],
    settings: Mapping[str, int | str],
    out: Path,
    on_model: Callable[[str], object] = lambda _: None,
) -> list[Cell]:
    """Return the cells without a result in ``out``.

    Args:
        cells: those of one model and revision together.
        settings: of the suite.
        out: its folder of results.
        on_model: is told the label of each model whose checkpoint is compared with its results.

    Raises:
        UserError: if a task's data cannot be had.
    """
    left: list[Cell] = []
    for _, group in groupby(cells, key=lambda cell: (cell.model, cell.revision)):
        of_model = list(group)
        results = list(read_done(folder_of(out, of_model[0])))
        weights = None
        if results:
            on_model(of_model[0].label)
            with suppress(UserError):  # which is told when the model is loaded
                weights = _read_weights(of_model[0], out)
        left += [
            cell for cell in of_model if not is_done(cell, prompts_of(load_task(cell.task, settings)), weights, results)
        ]
    return left


def _read_weights(cell: Cell, out: Path) -> str | None:
    return fingerprint_model(cell.model.arguments(cell.revision), weights_notes(out, cell.label))


def evaluate_model(cells: Sequence[Cell], settings: Mapping[str, int | str], out: Path, on_event: OnEvent) -> None:
    """Evaluate the cells of one model at one revision that have no result yet.

    A cell that fails is an event with its reason; the others go on.

    Args:
        cells: at least one, all of the same model and revision.
        settings: of the suite.
        out: the suite's folder of results; it exists.
        on_event: is told of every step, in this process.

    Raises:
        UserError: if results cannot be written: what follows would be lost.
    """
    left = left_to_do(cells, settings, out)
    if not left:
        return
    on_event(CellEvent(left[0], "loading"))
    try:
        _evaluate_cells(left, settings, out, on_event)
    finally:
        _free_memory()


def _evaluate_cells(cells: Sequence[Cell], settings: Mapping[str, int | str], out: Path, on_event: OnEvent) -> None:
    try:
        weights = _read_weights(cells[0], out)
        model = LoadedModel(cells[0].model, cells[0].revision, weights)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other models go on
        for cell in cells:
            on_event(_failure(cell, error))
        return
    for cell in cells:
        task = load_task(cell.task, settings)
        on_event(CellEvent(cell, "running", prompts=len(task.eval_docs)))
        try:
            report, samples = model.evaluate(cell.task, task)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other cells go on
            on_event(_failure(cell, error))
            continue
        write_result(folder_of(out, cell), cell.task, report, samples)
        accuracy = report["results"][cell.task]["exact_match,none"]
        on_event(CellEvent(cell, "done", prompts=len(samples), accuracy=accuracy))


def _failure(cell: Cell, error: Exception) -> CellEvent:
    if isinstance(error, UserError):
        return CellEvent(cell, "failed", reason=str(error))
    line = next(iter(str(error).strip().splitlines()), "")
    details = "".join(traceback.format_exception(error))
    return CellEvent(cell, "failed", reason=f"{type(error).__name__}: {line}", details=details)


def _free_memory() -> None:
    """Give a GPU's memory back before the next model loads."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
