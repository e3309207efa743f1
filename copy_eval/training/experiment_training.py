"""Trains the models of an experiment: one after the other on a GPU, side by side on the cores of a processor.

The models of size cpu are small: on two cores, a second thread trains one of them 1.4 to 1.5 times as fast, while a
second process trains twice as many in the same time. With one thread each, they also get the same weights on any number
of cores.

A process tells its steps through a pipe. When nobody listens any more, be it that the command was stopped or that it
was killed, the process saves its state and ends.
"""

import json
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from transformers import PreTrainedModel

from copy_eval.errors import UserError, first_line
from copy_eval.training.alphabet_tokenizer import build_tokenizer
from copy_eval.training.architectures import ARCHITECTURES
from copy_eval.training.examples import FreshExamples
from copy_eval.training.experiment import TrainingRun
from copy_eval.training.trainer import DivergedError, Step, Training, train_model

_SECONDS_BETWEEN_STEPS = 0.3
"""Of those that a process tells."""


def training_of(run: TrainingRun) -> Training:
    """Return how a model of an experiment is trained."""
    architecture = ARCHITECTURES[run.architecture]
    return Training(
        name=run.name,
        identity=json.dumps({"run": run.name, "size": run.size, "scale": run.scale.model_dump()}, sort_keys=True),
        seed=run.seed,
        build=lambda: architecture.build(run.size),
        begin=lambda: FreshExamples(run),
        save=_save,
        checkpoints={point: f"step{point}" for point in run.points},
        compiles=architecture.compiles,
        half_on=("cuda",) if architecture.half else (),
    )


def _save(model: PreTrainedModel, folder: Path) -> None:
    model.save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)


def train_runs(
    runs: Sequence[TrainingRun], out: Path, on_step: Callable[[Step], None]
) -> Iterator[tuple[str, DivergedError | None]]:
    """Train models, and yield the name of each that is done, and why it diverged, or None.

    On the processor, as many are trained at a time as PyTorch takes threads, which ``OMP_NUM_THREADS`` sets.

    Args:
        runs: what is left to train.
        out: folder of the experiment.
        on_step: is told of steps.

    Raises:
        UserError: if something cannot be read or written, the GPU has too little memory, or a process was killed.
    """
    at_once = torch.get_num_threads()
    if torch.cuda.is_available() or at_once == 1:
        for run in runs:
            yield run.name, train_in_this_process(training_of(run), out / run.name, on_step)
    else:
        yield from _train_side_by_side(runs, out, at_once, on_step)


def train_in_this_process(training: Training, folder: Path, on_step: Callable[[Step], None]) -> DivergedError | None:
    """Train a model, on the GPU if there is one, with the threads that PyTorch takes; return why it diverged, or None.

    Raises:
        UserError: if something cannot be read or written, or the GPU has too little memory.
    """
    try:
        train_model(training, folder, torch.device("cuda" if torch.cuda.is_available() else "cpu"), on_step)
    except DivergedError as error:
        return error
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"{training.name}: out of GPU memory ({first_line(error)}); what was saved before is kept: the same "
            "command goes on once more memory is free, or train with a smaller batch or context in another folder"
        ) from error
    return None


def _train_side_by_side(
    runs: Sequence[TrainingRun], out: Path, at_once: int, on_step: Callable[[Step], None]
) -> Iterator[tuple[str, DivergedError | None]]:
    waiting = deque(runs)
    running: dict[Connection, BaseProcess] = {}
    try:
        while True:
            while waiting and len(running) < at_once:
                run = waiting.popleft()
                pipe, process = _start(run, out / run.name)
                running[pipe] = process
            if not running:
                return
            ready = wait(running)
            for pipe in [pipe for pipe in running if pipe in ready]:
                try:
                    told = pipe.recv()
                except EOFError:
                    process = running.pop(pipe)
                    process.join()
                    raise UserError(
                        f"the process that trained {process.name} ended with exit code {process.exitcode}; if it was "
                        "for want of memory, OMP_NUM_THREADS=1 trains one model at a time; the same command goes on"
                    ) from None
                if isinstance(told, Step):
                    on_step(told)
                    continue
                process = running.pop(pipe)
                process.join()
                if told is not None and not isinstance(told, DivergedError):
                    raise told
                yield process.name, told
    finally:
        for pipe in running:
            pipe.close()
        for process in running.values():
            process.join()


def _start(run: TrainingRun, folder: Path) -> tuple[Connection, BaseProcess]:
    # A fork would inherit the threads and locks of PyTorch, and the ends of the other pipes.
    context = multiprocessing.get_context("spawn")
    listening, telling = context.Pipe(duplex=False)
    process = context.Process(target=_train_and_tell, args=(run, folder, telling), name=run.name, daemon=True)
    # Ctrl-C is for the command, which then listens no more: a process is born deaf to it.
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, heard)
    telling.close()
    return listening, process


def _train_and_tell(run: TrainingRun, folder: Path, telling: Connection) -> None:
    """Train a model in a process of its own; tell its steps, and at the end what it returns or raises."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it is not inherited, as on Windows
    torch.set_num_threads(1)
    told = float("-inf")

    def tell(step: Step) -> None:
        nonlocal told
        if step.checkpoint or step.seen >= step.total or time.monotonic() - told >= _SECONDS_BETWEEN_STEPS:
            telling.send(step)
            told = time.monotonic()

    try:
        try:
            telling.send(train_in_this_process(training_of(run), folder, tell))
        except UserError as error:
            telling.send(error)
    except BrokenPipeError:
        pass
