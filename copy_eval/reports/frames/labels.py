"""Names of models for people: short, in one line, and never two models under one name."""

import re
from collections.abc import Callable, Iterable

import pandas as pd

_PATH = re.compile(r"[./~]|[A-Za-z]:[\\/]|.*/.*/")
"""The beginning of a path; a hub id holds at most one slash."""


def keep_printable(text: str) -> str:
    """Write line breaks, control characters and what turns the reading direction as Python's escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def add_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Fill the column ``label``: the model, and ``@revision`` where that is not main.

    Of a path only the last component is shown, if no other model in the frame has it; else the whole path. So a label
    is for reading; whoever joins reports over time does so by ``model`` and ``revision``, which never change.
    """
    models = frame[["model", "revision"]].drop_duplicates().sort_values(["model", "revision"])
    shown = {model: _last_component(model) for model in models["model"].unique()}
    taken = pd.Series(shown).value_counts()
    labels: dict[tuple[str, str], str] = {}
    for model, revision in models.itertuples(index=False):
        name = shown[model] if taken[shown[model]] == 1 else model
        label = keep_printable(name if revision == "main" else f"{name}@{revision}")
        # `m@step1` at main, and `m` at step1: as good as impossible, but two curves in one would be a wrong result.
        while label in labels.values():
            label += "'"
        labels[model, revision] = label
    keys = zip(frame["model"], frame["revision"], strict=True)
    return frame.assign(label=pd.array([labels[key] for key in keys], dtype="string"))


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
