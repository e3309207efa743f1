"""Models that were evaluated at several training steps: when does copying emerge, and up to which length?"""

import pandas as pd

FEWEST_STEPS = 3
"""Training steps from which on a model has a curve."""


def training_curves(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of models with at least ``FEWEST_STEPS`` training steps in their series."""
    steps = accuracy.groupby(["series", "model"])["step"].transform("nunique")
    return accuracy[(steps >= FEWEST_STEPS) & accuracy["step"].notna()]
