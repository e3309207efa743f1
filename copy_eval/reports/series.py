"""Which results may stand in one table and on one curve: those of one task, in one version, on one text."""

import re

import pandas as pd

_KEY = ["task", "task_version", "text"]


def add_series(frame: pd.DataFrame) -> pd.DataFrame:
    """Fill the columns ``series``, which is fit for a file name, and ``title``, for people.

    The series is the task's name, followed by the version, the text or both only where the frame has several of them.
    """
    known = frame[_KEY].drop_duplicates().sort_values(_KEY)
    versions = known.groupby("task")["task_version"].nunique()
    texts = known.groupby("task")["text"].nunique(dropna=False)
    names = []
    for task, version, text in known.itertuples(index=False):
        series, title = task, task
        if versions[task] > 1:
            series += f"_v{version}"
            title += f", version {version},"
        if texts[task] > 1:
            series += f"_{_slug(text) if pd.notna(text) else 'generated'}"
        if pd.notna(text):
            title += f" on {text}"
        names.append((_slug(series), title.removesuffix(",")))
    known[["series", "title"]] = pd.DataFrame(names, index=known.index, dtype="string")
    return frame.drop(columns=["series", "title"]).merge(known, on=_KEY)[frame.columns]


def _slug(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII).strip("-.")


def is_linear(lengths: pd.Series) -> bool:
    """Tell whether lengths belong on a linear axis: where a bucket starts at 0; all others go on one of log2."""
    return bool(lengths.min() <= 0)
