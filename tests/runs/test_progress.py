"""The lines of finished cells, and the table of what is left."""

import time

import pytest
from rich.console import Console

from copy_eval.runs.model_entries import ModelEntry
from copy_eval.runs.progress import CellEvent, Progress
from copy_eval.runs.suite import Cell

MODEL = ModelEntry("small", "pythia", "tiny-pythia")
SHORT, LONG = Cell(MODEL, None, "phonebook_copy_10"), Cell(MODEL, None, "phonebook_copy_20")


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def shown(progress):
    console = Console(width=100, file=None)
    with console.capture() as capture:
        console.print(progress)
    return capture.get()


def test_the_time_left_follows_the_work_and_shrinks_while_a_cell_runs(clock, capsys):
    progress = Progress()
    progress.start([SHORT, LONG], [SHORT, LONG], {SHORT.task: 100, LONG.task: 300})
    progress.on_event(CellEvent(SHORT, "running", prompts=20))
    clock[0] += 10
    progress.on_event(CellEvent(SHORT, "done", prompts=20, accuracy=0.5))
    progress.on_event(CellEvent(LONG, "running", prompts=20))
    assert capsys.readouterr().err.splitlines() == [
        "small  phonebook_copy_10  begins",
        "small  phonebook_copy_10  0.500  (20 prompts, 10.0 s)",
        "small  phonebook_copy_20  begins",
    ]
    assert "1 of 2" in shown(progress)
    assert "2.0" in shown(progress)
    assert "0:00:30" in shown(progress)

    clock[0] += 12
    assert "0:00:18" in shown(progress)
    assert "2.0" in shown(progress)

    clock[0] += 60
    assert shown(progress).splitlines()[-1].split() == ["1", "of", "2", "0", "2.0"], "no time is left to tell"


def test_a_failure_is_a_line_with_its_reason_and_counted(capsys):
    progress = Progress()
    progress.start([SHORT, LONG], [LONG], {SHORT.task: 100, LONG.task: 300})
    progress.on_event(CellEvent(LONG, "failed", reason="out of memory [all of it]"))
    assert capsys.readouterr().err == (
        "1 of 2 cells are done already\nsmall  phonebook_copy_20  FAILED: out of memory [all of it]\n"
    )
    assert (progress.done_before, progress.evaluated, progress.failed) == (1, 0, 1)
    assert "2 of 2" in shown(progress)


def test_a_running_cell_shows_its_answered_prompts_and_the_time_since_it_began(clock, capsys):
    progress = Progress()
    progress.start([SHORT], [SHORT], {SHORT.task: 100})
    progress.on_event(CellEvent(SHORT, "running", prompts=200))
    assert "small  phonebook_copy_10, 0 of 200 prompts  0:00:00" in shown(progress)
    clock[0] += 70
    progress.on_event(CellEvent(SHORT, "running", prompts=200, answered=37))
    clock[0] += 5
    assert "small  phonebook_copy_10, 37 of 200 prompts  0:01:15" in shown(progress)
    progress.on_event(CellEvent(SHORT, "running", prompts=200, answered=37, taken=8192, tokens=16384))
    assert "37 of 200 prompts, 8192 of 16384 tokens of a prompt  0:01:15" in shown(progress)
    progress.on_event(CellEvent(SHORT, "running", prompts=200, answered=38))
    assert "38 of 200 prompts  0:01:15" in shown(progress)
    assert capsys.readouterr().err == "small  phonebook_copy_10  begins\n"


def test_a_model_that_does_not_load_is_one_line_and_all_its_cells_have_failed(capsys):
    other = Cell(ModelEntry("other", "pythia", "tiny-pythia"), None, SHORT.task)
    progress = Progress()
    progress.start([SHORT, LONG, other], [SHORT, LONG, other], {SHORT.task: 100, LONG.task: 300})
    for cell in (SHORT, LONG, other):
        progress.on_event(CellEvent(cell, "failed", reason="no weights", whole_model=True))
    assert capsys.readouterr().err == "small  FAILED: no weights\nother  FAILED: no weights\n"
    assert progress.failed == 3


@pytest.mark.usefixtures("clock")
def test_progress_names_each_cell_with_its_accuracy_and_its_failures(suite, capsys):
    cell, other = suite.cells()[:2]
    with Progress() as progress:
        progress.start([cell, other], [cell, other], {cell.task: 10, other.task: 30})
        progress.on_event(CellEvent(cell, "loading"))
        progress.on_event(CellEvent(cell, "running", prompts=2))
        progress.on_event(CellEvent(cell, "done", prompts=2, accuracy=0.5))
        progress.on_event(CellEvent(other, "failed", reason="no [bold]memory"))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "tiny-pythia  loading the weights",
        "tiny-pythia  phonebook_copy_10  begins",
        "tiny-pythia  phonebook_copy_10  0.500  (2 prompts, 0.0 s)",
        "tiny-pythia  phonebook_reversed_10  FAILED: no [bold]memory",
    ]
