"""Merges runs, so that no prompt counts twice and no two sets of prompts mix unnoticed."""

import hashlib
import logging

import pandas as pd

_log = logging.getLogger(__name__)

_CELL = ["model", "revision", "task", "text", "length", "task_version"]
"""What one accuracy is about; the prompts may still differ by their seed."""


def merge(results: pd.DataFrame, pool: bool) -> pd.DataFrame:
    """Return one row for each cell and metric.

    Of runs on the same prompts the newest counts; of runs on different prompts too, or with ``pool`` all together.

    Args:
        results: rows of any number of runs, with ``results.COLUMNS``.
        pool: whether to put runs with different prompts together.
    """
    by_date = results.sort_values(["date", "file"], kind="stable")
    # A run counts as a whole: metrics that only an older one has do not stand in for it.
    newest = by_date.drop_duplicates([*_CELL, "prompts_sha256"], keep="last")
    runs = by_date.merge(newest[["file", "task_name"]], on=["file", "task_name"])
    if pool:
        return _pool(runs)
    kept = newest.drop_duplicates(_CELL, keep="last")
    left_out = newest.drop(kept.index)
    if len(left_out):
        _log.warning(
            "left out %d older evaluations on other prompts (--pool adds them up): %s",
            len(left_out), _enumerate(left_out),
        )  # fmt: skip
    return runs.merge(kept[["file", "task_name"]], on=["file", "task_name"])


def _enumerate(rows: pd.DataFrame, most: int = 5) -> str:
    named = [f"{row.task_name} of {row.model!r} in {row.file}" for row in rows.head(most).itertuples()]
    return ", ".join(named) + (f" and {len(rows) - most} more" if len(rows) > most else "")


def _pool(runs: pd.DataFrame) -> pd.DataFrame:
    """Add up runs on different prompts: means weighted by what they average, standard errors accordingly.

    Runs are independent samples, so the variance of the weighted mean is the sum of the squares of share x error.
    """
    weighted = runs.assign(weight=_weights(runs))
    key = [*_CELL, "metric"]
    size = weighted.groupby(key, dropna=False)["file"].transform("size")
    alone, several = weighted[size == 1], weighted[size > 1]
    if several.empty:
        return runs
    pooled = pd.DataFrame([_pool_rows(rows) for _, rows in several.groupby(key, dropna=False, sort=False)])
    return pd.concat([alone, pooled.astype(weighted.dtypes)], ignore_index=True).drop(columns="weight")


def _weights(runs: pd.DataFrame) -> pd.Series:
    """Return how many prompts each value is the mean of: all, but the shares of the wrong answers those alone."""
    of_task = runs["file"] + "\n" + runs["task_name"]
    is_accuracy = runs["metric"] == "exact_match"
    accuracy = of_task.map(dict(zip(of_task[is_accuracy], runs.loc[is_accuracy, "value"], strict=True)))
    wrong = (runs["n"] * (1 - accuracy.astype("Float64"))).round()
    return runs["n"].where(~runs["metric"].str.startswith("wrong_"), wrong).astype("Float64").mask(runs["value"].isna())


def _pool_rows(rows: pd.DataFrame) -> pd.Series:
    newest = rows.iloc[-1].copy()
    share = rows["weight"] / rows["weight"].sum()
    newest["over_context"] = rows["over_context"].any()
    known = rows["value"].notna()
    newest["value"] = pd.NA if newest["over_context"] or not known.any() else (rows["value"] * share).sum()
    errors = rows.loc[known, "stderr"]
    newest["stderr"] = pd.NA if errors.isna().any() or not known.any() else ((share * errors) ** 2).sum() ** 0.5
    newest["n"] = rows["n"].sum()
    # Two models that were pooled over the same runs have the same fingerprint, and their samples the same order.
    runs = rows.sort_values("prompts_sha256")
    newest["prompts_sha256"] = "pooled:" + hashlib.sha256("\n".join(runs["prompts_sha256"]).encode()).hexdigest()
    newest["file"] = "\n".join(runs["file"])
    newest["samples_sha256"] = "\n".join(runs["samples_sha256"].fillna(""))
    return newest
