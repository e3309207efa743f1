"""The models of the page, in the order of their checkboxes and rows."""

from dataclasses import dataclass

from copy_eval.reports.figures.drawing import Style, model_styles
from copy_eval.reports.frames.results import CONTEXT_NOT_CHECKED, unchecked_labels
from copy_eval.reports.frames.series import few_steps
from copy_eval.reports.report import Report

_SYMBOLS = {
    "o": ("circle", "M20 6a4 4 0 1 1-8 0a4 4 0 1 1 8 0"),
    "s": ("square", "M12 2h8v8h-8z"),
    "^": ("triangle-up", "M16 1l5 9h-10z"),
    "D": ("diamond", "M16 1l5 5l-5 5l-5-5z"),
}
"""matplotlib's markers, as plotly calls them and as SVG paths around (16, 6)."""

_STEPS = 8
"""Training steps of one model that are shown at first."""


@dataclass(frozen=True)
class Model:
    """A model of the page, with the look that it has in the plots.

    Args:
        place: its place among the models; the page's elements name the model by it.
        label: its name for people.
        colour: of its lines, as ``#rrggbb``.
        dashes: of its lines, lengths of dashes and gaps in pixels; "solid" without.
        symbol: of its points, as plotly calls it.
        symbol_path: of its points, as an SVG path.
        shown: whether its checkbox is ticked when the page opens.
        note: what is to be known of all its results; mostly empty.
    """

    place: int
    label: str
    colour: str
    dashes: str
    symbol: str
    symbol_path: str
    shown: bool
    note: str


def models_of(report: Report) -> list[Model]:
    """Return the models in the order of the leaderboard; of a sweep over training steps few are shown at first."""
    styles = model_styles(report.accuracy)
    shown = set(few_steps(report.accuracy, _STEPS)["label"])
    unchecked = unchecked_labels(report.accuracy)
    return [
        _model(place, label, styles[label], label in shown, CONTEXT_NOT_CHECKED if label in unchecked else "")
        for place, label in enumerate(report.leaderboard["label"])
    ]


def _model(place: int, label: str, style: Style, shown: bool, note: str) -> Model:
    # matplotlib counts dashes in widths of the line, and the page's lines are 2 pixels wide.
    dashes = ",".join(f"{2 * length}px" for length in style.dashes) or "solid"
    return Model(place, label, style.colour, dashes, *_SYMBOLS[style.marker], shown, note)
