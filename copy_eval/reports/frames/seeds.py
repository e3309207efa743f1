"""Models that differ by their seed alone, as one line: the mean over the seeds, from the lowest to the highest."""

import json
from typing import Any

import pandas as pd

from copy_eval.measurement import describe_differences
from copy_eval.reports.frames.result_files import keep_printable
from copy_eval.reports.frames.series import unused_name

_FEWEST = 2
"""Seeds from which on there is something to average."""


def average_seeds(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with those of several seeds of one training replaced by their mean.

    ``low`` and ``high`` of a mean are the lowest and the highest seed: Student's interval of three seeds would be five
    standard deviations wide, and leave the scale.

    Args:
        accuracy: as ``accuracy.accuracy_by_length`` returns it.

    Returns:
        The same columns, and ``seeds``: how many were averaged, missing where that is one model. ``model`` and
        ``label`` of a mean are those of the training; ``n`` is the fewest prompts that a seed answered. Where a seed
        has no accuracy, or was not evaluated, there is no mean: that of the others is no point of the same line. Of
        several models of one seed, as where it was trained anew, the newest result counts. A mean stands where the
        first of its models stood.
    """
    lines = accuracy.assign(seeds=pd.array([pd.NA] * len(accuracy), dtype="Int64"))
    families = _families(accuracy)
    names = _name_families(families, accuracy)
    seeds = accuracy["seed"].groupby(families).nunique()
    parts = [lines[families.isna()]]
    for (family, *_), rows in lines.groupby([families, "revision", "series", "length"], sort=False):
        newest = rows.sort_values("date", kind="stable").drop_duplicates("seed", keep="last").sort_index()
        parts.append(_average(newest, names[str(family)], int(seeds[str(family)])))
    return pd.concat(parts).sort_index(kind="stable").astype(lines.dtypes)


def line_labels(accuracy: pd.DataFrame) -> pd.Series:
    """Return for each row the label that ``average_seeds`` gives it."""
    families = _families(accuracy)
    names = families.map(_name_families(families, accuracy))
    own = accuracy["label"]
    return own.where(families.isna(), names.astype("string") + _suffixes(accuracy["revision"])).rename("line")


def _families(accuracy: pd.DataFrame) -> pd.Series:
    """Return for each row what its model shares with those of other seeds; missing where there is no other seed."""
    setups = accuracy["setup"].map(json.loads)
    shared = [
        None if pd.isna(training) else json.dumps({**json.loads(training), **setup, "weights": None}, sort_keys=True)
        for training, setup in zip(accuracy["training"], setups, strict=True)
    ]
    families = pd.Series(shared, index=accuracy.index, dtype="string", name="family")
    seeds = accuracy["seed"].groupby(families).transform("nunique")
    return families.where(seeds >= _FEWEST)


def _name_families(families: pd.Series, accuracy: pd.DataFrame) -> dict[str, str]:
    """Return what to call each family: its architecture, what is special about it, and how many seeds it has."""
    known = [str(family) for family in families.dropna().unique()]
    entries = [json.loads(family) for family in known]
    taken = set(accuracy["model"]) | set(accuracy["label"])
    names: dict[str, str] = {}
    for architecture in dict.fromkeys(entry["architecture"] for entry in entries):
        alike = [number for number, entry in enumerate(entries) if entry["architecture"] == architecture]
        texts = [{key: str(value) for key, value in entries[number].items()} for number in alike]
        for number, difference in zip(alike, describe_differences(texts), strict=True):
            seeds = accuracy["seed"][families == known[number]].nunique()
            about = f"{difference}, {seeds} seeds" if difference else f"{seeds} seeds"
            name = unused_name(keep_printable(f"{architecture} ({about})"), taken)
            taken.add(name)
            names[known[number]] = name
    return names


def _suffixes(revisions: pd.Series) -> pd.Series:
    return ("@" + revisions).mask(revisions == "main", "")


def _average(rows: pd.DataFrame, name: str, seeds: int) -> pd.DataFrame:
    """Return the mean of rows that differ by their seed, as one row; without accuracy unless all ``seeds`` have one."""
    refused = bool(rows["over_context"].any())
    known = not refused and int(rows["accuracy"].notna().sum()) == seeds
    values: dict[str, Any] = {
        "accuracy": rows["accuracy"].mean() if known else pd.NA,
        "low": rows["accuracy"].min() if known else pd.NA,
        "high": rows["accuracy"].max() if known else pd.NA,
        "n": rows["n"].min(),
        "over_context": refused,
        "memory_bytes": rows["memory_bytes"].mean(),
        "seeds": len(rows),
        "seed": pd.NA,
        "model": name,
        "label": name + _suffixes(rows["revision"]).iloc[0],
    }
    return rows.head(1).assign(**values)
