"""How texts, numbers, frames and tables are written for a terminal, in Markdown, in LaTeX and as CSV.

In each of them a model's name is a name, never a link, a formula or HTML.
"""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from tabulate import LATEX_ESCAPE_RULES, tabulate

from copy_eval.over_context import OVER_CONTEXT
from copy_eval.reports.frames.result_files import keep_printable

NOT_AVAILABLE = "n/a"


def accuracy_text(accuracy: Any, over_context: Any) -> str:
    """Return ``0.93``, ``over context``, or ``n/a`` where there is no score for another reason."""
    if pd.notna(over_context) and over_context:
        return OVER_CONTEXT
    return NOT_AVAILABLE if pd.isna(accuracy) else f"{accuracy:.3f}"


def effective_text(length: object, names: Mapping[int, str], longest: int) -> str:
    """Return an effective length by its name, with a plus sign where no longer one was tested: it may be greater.

    Args:
        length: as ``summaries.leaderboard`` has it: a length, or a text where none is reached.
        names: of the lengths.
        longest: tested length.
    """
    if not isinstance(length, int):
        return NOT_AVAILABLE if pd.isna(length) else str(length)  # type: ignore[call-overload]
    return f"{names[length].removesuffix('+')}+" if length == longest else names[length]


def difference_text(difference: Any) -> str:
    """Return ``-0.070``; empty where nothing was compared."""
    return "" if pd.isna(difference) else _signed(difference)


def interval_text(low: Any, high: Any) -> str:
    """Return ``-0.134 to -0.021``; empty where nothing was compared."""
    return "" if pd.isna(low) else f"{_signed(low)} to {_signed(high)}"


def _signed(value: Any) -> str:
    """Write three decimals, with a sign unless they are 0."""
    text = f"{value:+.3f}"
    return "0.000" if text in ("+0.000", "-0.000") else text


def p_text(p: Any) -> str:
    """Return ``0.031``, or ``<0.0001``; empty where nothing was compared."""
    if pd.isna(p):
        return ""
    return "<0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.01 else f"{p:.3f}"


def examples_text(needed: Any) -> str:
    """Return how many examples a training needed: ``20,000 (10,000 to 30,000)``, or ``not within 80,000``.

    Args:
        needed: a row of ``sample_efficiency.examples_needed``.
    """
    if pd.isna(needed.examples):
        some = f" ({needed.reached} of {needed.seeds} seeds did)" if needed.reached else ""
        return f"not within {needed.within:,}{some}"
    if pd.isna(needed.most):
        return f"{needed.examples:,} ({needed.fewest:,} to more than {needed.within:,})"
    spread = f" ({needed.fewest:,} to {needed.most:,})" if needed.fewest < needed.most else ""
    return f"{needed.examples:,}{spread}"


def ratio_text(needed: Any) -> str:
    """Return ``4.0``, or ``more than 4.0``; ``n/a`` where nothing was reached."""
    if pd.isna(needed.ratio):
        return NOT_AVAILABLE
    return f"more than {needed.ratio:.1f}" if needed.ratio_at_least else f"{needed.ratio:.1f}"


def capitalise(text: str) -> str:
    """Return a text as it stands at the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def human_size(parameters: object) -> str:
    """Write a number of parameters for people, "1.6M"; empty where it is missing."""
    if pd.isna(parameters):  # type: ignore[call-overload]
        return ""
    number = float(parameters)  # type: ignore[arg-type]
    for unit in ("", "K", "M", "B"):
        if number < 999.5 or unit == "B":
            break
        number /= 1000
    return f"{number:.3g}{unit}" if number < 1000 else f"{number:.0f}{unit}"


def human_bytes(size: float) -> str:
    """Write bytes for people, "112 KiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1023.5:
            return f"{size:.3g} {unit}" if size < 1000 else f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.3g} TiB"


_MARKS = re.compile(r"([\\`*\[\]|~$])")
"""What Markdown, GitHub's formulas included, could read as more than text; an underscore within a word is text."""


def escape(text: str) -> str:
    """Return a text for one line or one cell of GitHub's Markdown."""
    return _MARKS.sub(r"\\\1", html.escape(keep_printable(text), quote=False))


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


@dataclass(frozen=True)
class TextTable:
    """A table for people: its name (for a reference), what it shows, a frame of texts, and what its columns mean."""

    name: str
    caption: str
    cells: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def description(self) -> str:
        """The caption with the notes, for where both stand together."""
        return " ".join([self.caption, *self.notes])


def to_terminal(table: TextTable) -> str:
    """Write a table for a terminal, without its notes."""
    return f"{table.caption}\n\n{_tabulate(table.cells, 'simple')}\n"


def to_markdown(table: TextTable) -> str:
    """Write a table with its heading as GitHub Markdown."""
    cells = table.cells.map(escape).rename(columns=escape)
    return f"## {escape(table.name)}\n\n{escape(table.description)}\n\n{_tabulate(cells, 'github')}\n"


def to_latex(table: TextTable) -> str:
    r"""Write a table as LaTeX for ``\usepackage{booktabs}``, with its caption and the label ``tab:NAME``."""
    lines = [
        r"\begin{table}[ht]",
        r"\centering\small",
        rf"\caption{{{_escape_latex(table.description)}}}",
        rf"\label{{tab:{table.name.replace('_', '-')}}}",
        _tabulate(table.cells, "latex_booktabs"),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _escape_latex(text: str) -> str:
    """Escape as tabulate does in the cells."""
    return "".join(LATEX_ESCAPE_RULES.get(character, character) for character in text)


def _tabulate(cells: pd.DataFrame, layout: str) -> str:
    # Texts that look like numbers (a model called 1e5) stay as they are.
    return tabulate(
        cells.to_numpy().tolist(), headers=list(cells.columns), tablefmt=layout, disable_numparse=True, stralign="left"
    )
