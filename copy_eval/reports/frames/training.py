"""Models that were evaluated at several training steps: when does copying emerge, and up to which length?"""

import json

import pandas as pd

FEWEST_STEPS = 3
"""Training steps from which on a model has a curve."""


def trajectories(accuracy: pd.DataFrame) -> pd.Series:
    """Return for each row what its training steps have in common: the model and its setup, whatever its weights."""
    setups = accuracy["setup"].map(json.loads)
    loaded = setups.map(lambda setup: json.dumps({key: value for key, value in setup.items() if key != "weights"}))
    return accuracy["model"] + "\n" + loaded.astype("string")


def trajectory_name(row: pd.Series) -> str:
    """Return what to call the trajectory of a row: its label without the revision."""
    name: str = row["label"].replace(f"@{row['revision']}", "", 1)
    return name


def training_curves(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of models with at least ``FEWEST_STEPS`` training steps in their series."""
    steps = accuracy.groupby(["series", trajectories(accuracy)])["step"].transform("nunique")
    return accuracy[(steps >= FEWEST_STEPS) & accuracy["step"].notna()]
