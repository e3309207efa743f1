"""Merges runs, so that no prompt counts twice and no two measurements mix unnoticed."""

import hashlib
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from copy_eval.clusters import clustered_variance
from copy_eval.reports.frames.samples import Sample, distinct, read_runs

_log = logging.getLogger(__name__)

_CELL = ["model", "revision", "setup", "task", "text", "length", "task_version"]
"""What one accuracy is about; the prompts may still differ by their seed."""

_RUN = ["file", "task_name"]


def merge(results: pd.DataFrame, pool: bool) -> pd.DataFrame:
    """Return one row for each cell and metric.

    Of runs on the same prompts the one with most of them counts, of these the newest; of runs on different prompts too,
    or with ``pool`` all together.

    Args:
        results: rows of any number of runs, with ``results.COLUMNS``.
        pool: whether to put runs with different prompts together.
    """
    # The best comes last. A run counts as a whole: metrics that only another one has do not stand in for it.
    in_order = results.sort_values(["n", "date", "file"], kind="stable")
    runs = in_order.drop_duplicates(_RUN, keep="last")
    best = runs.drop_duplicates([*_CELL, "prompts_sha256"], keep="last")
    _name_newer_subsets(runs.drop(best.index), best)
    if pool:
        return _pool(in_order.merge(best[_RUN], on=_RUN))
    kept = best.drop_duplicates(_CELL, keep="last")
    left_out = best.drop(kept.index)
    if len(left_out):
        named = [f"{row.task_name} of {row.model!r} in {row.file}" for row in left_out.itertuples()]
        _log.warning(
            "left out %d evaluations on other prompts, older or of fewer prompts (--pool adds them up): %s",
            len(left_out), name_some(named),
        )  # fmt: skip
    return in_order.merge(kept[_RUN], on=_RUN)


def _name_newer_subsets(left_out: pd.DataFrame, kept: pd.DataFrame) -> None:
    """Say which newer runs do not count because they answered fewer of the same prompts."""
    key = [*_CELL, "prompts_sha256"]
    both = left_out.merge(kept[[*key, "date", "n"]], on=key, suffixes=("", "_kept"))
    newer = both[(both["n"] < both["n_kept"]) & (both["date"] > both["date_kept"])]
    for row in newer.itertuples():
        _log.warning(
            "%s of %r: an older run of %d prompts counts, not the newer one of %d in %s",
            row.task_name, row.model, row.n_kept, row.n, row.file,
        )  # fmt: skip


def name_some(names: Sequence[str], most: int = 5) -> str:
    """List names in a line, "a, b and 7 more"."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _pool(runs: pd.DataFrame) -> pd.DataFrame:
    """Make one run of those of each cell that answered different prompts."""
    per_cell = runs.groupby(_CELL, dropna=False)["file"].transform("nunique")
    pooled = [runs[per_cell == 1]]
    for _, of_cell in runs[per_cell > 1].groupby(_CELL, dropna=False, sort=False):
        pooled.append(_pool_cell(of_cell))
    return pd.concat(pooled, ignore_index=True).astype(runs.dtypes)


def _pool_cell(rows: pd.DataFrame) -> pd.DataFrame:
    """Pool the runs of one cell, each distinct prompt counted once.

    Only samples tell which prompts are the same. Without them, prompts that are drawn from a text, of which there may
    be few, are not pooled, nor are those of one seed, where fewer are the first of more; generated prompts of several
    seeds are all different, and are added up.
    """
    # Two models that were pooled over the same runs have their samples in the same order.
    runs = rows[rows["metric"] == rows["headline"]].sort_values("prompts_sha256")
    samples = read_runs(runs.itertuples())
    if samples is not None:
        return _pool_samples(rows, distinct(samples))
    if rows["text"].notna().any() or runs["data_seed"].isna().any() or runs["data_seed"].duplicated().any():
        kept = rows.iloc[-1]
        _log.warning(
            "%s of %r is not pooled: without samples (--log_samples) nothing tells which prompts are the same; "
            "%s counts",
            kept["task_name"], kept["model"], kept["file"],
        )  # fmt: skip
        return rows[rows["file"] == kept["file"]]
    weighted = rows.assign(weight=_weights(rows))
    return pd.DataFrame([_add_up(of_metric) for _, of_metric in weighted.groupby("metric", sort=False)])[rows.columns]


def _pool_samples(rows: pd.DataFrame, samples: list[Sample]) -> pd.DataFrame:
    """Average every metric over the samples, as lm-eval does: over those for which it has a value."""
    pooled = []
    for metric, of_metric in rows.groupby("metric", sort=False):
        scored = [(sample.scores.get(str(metric)), sample.cluster) for sample in samples]
        values = np.array([score for score, _ in scored if score is not None], float)
        clusters = [cluster for score, cluster in scored if score is not None]
        row = _combined(of_metric)
        row["n"] = len(samples)
        known = len(values) > 0 and not row["over_context"]
        row["value"] = values.mean() if known else pd.NA
        row["stderr"] = _standard_error(values, clusters) if known else pd.NA
        pooled.append(row)
    return pd.DataFrame(pooled)


def _standard_error(values: npt.NDArray[np.float64], clusters: Sequence[str | None]) -> Any:
    """Return that of a mean; missing for a single answer, or answers of a single cluster."""
    if None in clusters:
        return values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else pd.NA
    return clustered_variance(values, clusters) ** 0.5 if len(set(clusters)) > 1 else pd.NA


def _weights(rows: pd.DataFrame) -> pd.Series:
    """Return how many prompts each value is the mean of: all, but the shares of the wrong answers those alone."""
    is_accuracy = rows["metric"] == "exact_match"
    accuracy = rows["file"].map(dict(zip(rows.loc[is_accuracy, "file"], rows.loc[is_accuracy, "value"], strict=True)))
    wrong = (rows["n"] * (1 - accuracy.astype("Float64"))).round()
    return rows["n"].where(~rows["metric"].str.startswith("wrong_"), wrong).astype("Float64").mask(rows["value"].isna())


def _add_up(rows: pd.DataFrame) -> pd.Series:
    """Average a metric over independent runs; the variance is the sum of the squares of share x standard error."""
    row = _combined(rows)
    share = rows["weight"] / rows["weight"].sum()
    known = rows["value"].notna()
    row["value"] = pd.NA if row["over_context"] or not known.any() else (rows["value"] * share).sum()
    errors = rows.loc[known, "stderr"]
    row["stderr"] = pd.NA if errors.isna().any() or not known.any() else ((share * errors) ** 2).sum() ** 0.5
    row["n"] = rows["n"].sum()
    return row


def _combined(rows: pd.DataFrame) -> pd.Series:
    """Return what pooled rows of one metric have in common; files and fingerprints stand one a line."""
    runs = rows.sort_values("prompts_sha256")
    row = rows.sort_values("date", kind="stable").iloc[-1].copy()
    row["over_context"] = rows["over_context"].any()
    row["context_checked"] = rows["context_checked"].all()
    row["prompts_sha256"] = "pooled:" + hashlib.sha256("\n".join(runs["prompts_sha256"]).encode()).hexdigest()
    row["file"] = "\n".join(runs["file"])
    row["samples_sha256"] = "\n".join(runs["samples_sha256"].fillna(""))
    return row
