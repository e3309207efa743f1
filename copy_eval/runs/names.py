"""Checks what stands where a suite wants a name, and finds the file or folder that it may stand for."""

import os
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from copy_eval.errors import UserError
from copy_eval.tasks.settings import read_text

_VARIABLE = re.compile(r"\$(?:(\w+)|\{([^{}]*)\})", re.ASCII)


def read_name(given: Mapping[str, object], key: str) -> str:
    """Return the name that stands under ``key``: text in one line.

    Raises:
        UserError: if it is missing, empty, no text, has control characters, or is a template that was not filled in.
    """
    name = read_text(given, key)
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        raise UserError(f"{key} must be one line without control characters, not {name!r}")
    if "{{" in name or "}}" in name:
        raise UserError(f"{key}={name}: a template that was not filled in")
    return name


def read_place(given: Mapping[str, object], key: str) -> str:
    """Return the path or hub id that stands under ``key``, with ``$NAME``, ``${NAME}`` and ``~`` filled in.

    Raises:
        UserError: as ``read_name``, and if a variable is not set or empty.
    """
    name = read_name(given, key)

    def value_of(match: re.Match[str]) -> str:
        variable = match[1] or match[2]
        if not os.environ.get(variable):
            state = "empty" if variable in os.environ else "not set"
            raise UserError(f"{key}={name}: the variable {variable} is {state}")
        return os.environ[variable]

    expanded = _VARIABLE.sub(value_of, name)
    return os.path.expanduser(expanded)  # noqa: PTH111 - a user who does not exist is an error to pathlib


def locate(name: str, key: str, folder: Path) -> Path | None:
    """Return the absolute path of what stands at ``name``, which may be relative to ``folder``; None if nothing does.

    Raises:
        UserError: if the system does not take it for a path.
    """
    path = folder / name
    try:
        return path.resolve() if path.exists() else None
    except (OSError, RuntimeError) as error:  # too long, not allowed, a link to itself
        raise UserError(f"{key}={name}: {getattr(error, 'strerror', None) or error}") from error
