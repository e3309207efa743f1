"""Reads YAML that people write: each value with its line, for errors, and checks of names and paths."""

import os
import re
import unicodedata
from collections.abc import Collection, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from copy_eval.errors import UserError
from copy_eval.tasks.settings import read_text

_MERGE = "tag:yaml.org,2002:merge"  # of the key `<<`, which stands for other keys
_VARIABLE = re.compile(r"\$(?:(\w+)|\{([^{}]*)\})", re.ASCII)

Place = tuple[Hashable, ...]
"""The keys and list positions that lead to a value: ``("models", 0, "pretrained")``."""


@dataclass(frozen=True)
class Source:
    """A file and the line of each of its values; without a file, errors have no location."""

    file: Path | None = None
    lines: Mapping[Place, int] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """What relative paths start from: the file's own folder, or the working directory."""
        return Path() if self.file is None else self.file.parent

    @contextmanager
    def at(self, *place: Hashable) -> Iterator[None]:
        """Put file and line before the message of a ``UserError``."""
        try:
            yield
        except UserError as error:
            if self.file is None:
                raise
            known = next(place[:end] for end in range(len(place), -1, -1) if place[:end] in self.lines)
            raise UserError(f"{self.file}:{self.lines[known]}: {error}") from error


def packaged_names(folder: Path) -> list[str]:
    """Return the names of the YAML files that a folder of the package holds."""
    return sorted(file.stem for file in folder.glob("*.yaml"))


def find_yaml(name: str, packaged: Path, kind: str, others: Collection[str] = ()) -> Path:
    """Return a YAML file: one of the user's, or else a packaged one.

    Args:
        name: a path, or the name of a packaged file.
        packaged: the folder of those.
        kind: what such a file is, for errors.
        others: names that could have been meant, though they are no files.

    Raises:
        UserError: if there is none of this name.
    """
    if Path(name).is_file():
        return Path(name)
    if "/" in name or name.endswith((".yaml", ".yml")):
        raise UserError(f"no such {kind} file: {name}")
    refuse_unknown(name, [*packaged_names(packaged), *others], kind)
    return packaged / f"{name}.yaml"


def read_yaml(file: Path) -> tuple[Any, Source]:
    """Return what a YAML file holds, and where.

    Raises:
        UserError: if the file cannot be read, is not valid YAML, or has a key twice in one place.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {file}: {error}") from error
    lines: dict[Place, int] = {}
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None, Source(file, {(): 1})
        _note_lines(node, (), file, lines, loader)
        return loader.construct_document(node), Source(file, lines)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{file}:{line}: not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        # A date that does not exist, an alias of itself, a tag (`!!int`) before what it does not fit.
        reason = str(error).partition("\n")[0]
        raise UserError(f"{file}: not valid YAML: {reason}") from error


def _note_lines(node: yaml.Node, place: Place, file: Path, lines: dict[Place, int], loader: yaml.SafeLoader) -> None:
    """Note the line of a node and of all below it; the line of a mapping's value is that of its key."""
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _note_lines(item, (*place, index), file, lines, loader)
    elif isinstance(node, yaml.MappingNode):
        seen: set[Hashable] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise UserError(
                    f"{file}:{line}: a key must be text, not a list or a mapping; "
                    "fill in what stands in {{ }}, or put it in quotes"
                )
            name = key.value if key.tag == _MERGE else loader.construct_object(key)
            if name in seen:
                raise UserError(f"{file}:{line}: the key {name!r} stands here a second time")
            seen.add(name)
            lines[*place, name] = line
            _note_lines(value, (*place, name), file, lines, loader)


def refuse_unknown(name: object, known: Collection[str], kind: str, of: str = "") -> None:
    """Check that ``name`` is one of ``known``.

    Raises:
        UserError: names the nearest, or all if none is near; if it is no text, says that.
    """
    if not isinstance(name, str):
        raise UserError(f"a {kind}{of} must be text, not {name!r}")
    if name in known:
        return
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    raise UserError(f"unknown {kind} {name!r}{of}; {hint}")


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


def read_path(given: Mapping[str, object], key: str) -> str:
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
