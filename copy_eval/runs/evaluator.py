"""Evaluates a suite: finds out what is left to do, has lm-eval do it, and keeps the list of what failed.

The weights of a model load once for all its cells, and each cell is written as soon as it is done.
"""

import gc
import inspect
import subprocess
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import copy_eval
from copy_eval.errors import UserError
from copy_eval.runs.model_entries import SERVED, ModelEntry
from copy_eval.runs.progress import CellEvent, OnEvent, Progress
from copy_eval.runs.results_folder import (
    answers_of,
    claim,
    fingerprint_weights,
    folder_of,
    left_to_do,
    locked,
    refuse_other_prompts,
    refuse_other_suite,
    write_failures,
    write_result,
)
from copy_eval.runs.served_model import ServedModel, ServerGoneError, arguments_for_server
from copy_eval.runs.suite import Cell, Suite, group_by_model
from copy_eval.runs.task_loading import collector_off, load_task, prompts_of

_BOOTSTRAP_ITERATIONS = 100_000  # the default of lm-eval's command; our metrics have standard errors in closed form
_DEVICE = "cuda:0"  # the default of lm-eval's command; its backends take it for the CPU where there is no CUDA

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
        UserError: if ``out`` holds results of another suite or of other prompts, if another run is at work in it, or if
            it cannot be written.
    """
    refuse_other_suite(out, suite)
    with locked(out):
        return _run_locked(suite, out, progress, evaluate_all)


def _run_locked(suite: Suite, out: Path, progress: Progress, evaluate_all: EvaluateAll) -> list[CellEvent]:
    tasks, failures = _load_tasks(suite, progress)
    refuse_other_prompts(out, {name: prompts_of(task) for name, task in tasks.items()}, progress.say)
    claim(out, suite)
    cells = [cell for cell in suite.cells() if cell.task in tasks]
    left = left_to_do(cells, suite.settings, out, lambda label: progress.prepare(f"comparing the weights of {label}"))
    progress.start(suite.cells(), left, {name: _work(task) for name, task in tasks.items()})
    for failure in failures:
        progress.on_event(failure)
    write_failures(out, [_failure_row(failure) for failure in failures])

    def on_event(event: CellEvent) -> None:
        progress.on_event(event)
        if event.state == "failed":
            failures.append(event)
            write_failures(out, [_failure_row(failure) for failure in failures])

    evaluate_all(group_by_model(left), suite.settings, out, on_event)
    return failures


def _load_tasks(suite: Suite, progress: Progress) -> tuple[dict[str, Any], list[CellEvent]]:
    """Return the tasks whose prompts can be had, and a failure for every cell of the others."""
    tasks: dict[str, Any] = {}
    failures: list[CellEvent] = []
    for name in suite.tasks:
        progress.prepare(f"preparing the prompts of {name}")
        try:
            tasks[name] = load_task(name, suite.settings, suite.include_path)
        except UserError as error:
            cells = [cell for cell in suite.cells() if cell.task == name]
            failures.extend(CellEvent(cell, "failed", reason=str(error)) for cell in cells)
    return tasks, failures


def _work(task: Any) -> int:
    """Return the characters of a task's prompts and answers: what its time is roughly proportional to."""
    return sum(len(doc["prompt"]) + len(doc["answer"]) for doc in task.eval_docs)


def _failure_row(failure: CellEvent) -> dict[str, str | None]:
    return {
        "model": failure.cell.model.name,
        "revision": failure.cell.revision,
        "task": failure.cell.task,
        "reason": failure.reason,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "details": failure.details,
    }


def evaluate_model(cells: Sequence[Cell], settings: Mapping[str, int | str], out: Path, on_event: OnEvent) -> None:
    """Evaluate the cells of one model at one revision that have no result yet.

    A cell that fails is an event with its reason; the others go on. It may run in another process: it needs nothing but
    its arguments.

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
        weights = fingerprint_weights(cells[0], out)
        model = _LoadedModel(cells[0].model, cells[0].revision, weights)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other models go on
        for cell in cells:
            on_event(replace(_failure(cell, error), whole_model=True))
        return
    for cell in cells:
        task = load_task(cell.task, settings, cell.include_path)
        running = CellEvent(cell, "running", prompts=len(task.eval_docs))
        on_event(running)
        try:
            report, samples = model.evaluate(
                cell.task, task, answers_of(out, cell), partial(_tell_answered, running, on_event)
            )
        except ServerGoneError as error:
            for each in cells[cells.index(cell) :]:
                on_event(replace(_failure(each, error), whole_model=True))
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the other cells go on
            on_event(_failure(cell, error))
            continue
        write_result(folder_of(out, cell), cell.task, report, samples)
        model.forget_answers()
        accuracy = report["results"][cell.task]["exact_match,none"]
        on_event(CellEvent(cell, "done", prompts=len(samples), accuracy=accuracy))


def _tell_answered(running: CellEvent, on_event: OnEvent, answered: int, taken: int = 0, tokens: int = 0) -> None:
    on_event(replace(running, answered=min(answered, running.prompts), taken=taken, tokens=tokens))


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


class _AnswerCounter:
    """Stands where lm-eval's cache of answers would: backends tell it of each answer as soon as they have it."""

    def __init__(self, on_answer: Callable[..., None]) -> None:
        """Begin at 0; ``on_answer`` is told how many there are at each of them, and of the tokens of long prompts."""
        self._on_answer = on_answer
        self._answered = 0

    def add_partial(self, *_answer: object) -> None:
        """Count an answer; the name is that of lm-eval's ``CacheHook``."""
        self._answered += 1
        self._on_answer(self._answered)

    def take_in(self, taken: int, tokens: int) -> None:
        """Tell how far the next prompt is; our own adapters call this where it is long."""
        self._on_answer(self._answered, taken, tokens)


