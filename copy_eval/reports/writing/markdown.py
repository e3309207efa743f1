"""Escapes texts for Markdown: a model's name is a name, never a link, a formula or HTML."""

import html
import re

from copy_eval.reports.frames.labels import keep_printable

_MARKS = re.compile(r"([\\`*\[\]|~$])")
"""What Markdown, GitHub's formulas included, could read as more than text; an underscore within a word is text."""


def escape(text: str) -> str:
    """Return a text for one line or one cell of GitHub's Markdown."""
    return _MARKS.sub(r"\\\1", html.escape(keep_printable(text), quote=False))
