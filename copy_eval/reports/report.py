"""Everything that a report shows, computed once; tables, charts and the page only lay it out."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import pandas as pd

from copy_eval.reports.frames.results import read_results
from copy_eval.reports.frames.samples import read_samples
from copy_eval.reports.frames.seeds import average_seeds
from copy_eval.reports.frames.series import few_steps
from copy_eval.reports.statistics.accuracy import QUARTERS, accuracy_by_depth, accuracy_by_length
from copy_eval.reports.statistics.memory_bounds import memory_by_length
from copy_eval.reports.statistics.sample_efficiency import examples_needed
from copy_eval.reports.statistics.summaries import leaderboard, wrong_answers


@dataclass(frozen=True)
class Report:
    """The frames of a report; each function that makes one describes its columns.

    All have the models in the order of the leaderboard.
    """

    results: pd.DataFrame
    """All metrics, from ``results.read_results``."""

    accuracy: pd.DataFrame
    """The headline metric with its interval by model and length, from ``accuracy.accuracy_by_length``."""

    lines: pd.DataFrame
    """The same with models that differ by their seed averaged, from ``seeds.average_seeds``: the lines of charts."""

    leaderboard: pd.DataFrame
    """A row a model, from ``summaries.leaderboard``."""

    wrong_answers: pd.DataFrame
    """Shares of the kinds of wrong answers, from ``summaries.wrong_answers``; empty without phonebook results."""

    depths: pd.DataFrame
    """Exact match by depth of the answer, from ``accuracy.accuracy_by_depth``; empty where no sample has a depth."""

    depth_quarters: pd.DataFrame
    """The same by quarters of the prompt, for tables."""

    memory: pd.DataFrame
    """The memory of models beside what tasks ask of it, from ``memory_bounds.memory_by_length``; may be empty."""

    examples: pd.DataFrame
    """Training examples to 90 %, from ``sample_efficiency.examples_needed``; may be empty."""

    def with_few_steps(self, most: int) -> Self:
        """Return the report with ``few_steps`` in ``accuracy`` and in the leaderboard, where ranks stay those of all.

        Args:
            most: training steps of one model.
        """
        accuracy = few_steps(self.accuracy, most)
        board = self.leaderboard
        return replace(self, accuracy=accuracy, leaderboard=board[board["label"].isin(accuracy["label"])])


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
    board = leaderboard(accuracy)
    places = {label: place for place, label in enumerate(board["label"])}

    def in_order(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.sort_values("label", key=lambda labels: labels.map(places), kind="stable", ignore_index=True)

    accuracy = in_order(accuracy)
    lines = average_seeds(accuracy)
    return Report(
        results=in_order(results),
        accuracy=accuracy,
        lines=lines,
        leaderboard=board,
        wrong_answers=in_order(wrong_answers(results)),
        depths=in_order(accuracy_by_depth(samples)),
        depth_quarters=in_order(accuracy_by_depth(samples, QUARTERS)),
        memory=memory_by_length(accuracy),
        examples=examples_needed(accuracy, lines),
    )
