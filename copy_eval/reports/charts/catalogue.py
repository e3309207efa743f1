"""Which charts there are. A chart that stands here is written as files, is on the page, and is at hand in Python."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from copy_eval.errors import UserError
from copy_eval.reports.charts.accuracy import draw_accuracy
from copy_eval.reports.charts.depth import depth_names, draw_depth
from copy_eval.reports.charts.emergence import draw_emergence
from copy_eval.reports.charts.learning import draw_learning
from copy_eval.reports.charts.memory import draw_memory
from copy_eval.reports.charts.theme import Drawing, apply_theme
from copy_eval.reports.frames.series import FEW_STEPS, few_steps, training_curves, trajectories, trajectory_names
from copy_eval.reports.report import Report
from copy_eval.reports.statistics.memory_bounds import BOUND_NOTE, memory_by_length
from copy_eval.reports.statistics.sample_efficiency import learning_curves


@dataclass(frozen=True)
class ChartKind:
    """What a report draws for each series of results that has rows for it.

    Args:
        name: what ``copy_eval.reports.chart`` calls it; an anchor of the page.
        heading: of its section on the page.
        about: what it shows, in a sentence for the page.
        needs: what results must have for it, as the end of "it needs".
        rows: its frame, from a report: ``label``, ``series``, ``title``, ``task``, ``task_name``, ``length``,
            ``over_context``, ``accuracy``, and what else it draws.
        table: the CSV file of a report that holds these rows; means over seeds stand in ``accuracy_over_seeds.csv``.
        draw: draws the rows of one series; where a line is a model it also takes their styles.
        by: the column that the table on the page goes by, beside the lengths; the label where a line is a model.
        by_name: what to call that column.
        panels: where a series has several charts on the page, the name of its chart for each row.
        panel_of_model: whether each of them is about one model, so that its table need not name it.
        most_steps: training steps of one model that a file shows at most.
        prefix: of its files' names, which end in that of the series.
    """

    name: str
    heading: str
    about: str
    needs: str
    rows: Callable[[Report], pd.DataFrame]
    table: str
    draw: Callable[..., Drawing]
    by: str = "label"
    by_name: str = "model"
    panels: Callable[[pd.DataFrame], pd.Series] | None = None
    panel_of_model: bool = True
    most_steps: int | None = None
    prefix: str = ""

    @property
    def by_model(self) -> bool:
        """Whether a line of it is a model."""
        return self.by == "label"

    def of_series(self, report: Report) -> dict[str, pd.DataFrame]:
        """Return the rows of each series that has some, by the name of the series."""
        return {str(series): rows for series, rows in self.rows(report).groupby("series")}

    def draw_few(self, rows: pd.DataFrame) -> Drawing:
        """Draw the rows of one series with as many training steps as can be told apart."""
        return self.draw(rows if self.most_steps is None else few_steps(rows, self.most_steps))


def _names_of_lengths(rows: pd.DataFrame) -> pd.Series:
    return rows["length_name"] + " " + rows["unit"]


def _other_curves(report: Report) -> pd.DataFrame:
    """Return the training curves that are not among the ``learning_curves``."""
    return training_curves(report.accuracy[report.accuracy["training"].isna()])


def _model_names(accuracy: pd.DataFrame) -> pd.Series:
    return trajectories(accuracy).map(trajectory_names(accuracy))


ACCURACY = ChartKind(
    name="accuracy",
    heading="Accuracy",
    about="Accuracy against length.",
    needs="a score at any length",
    rows=lambda report: report.lines,
    table="accuracy_by_length.csv",
    draw=draw_accuracy,
    most_steps=FEW_STEPS,
)

CHARTS = (
    ACCURACY,
    ChartKind(
        name="learning",
        heading="Over training examples",
        about="How fast each architecture learns: accuracy against the examples it was trained on, the mean of its "
        "seeds, with a band from the lowest to the highest. A chart shows as long as any of its models is ticked.",
        needs="three or more checkpoints of a model that copy-eval train trained, evaluated with our adapters",
        rows=lambda report: learning_curves(report.lines),
        table="accuracy_by_length.csv",
        draw=draw_learning,
        by="step",
        by_name="training examples",
        panels=_names_of_lengths,
        panel_of_model=False,
        prefix="learning_",
    ),
    ChartKind(
        name="memory",
        heading="Memory",
        about="What a larger memory buys: accuracy against the bytes that a model keeps of the prompt, which are the "
        "keys and values of a Transformer and the state of a recurrent model. The numbers at the ends of a line are "
        f"lengths. Pointing at a point shows {BOUND_NOTE}.",
        needs="results of our adapters, which note how much a model keeps of a prompt",
        rows=lambda report: memory_by_length(report.lines),
        table="memory.csv",
        draw=draw_memory,
        most_steps=1,
        prefix="memory_",
    ),
    ChartKind(
        name="emergence",
        heading="Over training",
        about="When copying emerges, and up to which length: every evaluated training step of a model, as long as any "
        "of them is ticked among the models.",
        needs="a model with three or more revisions named stepN",
        rows=_other_curves,
        table="accuracy_by_length.csv",
        draw=draw_emergence,
        by="step",
        by_name="training step",
        panels=_model_names,
        prefix="emergence_",
    ),
    ChartKind(
        name="depth",
        heading="Depth",
        about="Exact match by the length and by depth, the place of the answer in the prompt: 0% is its beginning (of "
        "a phonebook, the first line of the book), 100% its end. A cell without prompts is empty.",
        needs="a task whose prompts have a depth, run with --log_samples",
        rows=lambda report: report.depths.assign(depth=depth_names(report.depths)),
        table="accuracy_by_depth.csv",
        draw=draw_depth,
        by="depth",
        by_name="depth",
        most_steps=1,
        prefix="depth_",
    ),
)
"""The charts in the order in which the page shows them."""


def draw_chart(report: Report, name: str, task: str | None) -> Drawing:
    """Return one chart of a report; see ``copy_eval.reports.chart``."""
    kind = next((kind for kind in CHARTS if kind.name == name), None)
    if kind is None:
        raise UserError(f"no chart is called {name!r}; there are {', '.join(kind.name for kind in CHARTS)}")
    of_series = kind.of_series(report)
    if not of_series:
        raise UserError(f"nothing to draw as {name!r}: it needs {kind.needs}")
    # By the name of a task too, where only one of its series is here.
    found = [series for series, rows in of_series.items() if task in (None, series) or task == rows["task"].iloc[0]]
    chosen = task if task in of_series else found[0] if len(found) == 1 else None
    if chosen is None:
        known = ", ".join(of_series)
        asked = "name one in task=" if task is None else f"no task {task!r} has it"
        raise UserError(f"the chart {name!r}: {asked}; there are {known}")
    return apply_theme(kind.draw_few(of_series[chosen]))
