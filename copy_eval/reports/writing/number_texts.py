"""How numbers of a comparison read in tables."""

from typing import Any

import pandas as pd

from copy_eval.over_context import OVER_CONTEXT


def accuracy_text(accuracy: Any, over_context: Any) -> str:
    """Return ``0.93``, ``over context``, or ``n/a`` where there is no score for another reason."""
    if pd.notna(over_context) and over_context:
        return OVER_CONTEXT
    return "n/a" if pd.isna(accuracy) else f"{accuracy:.3f}"


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
