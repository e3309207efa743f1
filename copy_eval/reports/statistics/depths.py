"""Accuracy by the place of the entry in the phonebook: does a model lose the beginning, the middle or the end?"""

import numpy as np
import pandas as pd

from copy_eval.reports.statistics.accuracy import wilson_interval

BINS = 5
"""Equal parts of the book; with 200 prompts a length, some 40 fall into each."""

_SHARED = ["label", "model", "setup", "step", "series", "title", "length", "over_context"]


def accuracy_by_depth(samples: pd.DataFrame) -> pd.DataFrame:
    """Return exact match by length and part of the book, for the samples that have a depth.

    Args:
        samples: as ``read_samples`` returns them.

    Returns:
        ``label``, ``model``, ``setup``, ``step``, ``series``, ``title``, ``length``, ``over_context``, ``depth_from``
        and ``depth_to`` (0 is the first line of the book, 1 the last), ``n``, ``accuracy`` with ``low`` and ``high``
        (Wilson, 95 %). An over-context length has its rows too, without accuracies. Empty where no sample has a depth.
    """
    asked = samples.dropna(subset="depth")
    part = np.minimum(asked["depth"].astype(float) * BINS // 1, BINS - 1)
    asked = asked.assign(
        depth_from=part / BINS,
        depth_to=(part + 1) / BINS,
        # A prompt or two of an over-context length may fit; their accuracy would not be that of the length.
        exact_match=asked["exact_match"].mask(asked["over_context"]),
    )
    cells = asked.groupby([*_SHARED, "depth_from", "depth_to"], sort=False, dropna=False)["exact_match"]
    depths = cells.agg(n="size", accuracy="mean").reset_index()
    depths["low"], depths["high"] = wilson_interval(depths["accuracy"], depths["n"])
    return depths.sort_values("depth_from", kind="stable", ignore_index=True)
