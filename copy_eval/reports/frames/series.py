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
    names: list[tuple[str, str]] = []
    for task, version, text in known.itertuples(index=False):
        series, title = task, task
        if versions[task] > 1:
            series += f"_v{version}"
            title += f", version {version},"
        if texts[task] > 1:
            series += f"_{_slug(text) if pd.notna(text) else 'generated'}"
        if pd.notna(text):
            title += f" on {text}"
        names.append((_unused(_slug(series), names), title.removesuffix(",")))
    known[["series", "title"]] = pd.DataFrame(names, index=known.index, dtype="string")
    return frame.drop(columns=["series", "title"]).merge(known, on=_KEY)[frame.columns]


def _slug(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII).strip("-.")[:100]


def _unused(series: str, names: list[tuple[str, str]]) -> str:
    """Keep apart what only characters told apart that no file name may hold."""
    while any(series == taken for taken, _ in names):
        series += "_"
    return series


def is_linear(lengths: pd.Series) -> bool:
    """Tell whether lengths belong on a linear axis: where a bucket starts at 0; all others go on one of log2."""
    return bool(lengths.min() <= 0)


ALL_LENGTHS = "all"
"""Stands for a length in a row that is about all of them together."""


def length_names(rows: pd.DataFrame) -> dict[int, str]:
    """Return what to call each length of a series, in ascending order: "40", and of a bucket "100-150" or "400+"."""
    known = rows.dropna(subset="length").drop_duplicates("length").sort_values("length")
    return {
        length: re.sub(r"_(?=\d)", "-", name.removeprefix(f"{task}_").replace("_plus", "+"))
        for length, name, task in zip(known["length"], known["task_name"], known["task"], strict=True)
    }


_UNITS = {
    "phonebook": "entries in the phonebook",
    "c4_copy": "tokens of the text",
    "squad_by_length": "tokens of the paragraph",
}


def length_unit(task: str) -> str:
    """Return what the lengths of a task count, as the label of an axis."""
    return next((unit for prefix, unit in _UNITS.items() if task.startswith(prefix)), "length")


def describe_prompts(rows: pd.DataFrame) -> str:
    """Say how many prompts a length has."""
    fewest, most = rows["n"].min(), rows["n"].max()
    return f"{fewest} prompts a length" if fewest == most else f"{fewest} to {most} prompts a length"