class _LoadedModel:
    """A model as lm-eval loads it, with what lm-eval's result files say about it and its surroundings.

    ``lm_eval.simple_evaluate`` does the same for a list of tasks at once. A task at a time, it would load the weights
    or describe the surroundings anew for each of them, so its last part stands here again.
    """

    def __init__(self, entry: ModelEntry, revision: str | None, weights: str | None) -> None:
        """Load a model; ``weights`` is the fingerprint of its checkpoint, None for one on the hub."""
        copy_eval.register()
        from lm_eval.api.registry import get_model

        self._entry, self._weights = entry, weights
        self._arguments = entry.arguments(revision)
        self._device = str(self._arguments.get("device", _DEVICE))
        options = {"batch_size": entry.batch_size} | ({} if "device" in self._arguments else {"device": _DEVICE})
        with collector_off():
            made_with = arguments_for_server(entry.adapter, self._arguments)
            self._lm = get_model(entry.adapter).create_from_arg_obj(made_with, options)
        if "disable_tqdm" in inspect.signature(self._lm.generate_until).parameters:
            self._lm.generate_until = partial(self._lm.generate_until, disable_tqdm=True)
        self._served = ServedModel(self._lm, entry.adapter, self._arguments) if entry.adapter in SERVED else None
        self._surroundings: dict[str, Any] = {}

    def forget_answers(self) -> None:
        """Drop what a server answered to the last task, whose result is written."""
        if self._served is not None:
            self._served.end()

    def evaluate(
        self, name: str, task: Any, answers: Path, on_answer: Callable[..., None]
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return the report and the samples of one task, with the content of lm-eval's own files.

        Args:
            name: of the task.
            task: as lm-eval loads it.
            answers: a file that keeps those of a server until the result is written.
            on_answer: is told how many there are at each of them, and how much of a long prompt is taken in.
        """
        from lm_eval.evaluator import evaluate
        from lm_eval.loggers.evaluation_tracker import GeneralConfigTracker
        from lm_eval.utils import hash_string

        tracker = GeneralConfigTracker()
        # Reports take a model's name from here: two entries for one checkpoint must not pass for one model.
        named = self._entry.name != Path(self._entry.pretrained).name
        tracker.log_experiment_args(
            model_source=self._entry.adapter,
            model_args={"pretrained": self._entry.name} if named else self._arguments,
            system_instruction=None,
            chat_template=None,
            fewshot_as_multiturn=False,
        )
        date = time.time()
        if self._served is None:
            counter = _AnswerCounter(on_answer)
            self._lm.set_cache_hook(counter)
            self._lm.on_tokens = counter.take_in
        else:
            self._served.begin(answers, on_answer)
        report = evaluate(self._lm, {"tasks": {name: task}}, bootstrap_iters=_BOOTSTRAP_ITERATIONS)
        samples = report.pop("samples")[name]
        hashes = "".join(sample["doc_hash"] + sample["prompt_hash"] + sample["target_hash"] for sample in samples)
        tracker.log_end_time()
        report |= {"config": self._config(), "date": date, **self._describe_surroundings()}
        return report | {"task_hashes": {name: hash_string(hashes)}} | asdict(tracker), samples

    def _config(self) -> dict[str, Any]:
        """Return what ``lm_eval.simple_evaluate`` notes about the model; it would load the weights for each task."""
        model_info = self._lm.get_model_info() if hasattr(self._lm, "get_model_info") else {}
        return {
            "model": self._entry.adapter,
            "model_args": self._arguments,
            **model_info,
            "weights_sha256": self._weights,  # ours say it themselves
            "batch_size": self._entry.batch_size,
            "batch_sizes": list(getattr(self._lm, "batch_sizes", {}).values()),
            "device": self._device,
            "use_cache": None,
            "limit": None,
            "bootstrap_iters": _BOOTSTRAP_ITERATIONS,
            "gen_kwargs": None,
        }

    def _describe_surroundings(self) -> dict[str, Any]:
        """Return the versions and the tokenizer, gathered once."""
        if not self._surroundings:
            from lm_eval.loggers.utils import add_tokenizer_info

            self._surroundings |= _environment()
            add_tokenizer_info(self._surroundings, self._lm)
        return self._surroundings


@cache
def _environment() -> dict[str, Any]:
    """Return what lm-eval notes of this machine, once for all models: it runs some ten programs."""
    from lm_eval.loggers.utils import add_env_info

    environment: dict[str, Any] = {"git_hash": _git_hash()}
    add_env_info(environment)
    return environment


def _git_hash() -> str | None:
    """Return the commit of the working directory; lm-eval's own function lets git complain where there is none."""
    try:
        done = subprocess.run(["git", "describe", "--always"], capture_output=True, text=True, check=False)
    except OSError:  # no git
        return None
    return done.stdout.strip() or None
