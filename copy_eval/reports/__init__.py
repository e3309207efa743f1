"""From lm-eval's result files to a tidy frame, statistics, tables and charts."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from copy_eval.reports.charts.theme import Drawing
    from copy_eval.reports.report import Report


def chart(
    results: Report | str | PathLike[str] | Iterable[str | PathLike[str]], name: str, task: str | None = None
) -> Drawing:
    """Return a chart of a report as an Altair object, to be looked at in a notebook, changed or saved.

    Args:
        results: a folder or file that lm-eval wrote, several of them, or a report that was built already.
        name: "accuracy" (against length), "learning" (against training examples), "memory" (against what the model
            keeps of a prompt), "emergence" (against training step) or "depth" (a heat map by depth).
        task: whose; may be left out where the results are of one task alone. Where they hold one task on several texts
            or in several versions, the name of one of its files without its ending, as ``copy-eval report`` writes it.

    Raises:
        UserError: if the results cannot be read, or hold no such chart; the text says which there are.
    """
    # Altair and pandas take a second to import: `import copy_eval.reports` is free of them.
    from pathlib import Path

    from copy_eval.reports.charts.catalogue import draw_chart
    from copy_eval.reports.report import Report, build_report

    if not isinstance(results, Report):
        paths = [results] if isinstance(results, str | PathLike) else results
        results = build_report([Path(path) for path in paths])
    return draw_chart(results, name, task)
