"""The models of the page, in the order of their checkboxes and rows."""

from collections.abc import Iterable
from dataclasses import dataclass

from copy_eval.reports.charts.model_lines import Style, model_styles
from copy_eval.reports.frames.results import CONTEXT_NOT_CHECKED, unchecked_labels
from copy_eval.reports.frames.seeds import line_labels
from copy_eval.reports.frames.series import few_steps
from copy_eval.reports.report import Report

_SYMBOLS = {
    "circle": "M20 6a4 4 0 1 1-8 0a4 4 0 1 1 8 0",
    "square": "M12 2h8v8h-8z",
    "triangle-up": "M16 1l5 9h-10z",
    "triangle-down": "M16 11l5-9h-10z",
    "diamond": "M16 1l5 5l-5 5l-5-5z",
}
"""The charts' markers as SVG paths around (16, 6)."""

_STEPS = 8
"""Training steps of one model that are shown at first."""


@dataclass(frozen=True)
class Model:
    """A model of the page, with the look that it has in the charts; models that differ by their seed are one.

    Args:
        place: its place among the models; the page's elements name the model by it.
        label: its name for people.
        labels: this name, and those of the seeds that it stands for.
        style: its look in the charts.
        symbol: its marker, as an SVG path.
        shown: whether its checkbox is ticked when the page opens.
        note: what is to be known of all its results; mostly empty.
    """

    place: int
    label: str
    labels: tuple[str, ...]
    style: Style
    symbol: str
    shown: bool
    note: str


def models_of(report: Report) -> list[Model]:
    """Return the models in the order of the leaderboard; of a sweep over training steps few are shown at first."""
    styles = model_styles(report.lines)
    shown = set(few_steps(report.lines, _STEPS)["label"])
    unchecked = unchecked_labels(report.lines)
    members = report.accuracy["label"].groupby(line_labels(report.accuracy)).unique()
    return [
        Model(
            place,
            label,
            tuple(dict.fromkeys([label, *members[label]])),
            styles[label],
            _SYMBOLS[styles[label].marker],
            label in shown,
            CONTEXT_NOT_CHECKED if label in unchecked else "",
        )
        for place, label in enumerate(report.lines["label"].unique())
    ]


def by_label(models: Iterable[Model]) -> dict[str, Model]:
    """Return the model of each label, also of those of its seeds."""
    return {label: model for model in models for label in model.labels}
