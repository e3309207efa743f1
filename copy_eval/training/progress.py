"""The progress lines of trainings: one for each model that is trained at the moment."""

import sys
from collections.abc import Sequence
from typing import Self

from tqdm import tqdm

from copy_eval.training.trainer import Step


class TrainingProgress:
    """Draws how far each training is, on standard error."""

    def __init__(self, names: Sequence[str]) -> None:
        """Draw nothing yet.

        Args:
            names: of all trainings, in order.
        """
        self._titles = {name: f"{name} ({number}/{len(names)})" for number, name in enumerate(names, 1)}
        self._bars: dict[str, tqdm[None]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for bar in self._bars.values():  # of those that were stopped
            _close(bar)

    def show(self, step: Step) -> None:
        """Draw a step, and write a line about a checkpoint."""
        bar = self._bars.get(step.name)
        if bar is None:
            bar = self._bars[step.name] = tqdm(
                total=step.total, initial=step.seen, desc=self._titles[step.name], unit=f" {step.unit}",
                unit_scale=True, smoothing=0.02, mininterval=0.5 if sys.stderr.isatty() else 30, dynamic_ncols=True,
            )  # fmt: skip
        bar.set_postfix(loss=f"{step.loss:.3f}", accuracy=f"{step.accuracy:.2f}", refresh=False)
        bar.update(step.seen - bar.n)
        if step.checkpoint:
            tqdm.write(f"{step.name}: {step.checkpoint}", file=sys.stderr)
        if step.seen >= step.total:
            _close(bar)

    def end(self, name: str, reason: str) -> None:
        """End the line of a training that cannot go on, and say why in another one."""
        if name in self._bars:
            _close(self._bars[name])
        tqdm.write(reason, file=sys.stderr)


def _close(bar: "tqdm[None]") -> None:
    """End a line, and leave it above the others: tqdm would leave it among them, and not move them up."""
    if not bar.disable:
        last = str(bar)
        bar.leave = False
        bar.close()
        tqdm.write(last, file=sys.stderr)
