"""The files of a report: CSV, tables, figures and the page, contents by name."""

from collections.abc import Callable, Iterator
from functools import partial

import pandas as pd
from matplotlib.figure import Figure
from tqdm import tqdm

from copy_eval.reports.figures.curves import plot_accuracy, plot_emergence
from copy_eval.reports.figures.drawing import to_files
from copy_eval.reports.figures.heat_maps import plot_depths
from copy_eval.reports.frames.series import training_curves
from copy_eval.reports.page import render_page
from copy_eval.reports.report import Report
from copy_eval.reports.writing.formats import to_csv, to_latex, to_markdown
from copy_eval.reports.writing.tables import accuracy_tables, depth_tables, leaderboard_table, wrong_answer_tables

_Part = Callable[[], dict[str, bytes]]


def render_files(report: Report) -> dict[str, bytes]:
    """Return the files of a report, contents by name: CSV, tables, figures and ``index.html``.

    Figures are drawn for each series S of results: ``S``, ``depth_S`` where phonebook samples were logged, and
    ``emergence_S`` where a model has several training steps.
    """
    files: dict[str, bytes] = {}
    for part in tqdm(list(_parts(report)), desc="drawing", unit="part", delay=2, disable=None):
        files |= part()
    return files


def _parts(report: Report) -> Iterator[_Part]:
    yield partial(_tables, report)
    for series, rows in report.accuracy.groupby("series"):
        yield partial(_figure, plot_accuracy, rows, str(series))
    for series, rows in report.depths.groupby("series"):
        yield partial(_figure, plot_depths, rows, f"depth_{series}")
    for series, rows in training_curves(report.accuracy).groupby("series"):
        yield partial(_figure, plot_emergence, rows, f"emergence_{series}")
    yield partial(_page, report)


def _figure(plot: Callable[[pd.DataFrame], Figure], rows: pd.DataFrame, name: str) -> dict[str, bytes]:
    return to_files(plot(rows), name)


def _page(report: Report) -> dict[str, bytes]:
    return {"index.html": render_page(report).encode()}


def _tables(report: Report) -> dict[str, bytes]:
    tables = [
        leaderboard_table(report),
        *accuracy_tables(report),
        *depth_tables(report),
        *wrong_answer_tables(report),
    ]
    texts = {
        "leaderboard.csv": to_csv(report.leaderboard),
        "accuracy_by_length.csv": to_csv(report.accuracy),
        "tables.md": "\n".join(map(to_markdown, tables)),
        "tables.tex": "% needs \\usepackage{booktabs}\n\n" + "\n".join(map(to_latex, tables)),
    }
    if len(report.depth_quarters):
        texts["accuracy_by_depth.csv"] = to_csv(report.depth_quarters)
    if len(report.wrong_answers):
        texts["wrong_answers.csv"] = to_csv(report.wrong_answers)
    return {name: text.encode() for name, text in texts.items()}
