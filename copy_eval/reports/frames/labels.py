"""Names of models for people: short, in one line, and never two models under one name."""

import json
import re
from collections.abc import Callable, Iterable

import pandas as pd

from copy_eval.measurement import describe_differences

CONTEXT_NOT_CHECKED = "context not checked"
"""Marks a model where nothing tells whether its backend cut prompts that do not fit the context, and scored them."""

_PATH = re.compile(r"[./~]|[A-Za-z]:[\\/]|.*/.*/")
"""The beginning of a path; a hub id holds at most one slash."""


def keep_printable(text: str) -> str:
    """Write line breaks, control characters and what turns the reading direction as Python's escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def add_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Fill the column ``label``: the model, ``@revision`` where that is not main, and what is special about its setup.

    Of a path only the last component is shown, if no other model in the frame has it; else the whole path. A model that
    was measured in several setups has what differs between them in brackets. So a label is for reading; whoever joins
    reports over time does so by ``model``, ``revision`` and ``setup``, which never change.
    """
    key = ["model", "revision", "setup"]
    models = frame[key].drop_duplicates().sort_values(key)
    shown = {model: _last_component(model) for model in models["model"].unique()}
    taken = pd.Series(shown).value_counts()
    labels: dict[tuple[str, ...], str] = {}
    for _, of_model in models.groupby(["model", "revision"]):
        model, revision = of_model[["model", "revision"]].iloc[0]
        name = shown[model] if taken[shown[model]] == 1 else model
        name = name if revision == "main" else f"{name}@{revision}"
        setups = list(of_model["setup"])
        for setup, difference in zip(setups, describe_differences(map(json.loads, setups)), strict=True):
            label = keep_printable(f"{name} ({difference})" if difference else name)
            # `m@step1` at main, and `m` at step1: as good as impossible, but two curves in one would be a wrong result.
            while label in labels.values():
                label += "'"
            labels[model, revision, setup] = label
    keys = frame[key].itertuples(index=False, name=None)
    return frame.assign(label=pd.array([labels[each] for each in keys], dtype="string"))


def unchecked_labels(rows: pd.DataFrame) -> set[str]:
    """Return the labels of the models some of whose results may rest on prompts that were cut."""
    return set(rows.loc[~rows["context_checked"].fillna(False), "label"])


def _last_component(model: str) -> str:
    is_path = _PATH.match(model) is not None
    return re.split(r"[\\/]", model.rstrip("\\/"))[-1] or model if is_path else model


def shorten(labels: Iterable[str], width: int = 36) -> dict[str, str]:
    """Return a short name for each label, for legends: without its organisation, and without the middle of a long one.

    What would not stay unique is not shortened.
    """
    labels = list(labels)
    names = _while_unique(labels, lambda name: name.rsplit("/", 1)[-1])
    half = (width - 1) // 2
    names = _while_unique(names, lambda name: name if len(name) <= width else f"{name[:half]}…{name[-half:]}")
    return dict(zip(labels, names, strict=True))


def _while_unique(names: list[str], change: Callable[[str], str]) -> list[str]:
    changed = [change(name) for name in names]
    return [new if changed.count(new) == 1 else old for new, old in zip(changed, names, strict=True)]
