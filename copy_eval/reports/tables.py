"""Accuracy by length as a table: a row a model, a column a length."""

import pandas as pd
from tabulate import tabulate

OVER_CONTEXT = "over context"


def accuracy_table(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Lay out the accuracies of one task, as texts like ``0.93 ±.04``.

    The figure behind ± is half the width of the 95 % interval. A length that a model's context does not hold reads
    ``over context``, one that was not evaluated stays empty.

    Args:
        accuracy: rows of one task, as ``statistics.accuracy_by_length`` returns them.
    """
    cells = accuracy.assign(cell=accuracy.apply(_cell, axis="columns"))
    return cells.pivot(index="model", columns="length", values="cell").fillna("").rename_axis(columns=None)


def _cell(row: pd.Series) -> str:
    if row["over_context"]:
        return OVER_CONTEXT
    half_width = f"{(row['high'] - row['low']) / 2:.2f}".removeprefix("0")
    return f"{row['accuracy']:.2f} ±{half_width}"


def to_markdown(table: pd.DataFrame) -> str:
    """Write a table as GitHub Markdown that also reads well in a terminal."""
    return tabulate(table, headers=["model", *map(str, table.columns)], tablefmt="github", stralign="left")
