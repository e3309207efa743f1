"""CSV that a spreadsheet opens without running anything: a model may be called ``=cmd()``."""

import pandas as pd

_RUNS = ("=", "+", "-", "@", "\t", "\n")
"""A cell that begins with one of these is a formula, or may become one, in Excel and its like."""


def to_csv(frame: pd.DataFrame) -> str:
    r"""Write a frame as CSV, an apostrophe before each text that a spreadsheet would run; numbers stay as they are.

    A carriage return, which may begin a formula and which ends a line for many a reader, is written as ``\r``.
    """
    # As objects: pandas would make floats of whole numbers beside which a cell is missing.
    cells = {name: pd.Series(map(_neutralise, column), column.index, dtype=object) for name, column in frame.items()}
    return pd.DataFrame(cells).rename(columns=_neutralise).to_csv(index=False, lineterminator="\n")


def _neutralise(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    text = cell.replace("\r", "\\r")
    return f"'{text}" if text.startswith(_RUNS) else text
