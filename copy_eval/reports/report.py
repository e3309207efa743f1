"""Everything that a report shows, computed once; tables, plots and the page only lay it out."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from copy_eval.reports.frames.results import read_results
from copy_eval.reports.frames.samples import read_samples
from copy_eval.reports.statistics.accuracy import QUARTERS, accuracy_by_depth, accuracy_by_length
from copy_eval.reports.statistics.summaries import leaderboard, wrong_answers


@dataclass(frozen=True)
class Report:
    """The frames of a report; each function that makes one describes its columns."""

    results: pd.DataFrame
    """All metrics, from ``results.read_results``."""

    accuracy: pd.DataFrame
    """The headline metric with its interval by model and length, from ``accuracy.accuracy_by_length``."""

    leaderboard: pd.DataFrame
    """A row a model, from ``summaries.leaderboard``."""

    wrong_answers: pd.DataFrame
    """Shares of the kinds of wrong answers, from ``summaries.wrong_answers``; empty without phonebook results."""

    depths: pd.DataFrame
    """Exact match by depth of the entry, from ``accuracy.accuracy_by_depth``; empty without phonebook samples."""

    depth_quarters: pd.DataFrame
    """The same by quarters of the prompt, for tables."""


def build_report(paths: Iterable[Path], pool: bool = False) -> Report:
    """Read the result files at or below ``paths`` and compute the report.

    Args:
        paths: folders and files that lm-eval wrote.
        pool: whether to put runs of a model on different prompts together.

    Raises:
        UserError: see ``read_results``.
    """
    results = read_results(paths, pool)
    samples = read_samples(results)
    accuracy = accuracy_by_length(results, samples)
    return Report(
        results=results,
        accuracy=accuracy,
        leaderboard=leaderboard(accuracy),
        wrong_answers=wrong_answers(results),
        depths=accuracy_by_depth(samples),
        depth_quarters=accuracy_by_depth(samples, QUARTERS),
    )
