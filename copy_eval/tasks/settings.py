"""What a user may set with lm-eval's ``--metadata``, and what is said when it does not fit.

lm-eval mixes the model's arguments into the same dictionary, so an unknown key is not yet a mistake: only a near miss
of one of ours is.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from difflib import get_close_matches
from itertools import pairwise

from copy_eval.errors import UserError

_NEAR = 0.85
"""``num_sample`` and ``n_samples`` are near ``num_samples``; no argument of a backend is near a key of ours."""

_MOST_DEPTHS = 1000

COUNTS = ("num_samples", "num_books")
"""The settings by which tasks of ours count their prompts; each task has one of them."""


def _plain(key: str) -> str:
    return key.lower().replace("_", "").replace("-", "")


def refuse_near_misses(given: Iterable[str], known: Collection[str]) -> None:
    """Check that no key of ``given`` is a misspelling of one of the ``known`` keys.

    Raises:
        UserError: names the misspelt key and the right one.
    """
    plain = {_plain(key): key for key in known}
    for key in given:
        if key not in known and (near := get_close_matches(_plain(key), plain, n=1, cutoff=_NEAR)):
            raise UserError(f"unknown setting {key!r} in the metadata: did you mean {plain[near[0]]!r}?")


def find_other_count(given: Collection[str], known: Collection[str]) -> tuple[str, str] | None:
    """Return the setting by which other tasks count their prompts, if it is given, and that of this task, if it is not.

    Args:
        given: names in the metadata.
        known: the settings of the task.
    """
    own = next((key for key in COUNTS if key in known), None)
    other = next((key for key in COUNTS if key in given and key not in known), None)
    return None if own is None or other is None else (other, own)


def read_whole_number(settings: Mapping[str, object], key: str, minimum: int | None = None) -> int:
    """Return the whole number that stands under ``key``, written as a number or as text.

    Raises:
        UserError: if it is missing, is no whole number or is below ``minimum``.
    """
    value = settings.get(key)
    try:
        number = int(value) if isinstance(value, int | str) and not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is None or (minimum is not None and number < minimum):
        wanted = "a whole number" if minimum is None else f"a whole number of at least {minimum}"
        raise UserError(f"{key} must be {wanted}, not {value!r}")
    return number


def read_depths(settings: Mapping[str, object], key: str) -> tuple[float, ...]:
    """Return the depths that stand under ``key``, from 0.0 (the beginning) to 1.0 (the end), in ascending order.

    A whole number stands for so many, spread evenly from 0.0 to 1.0; a list, which may be JSON in a text, for itself.

    Raises:
        UserError: if it is neither, or the list is empty, not in ascending order or beyond 0 to 1.
    """
    value = settings.get(key)
    if isinstance(value, str):
        with suppress(ValueError):
            value = json.loads(value)
    if isinstance(value, int) and not isinstance(value, bool) and 2 <= value <= _MOST_DEPTHS:
        return tuple(place / (value - 1) for place in range(value))
    if not isinstance(value, list | tuple) or not value or not all(type(depth) in (int, float) for depth in value):
        wanted = f"a whole number from 2 to {_MOST_DEPTHS} or a list such as [0, 0.5, 1]"
        raise UserError(f"{key} must be {wanted}, not {value!r}")
    if not all(0 <= depth <= 1 for depth in value):
        raise UserError(f"{key} must lie between 0 (the beginning) and 1 (the end), not {value!r}")
    if any(after <= before for before, after in pairwise(value)):
        raise UserError(f"{key} must be in ascending order and each once, not {value!r}")
    return tuple(map(float, value))


def read_text(settings: Mapping[str, object], key: str) -> str:
    """Return the text that stands under ``key``: a name or a path.

    Raises:
        UserError: if it is missing, empty or no text.
    """
    value = settings.get(key)
    if not isinstance(value, str) or not value:
        raise UserError(f"{key} must be a name or a path, not {value!r}")
    return value


def read_optional_text(settings: Mapping[str, object], key: str) -> str | None:
    """Return the text that stands under ``key``, or None where it is not set.

    Raises:
        UserError: if it is empty or no text.
    """
    return None if settings.get(key) is None else read_text(settings, key)
