"""How far a run is: what is told of its cells, and what is shown of it.

That is a line for each finished cell. On a terminal a table stands below them and is kept up to date, with the prompts
that the running cells have answered; elsewhere, a line also says what begins.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partialmethod
from types import TracebackType
from typing import Literal
from unittest.mock import patch

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from tqdm import tqdm

from copy_eval.runs.suite import Cell


@dataclass(frozen=True)
class CellEvent:
    """What has just happened to a cell."""

    cell: Cell
    state: Literal["loading", "running", "done", "failed"]
    """``loading``: the weights of the cell's model, before its first cell. ``running`` is told again at each answer."""

    prompts: int = 0
    answered: int = 0
    """Of the prompts, while it runs."""

    taken: int = 0
    tokens: int = 0
    """Of a long prompt that is being taken in: the tokens so far, and all of them."""

    accuracy: float | str | None = None
    """The share of exact matches, or why there is none."""

    reason: str = ""
    details: str = ""
    """Of a failure: one line, and the traceback if it is not the user's to mend."""

    whole_model: bool = False
    """Whether no cell of the model at this revision can be evaluated, as where it does not load."""


OnEvent = Callable[[CellEvent], None]


class Progress:
    """Counts the cells of a run and prints to stderr; a context, so that the terminal is left in order."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(self, console=self._console, refresh_per_second=4, transient=True)
        # lm-eval draws a bar a step. TQDM_DISABLE would come too late: tqdm reads it when it is imported.
        self._no_bars = patch.object(tqdm, "__init__", partialmethod(tqdm.__init__, disable=True))
        self._begun = time.monotonic()
        self._first_prompt: float | None = None
        self._last_done = 0.0
        self._preparing: str | None = "loading lm-eval"
        self._running: dict[Cell, tuple[str, float]] = {}
        self._failed_models: set[str] = set()
        self._work: Mapping[str, int] = {}
        self._work_left = self._work_done = self._prompts = 0
        self.cells = self.done_before = self.evaluated = self.failed = 0

    def __enter__(self) -> "Progress":
        self._no_bars.start()
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        self._no_bars.stop()

    def prepare(self, what: str) -> None:
        """Note what is being done before the models begin."""
        self._preparing = what

    def start(self, cells: Sequence[Cell], left: Sequence[Cell], work: Mapping[str, int]) -> None:
        """Begin with the models.

        Args:
            cells: all of the suite.
            left: those that will be evaluated.
            work: of each task, in a unit that its time is proportional to.
        """
        self._preparing = None
        self._work = work
        self._work_left = sum(work[cell.task] for cell in left)
        self.cells = len(cells)
        self.done_before = sum(cell.task in work for cell in cells) - len(left)
        if self.done_before:
            self.say(f"{self.done_before} of {len(cells)} cells are done already")

    def on_event(self, event: CellEvent) -> None:
        """Take in what happened to a cell."""
        cell = event.cell
        if event.state in ("loading", "running"):
            self._begin_or_go_on(event)
            return
        _, since = self._running.pop(cell, ("", time.monotonic()))
        self._work_left -= self._work.get(cell.task, 0)
        if event.state == "done":
            self.evaluated += 1
            self._prompts += event.prompts
            self._work_done += self._work[cell.task]
            self._last_done = time.monotonic()
            seconds = self._last_done - since
            accuracy = event.accuracy if isinstance(event.accuracy, str) else f"{event.accuracy:.3f}"
            self.say(f"{cell.label}  {cell.task}  {accuracy}  ({event.prompts} prompts, {seconds:.1f} s)")
            return
        self.failed += 1
        if not event.whole_model:
            self.say(f"{cell.label}  {cell.task}  FAILED: {event.reason}")
        elif cell.label not in self._failed_models:
            self._failed_models.add(cell.label)
            self.say(f"{cell.label}  FAILED: {event.reason}")

    def _begin_or_go_on(self, event: CellEvent) -> None:
        cell, now = event.cell, time.monotonic()
        if (event.answered or event.tokens) and cell in self._running:
            now = self._running[cell][1]
        elif not self._console.is_terminal:
            begins = f"{cell.task}  begins" if event.state == "running" else "loading the weights"
            self.say(f"{cell.label}  {begins}")
        if event.state == "running":
            self._first_prompt = self._first_prompt or now
            within = f", {event.taken} of {event.tokens} tokens of a prompt" if event.tokens else ""
            self._running[cell] = (f"{cell.task}, {event.answered} of {event.prompts} prompts{within}", now)
        else:
            self._running[cell] = ("loading the weights", now)

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self._console.print(line, markup=False, soft_wrap=True)

    def __rich__(self) -> RenderableType:
        """Return what stands below the lines now."""
        now = time.monotonic()
        if self._preparing:
            return f"{self._preparing}  {_clock(now - self._begun)}"
        # The cells in flight count once they are done, or the rate would fall and the time left grow until then.
        elapsed = self._last_done - (self._first_prompt or now)
        finished = self.done_before + self.evaluated + self.failed
        table = Table("cells", "failed", "prompts/s", "time left", box=None)
        table.add_row(
            f"{finished} of {self.cells}",
            str(self.failed),
            f"{self._prompts / elapsed:.1f}" if self._prompts else "",
            # A cell that takes longer than those before it leaves nothing to tell it by.
            _clock(seconds) if (seconds := self._seconds_left(now, elapsed)) > 0 else "",
        )
        running = [f"{cell.label}  {what}  {_clock(now - since)}" for cell, (what, since) in self._running.items()]
        return Group("", *running, table)

    def _seconds_left(self, now: float, elapsed: float) -> float:
        if not self._work_done:
            return 0.0
        return self._work_left * elapsed / self._work_done - (now - self._last_done)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
