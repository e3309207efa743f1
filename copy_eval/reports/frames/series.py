"""Which results may stand on one curve.

Against length, those of one task, in one version, on one text; against training step, those of one model in one setup.
"""

import json
import re
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from copy_eval.measurement import describe_differences
from copy_eval.reports.frames.result_files import counted, keep_printable

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
        # Some series are told apart only by characters that no file name may hold.
        names.append((unused_name(_slug(series), [name for name, _ in names]), title.removesuffix(",")))
    known[["series", "title"]] = pd.DataFrame(names, index=known.index, dtype="string")
    return frame.drop(columns=["series", "title"]).merge(known, on=_KEY)[frame.columns]


def _slug(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII).strip("-.")[:100]


def unused_name(name: str, taken: Collection[str]) -> str:
    """Return a name, with underscores behind it until it is none of those that are taken."""
    while name in taken:
        name += "_"
    return name


def is_linear(lengths: pd.Series) -> bool:
    """Tell whether lengths belong on a linear axis: where a bucket starts at 0; all others go on one of log2."""
    return bool(lengths.min() <= 0)


ALL_LENGTHS = "all"
"""Stands for a length in a row that is about all of them together."""


def length_names(rows: pd.DataFrame) -> dict[int, str]:
    """Return what to call each length of a series, in ascending order: "40", and of a bucket "100-150" or "400+"."""
    known = rows.dropna(subset="length").drop_duplicates("length").sort_values("length")
    return dict(zip(known["length"], known["length_name"], strict=True))


def length_unit(rows: pd.DataFrame) -> str:
    """Return what the lengths of a series count, as the label of an axis."""
    return str(rows["unit"].iloc[0])


def describe_prompts(rows: pd.DataFrame) -> str:
    """Say how many prompts a length has."""
    fewest, most = rows["n"].min(), rows["n"].max()
    return f"{counted(fewest, 'prompt') if fewest == most else f'{fewest} to {most} prompts'} at each length"


FEWEST_STEPS = 3
"""Training steps from which on a model has a curve."""


def trajectories(accuracy: pd.DataFrame) -> pd.Series:
    """Return for each row what its training steps have in common: the model and its setup, whatever its weights."""
    setups = accuracy["setup"].map(json.loads)
    loaded = setups.map(lambda setup: json.dumps({key: value for key, value in setup.items() if key != "weights"}))
    return accuracy["model"] + "\n" + loaded.astype("string")


def trajectory_names(accuracy: pd.DataFrame) -> dict[str, str]:
    """Return what to call each trajectory: the model, and what is special about its setup where it has several."""
    keys = trajectories(accuracy)
    first = accuracy.assign(trajectory=keys).drop_duplicates("trajectory")
    names: dict[str, str] = {}
    row: Any
    for _, of_model in first.groupby("model", sort=False):
        setups = [json.loads(key.split("\n")[-1]) for key in of_model["trajectory"]]
        for row, difference in zip(of_model.itertuples(), describe_differences(setups), strict=True):
            # A label begins with the model's name, short where it is a path; what follows is about one step.
            name = row.label.partition(f"@{row.revision}")[0]
            names[row.trajectory] = keep_printable(f"{name} ({difference})" if difference else name)
    return {key: names[key] for key in keys.unique()}


def training_curves(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of models with at least ``FEWEST_STEPS`` training steps in their series.

    Where a step was evaluated with several weights under one revision, as of a branch that moved, the newest counts.
    """
    key = ["series", trajectories(accuracy).rename("trajectory")]
    steps = accuracy.groupby(key)["step"].transform("nunique")
    curves = accuracy[(steps >= FEWEST_STEPS) & accuracy["step"].notna()]
    newest = curves.assign(trajectory=trajectories(curves)).sort_values("date", kind="stable")
    kept = newest.drop_duplicates(["series", "trajectory", "revision", "length"], keep="last")
    return curves[curves.index.isin(kept.index)]


FEW_STEPS = 4
"""Training steps of one model that can be told apart in a chart, and that a terminal shows."""


def few_steps(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """Of a model with more than ``most`` training steps keep so many, spread evenly over them and with the last one.

    Of models that ``copy-eval train`` trained, whose steps have a chart that compares them, keep the last alone.
    """
    keep = rows["step"].isna()
    of_steps = rows.dropna(subset="step")
    for _, curve in of_steps.groupby(trajectories(of_steps)):
        steps = curve["step"]
        known = np.unique(steps.to_numpy(int))
        count = 1 if "training" in curve and curve["training"].notna().all() else min(most, len(known))
        places = np.linspace(len(known) - 1, 0, count).round().astype(int)
        keep |= rows.index.isin(steps.index[steps.isin(known[places])])
    return rows[keep]
