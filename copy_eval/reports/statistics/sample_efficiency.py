"""How many training examples a model needs: where its curve over training first reaches a given accuracy."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from copy_eval.reports.frames.seeds import line_labels
from copy_eval.reports.frames.series import training_curves, trajectories, trajectory_names

THRESHOLD = 0.9
"""The accuracy that counts as learned."""


def learning_curves(lines: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of models that ``copy-eval train`` trained, of those with several checkpoints.

    Args:
        lines: as ``seeds.average_seeds`` returns them, or ``accuracy.accuracy_by_length``.
    """
    return training_curves(lines[lines["training"].notna()])


def examples_needed(accuracy: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    """Return after how many training examples each training reached ``THRESHOLD``, over its seeds.

    An accuracy counts as reached at the first evaluated checkpoint that has it; what happened between checkpoints is
    not known, so the true number lies between the checkpoint before and this one.

    Args:
        accuracy: as ``accuracy.accuracy_by_length`` returns it.
        lines: the same, as ``seeds.average_seeds`` returns it.

    Returns:
        A row for each series, length and training that has a learning curve: ``series``, ``title``, ``task``,
        ``length``, ``length_name``, ``unit``, ``training`` (its name), ``seeds``, ``reached`` (how many of them),
        ``examples`` (the median over the seeds), ``fewest`` and ``most``, ``within`` (the most examples that were
        evaluated), ``ratio`` (of ``examples`` to the fewest of any training at this length), and ``ratio_at_least``:
        whether the training did not reach it, and ``ratio`` is that of ``within``. ``examples``, ``fewest`` and
        ``most`` are missing where a seed that they need did not reach it, and ``ratio`` where no training did.
    """
    curves = learning_curves(accuracy.assign(line=line_labels(accuracy)))
    names = dict(zip(lines["label"], trajectories(lines).map(trajectory_names(lines)), strict=True))
    curves = curves.assign(training=curves["line"].map(names), trajectory=trajectories(curves))
    rows = []
    for (_, _, training), of_training in curves.groupby(["series", "length", "training"], sort=False):
        about = of_training[_SHARED].iloc[0].to_dict()
        rows.append(about | {"training": training} | _needed([of for _, of in of_training.groupby("trajectory")]))
    return _add_ratios(pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS))


_SHARED = ["series", "title", "task", "length", "length_name", "unit"]

_COLUMNS = {
    **dict.fromkeys(("series", "title", "task"), "string"),
    "length": "Int64",
    **dict.fromkeys(("length_name", "unit", "training"), "string"),
    **dict.fromkeys(("seeds", "reached", "examples", "fewest", "most", "within"), "Int64"),
}

_TOLERANCE = 1e-9
"""What rounding may take from a share; the shares of two different counts are further apart."""


def _needed(seeds: Sequence[pd.DataFrame]) -> dict[str, Any]:
    """Return what the curves of all seeds at one length say, each a row a checkpoint."""
    reached = [curve.loc[curve["accuracy"] >= THRESHOLD - _TOLERANCE, "step"].min() for curve in seeds]
    # A seed that did not reach it needs more than any that did.
    needed = sorted(math.inf if pd.isna(step) else float(step) for step in reached)
    median = float(np.median(needed))
    return {
        "seeds": len(needed),
        "reached": sum(map(math.isfinite, needed)),
        "examples": round(median) if math.isfinite(median) else pd.NA,
        "fewest": int(needed[0]) if math.isfinite(needed[0]) else pd.NA,
        "most": int(needed[-1]) if math.isfinite(needed[-1]) else pd.NA,
        "within": min(int(curve["step"].max()) for curve in seeds),
    }


def _add_ratios(needed: pd.DataFrame) -> pd.DataFrame:
    fewest = needed.groupby(["series", "length"])["examples"].transform("min")
    at_least = needed["examples"].isna()
    ratio = needed["examples"].fillna(needed["within"]).astype("Float64") / fewest.astype("Float64")
    return needed.assign(ratio=ratio, ratio_at_least=at_least)
