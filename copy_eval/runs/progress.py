"""How far a run is: what is told of its cells, and what is shown of it.

That is a line for each finished cell; on a terminal also a table, kept up to date below them.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table

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


class Progress:
    """Counts the cells of a run and prints to stderr; a context, so that the terminal is left in order."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(self, console=self._console, refresh_per_second=4, transient=True)
        self._begun = time.monotonic()
        self._first_prompt: float | None = None
        self._last_done = 0.0
        self._preparing: str | None = "loading lm-eval"
        self._running: dict[Cell, tuple[str, float]] = {}
        self._work: Mapping[str, int] = {}
        self._work_left = self._work_done = self._prompts = 0
        self.cells = self.done_before = self.evaluated = self.failed = 0

    def __enter__(self) -> "Progress":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

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
            what = "loading the weights" if event.state == "loading" else f"{cell.task}, {event.prompts} prompts"
            self._running[cell] = (what, time.monotonic())
            if event.state == "running" and self._first_prompt is None:
                self._first_prompt = time.monotonic()
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
        else:
            self.failed += 1
            self.say(f"{cell.label}  {cell.task}  FAILED: {event.reason}")

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
            _clock(max(0.0, self._work_left * elapsed / self._work_done - (now - self._last_done)))
            if self._work_done
            else "",
        )
        running = [f"{cell.label}  {what}  {_clock(now - since)}" for cell, (what, since) in self._running.items()]
        return Group("", *running, table)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
