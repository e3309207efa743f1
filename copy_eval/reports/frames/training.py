"""Models that were evaluated at several training steps: when does copying emerge, and up to which length?"""

import json
from typing import Any

import pandas as pd

from copy_eval.measurement import describe_differences
from copy_eval.reports.frames.labels import keep_printable

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
