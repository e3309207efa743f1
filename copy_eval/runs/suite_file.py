"""Reads a suite from a YAML file, from the packaged ones or from command-line options, and checks every value."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from copy_eval.errors import UserError
from copy_eval.runs.model_entries import read_models
from copy_eval.runs.names import locate, read_name, read_place
from copy_eval.runs.source import Source, read_yaml, refuse_unknown
from copy_eval.runs.suite import ModelEntry, Suite
from copy_eval.runs.task_names import tasks_by_name
from copy_eval.tasks.settings import read_whole_number

_PACKAGED = Path(__file__).resolve().parent / "suites"
_KEYS = ("name", "models", "tasks", "settings")
_NUMBERS = {"num_samples": 1, "data_seed": None}  # with the least value
_PATHS = ("c4_path", "squad_path")
SETTINGS = (*_NUMBERS, *_PATHS, "length_tokenizer")
"""What the tasks let a user set. They cannot be asked: their modules import `datasets`, which takes a second."""


def load_suite(name: str, settings: Mapping[str, Any]) -> Suite:
    """Read a suite.

    Args:
        name: a YAML file or the name of a packaged suite; the file comes first.
        settings: override those of the suite; paths are relative to the working directory.

    Raises:
        UserError: if there is no such suite or something in it is not usable; names the file and the line.
    """
    file = _find(name)
    content, source = read_yaml(file)
    suite = build_suite(content, source, default_name=file.stem, folder=file.parent)
    given = _read_settings({"settings": settings}, Source(), Path())
    return replace(suite, settings={**suite.settings, **given})


def suite_of_options(model: Mapping[str, Any], tasks: list[str], settings: Mapping[str, Any]) -> Suite:
    """Return the suite of one model that the command line describes; the keys are those of a suite's file.

    Raises:
        UserError: if something is not usable.
    """
    content = {"models": [dict(model)], "tasks": tasks, "settings": settings}
    # One name for all: results of another model may be added to the same folder.
    return build_suite(content, Source(), default_name="command line", folder=Path())


def packaged_suites() -> list[str]:
    """Return the names of the suites that the package carries."""
    return sorted(file.stem for file in _PACKAGED.glob("*.yaml"))


def _find(name: str) -> Path:
    if Path(name).is_file():
        return Path(name)
    if "/" in name or name.endswith((".yaml", ".yml")):
        raise UserError(f"no such suite file: {name}")
    refuse_unknown(name, packaged_suites(), "suite")
    return _PACKAGED / f"{name}.yaml"


def build_suite(content: object, source: Source, default_name: str, folder: Path) -> Suite:
    """Check what a suite's file holds, and return the suite.

    Args:
        content: as YAML gives it.
        source: the lines of ``content``, for errors.
        default_name: of a suite that does not name itself.
        folder: what relative paths start from.

    Raises:
        UserError: at the first thing that is not usable.
    """
    with source.at():
        if not isinstance(content, dict):
            raise UserError(f"a suite has the keys {', '.join(_KEYS)}")
    for key in content:
        with source.at(key):
            refuse_unknown(key, _KEYS, "key", " of a suite")
    with source.at("name"):
        name = read_name({"name": default_name} | content, "name")
    return Suite(
        name=name,
        models=read_models(content.get("models"), source, folder),
        tasks=_read_tasks(content.get("tasks"), source),
        settings=_read_settings(content, source, folder),
    )


def _read_tasks(given: object, source: Source) -> tuple[str, ...]:
    known = tasks_by_name()
    names = [given] if isinstance(given, str) else given
    with source.at("tasks"):
        if not isinstance(names, list) or not names:
            raise UserError("tasks must list at least one task or group, such as phonebook_copy")
    tasks: list[str] = []
    for index, name in enumerate(names):
        with source.at("tasks", index):
            refuse_unknown(name, known, "task")
            tasks.extend(task for task in known[name] if task not in tasks)
    return tuple(tasks)


def _read_settings(content: Mapping[str, Any], source: Source, folder: Path) -> dict[str, int | str]:
    given = content.get("settings")
    if given is None:
        return {}
    with source.at("settings"):
        if not isinstance(given, dict):
            raise UserError(f"settings must be a mapping with keys of {', '.join(SETTINGS)}")
    settings: dict[str, int | str] = {}
    for key in given:
        with source.at("settings", key):
            refuse_unknown(key, SETTINGS, "setting")
            if key in _NUMBERS:
                settings[key] = read_whole_number(given, key, _NUMBERS[key])
            else:
                settings[key] = _locate(key, read_place(given, key), folder)
    return settings


def _locate(key: str, name: str, folder: Path) -> str:
    """Return a path as absolute, so that it holds on every worker; a tokenizer may also be a name."""
    path = locate(name, key, folder)
    if path is not None:
        return str(path)
    if key in _PATHS:
        raise UserError(f"{key}={name}: no such file")
    return name


def dump_suite(suite: Suite) -> str:
    """Return a suite as a file that `load_suite` reads, with groups, patterns and relative paths resolved."""
    content = {
        "name": suite.name,
        "models": [_dump_model(model) for model in suite.models],
        "tasks": list(suite.tasks),
        "settings": dict(suite.settings),
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _dump_model(model: ModelEntry) -> dict[str, Any]:
    given: dict[str, Any] = {
        "name": model.name,
        "adapter": model.adapter,
        "pretrained": model.pretrained,
        "revision": [revision for revision in model.revisions if revision is not None],
        "dtype": model.dtype,
        "batch_size": model.batch_size,
        "gpus": model.gpus,
        "model_args": dict(model.model_args),
    }
    return {key: value for key, value in given.items() if value not in (None, [], {})}
