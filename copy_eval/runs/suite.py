"""What is to be evaluated: models, tasks and settings, from a YAML file or the command line.

A suite file::

    models:
      - adapter: pythia                     # or mamba_ssm, hf, vllm ...: lm-eval's --model
        pretrained: EleutherAI/pythia-410m  # a hub id, a folder, a packaged checkpoint, or a pattern: runs/step*;
                                            # $NAME, ${NAME} and ~ are filled in
        revision: [step1000, step143000]    # on the hub; the default branch if left out
        dtype: bfloat16
        batch_size: 16
    tasks: [phonebook_copy, c4_copy_200]
    include_path: my-tasks                  # a folder of your own tasks, if any
    settings:
      num_samples: 100
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from copy_eval.errors import UserError
from copy_eval.runs.model_entries import ModelEntry, dump_model, read_models
from copy_eval.runs.task_loading import TASKS, describe_task, tasks_by_name
from copy_eval.runs.yaml_values import (
    Source,
    find_yaml,
    locate,
    packaged_names,
    read_name,
    read_path,
    read_yaml,
    refuse_unknown,
)
from copy_eval.task_description import SettingKind
from copy_eval.tasks.settings import read_depths, read_whole_number

_PACKAGED = Path(__file__).resolve().parent / "suites"
_KEYS = ("name", "models", "tasks", "include_path", "settings")


@dataclass(frozen=True)
class Cell:
    """One model at one revision on one task: the unit that is evaluated, skipped or failed."""

    model: ModelEntry
    revision: str | None
    task: str
    include_path: str | None = None
    """The user's own folder of tasks."""

    @property
    def label(self) -> str:
        """The model's name, with the revision if one is asked for."""
        return self.model.name if self.revision is None else f"{self.model.name}@{self.revision}"


@dataclass(frozen=True)
class Suite:
    """Every model on every task, with the same prompts."""

    name: str
    models: tuple[ModelEntry, ...]
    tasks: tuple[str, ...]
    """Names of single tasks (``phonebook_copy_10``), groups resolved."""

    settings: Mapping[str, int | str] = field(default_factory=dict, hash=False)
    """lm-eval's ``--metadata``, such as ``num_samples``; see ``known_settings``."""

    include_path: str | None = None
    """The user's own folder of tasks, lm-eval's ``--include_path``; absolute."""

    def cells(self) -> list[Cell]:
        """Return the cells, those of one model and revision together."""
        return [
            Cell(model, revision, task, self.include_path)
            for model in self.models
            for revision in model.revisions
            for task in self.tasks
        ]


def group_by_model(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Return the cells of each model at one revision, which stand together in ``cells``, as a list of their own."""
    return [list(group) for _, group in groupby(cells, key=lambda cell: (cell.model, cell.revision))]


def load_suite(name: str, settings: Mapping[str, Any], include_path: str | None = None) -> Suite:
    """Read a suite.

    Args:
        name: a YAML file or the name of a packaged suite; the file comes first.
        settings: override those of the suite; paths are relative to the working directory.
        include_path: overrides that of the suite, likewise.

    Raises:
        UserError: if there is no such suite or something in it is not usable; names the file and the line.
    """
    file = find_yaml(name, _PACKAGED, "suite")
    content, source = read_yaml(file)
    if include_path is not None and isinstance(content, dict):
        # Found from here, and not from the suite's own folder.
        content = content | {"include_path": _read_include_path({"include_path": include_path}, Source())}
    suite = _build_suite(content, source, default_name=file.stem)
    given = _read_settings({"settings": settings}, Source(), suite.tasks, suite.include_path)
    return replace(suite, settings={**suite.settings, **given})


def suite_of_options(
    model: Mapping[str, Any], tasks: list[str], settings: Mapping[str, Any], include_path: str | None = None
) -> Suite:
    """Return the suite of one model that the command line describes; the keys are those of a suite's file.

    Raises:
        UserError: if something is not usable.
    """
    content = {"models": [dict(model)], "tasks": tasks, "include_path": include_path, "settings": settings}
    # One name for all: results of another model may be added to the same folder.
    return _build_suite(content, Source(), default_name="command line")


def packaged_suites() -> list[str]:
    """Return the names of the suites that the package carries."""
    return packaged_names(_PACKAGED)


def _build_suite(content: object, source: Source, default_name: str) -> Suite:
    """Check what a suite's file holds, and return the suite.

    Args:
        content: as YAML gives it.
        source: the lines of ``content``, for errors.
        default_name: of a suite that does not name itself.

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
    models = read_models(content.get("models"), source)
    include_path = _read_include_path(content, source)
    tasks = _read_tasks(content.get("tasks"), source, include_path)
    settings = _read_settings(content, source, tasks, include_path)
    return Suite(name, models, tasks, settings, include_path)


def _read_include_path(content: Mapping[str, Any], source: Source) -> str | None:
    if content.get("include_path") is None:
        return None
    with source.at("include_path"):
        name = read_path(content, "include_path")
        path = locate(name, "include_path", source.folder)
        if path is None:
            raise UserError(f"include_path={name}: no such folder")
        # Its files are read here, so that what is wrong with one is told with this line.
        tasks_by_name(str(path))
        return None if path == TASKS else str(path)  # `--include-path tasks` in a checkout


def _read_tasks(given: object, source: Source, include_path: str | None) -> tuple[str, ...]:
    known = tasks_by_name(include_path)
    names = [given] if isinstance(given, str) else given
    with source.at("tasks"):
        if not isinstance(names, list) or not names:
            raise UserError("tasks must list at least one task or group, such as phonebook_copy")
    tasks: list[str] = []
    for index, name in enumerate(names):
        with source.at("tasks", index):
            refuse_unknown(name, known, "task")
            if not known[name]:
                raise UserError(f"{name} is no group that lists known tasks by name and leaves them as they are")
            for task in known[name]:
                describe_task(task, include_path)
            tasks.extend(task for task in known[name] if task not in tasks)
    return tuple(tasks)


def known_settings(include_path: str | None = None) -> dict[str, SettingKind]:
    """Return what the tasks let a user set, and of what kind it is; a task that describes nothing adds nothing."""
    known: dict[str, SettingKind] = {}
    for name, members in tasks_by_name(include_path).items():
        if members == (name,):
            with suppress(UserError):  # which is told where the task is asked for
                known |= describe_task(name, include_path).settings
    return known


def _read_settings(
    content: Mapping[str, Any], source: Source, tasks: Sequence[str], include_path: str | None
) -> dict[str, int | str]:
    given = content.get("settings")
    if given is None:
        return {}
    known = known_settings(include_path)
    of_tasks = sorted({key for task in tasks for key in describe_task(task, include_path).settings})
    with source.at("settings"):
        if not isinstance(given, dict):
            raise UserError(f"settings must be a mapping with keys of {', '.join(known)}")
    settings: dict[str, int | str] = {}
    for key in given:
        with source.at("settings", key):
            refuse_unknown(key, known, "setting")
            if known[key] == "depths":
                read_depths(given, key)
                value = given[key]
                # One text for a list, as the tasks take it: settings are compared and handed on as they stand.
                settings[key] = value if isinstance(value, int | str) else json.dumps(value)
            elif known[key] in ("count", "number"):
                settings[key] = read_whole_number(given, key, 1 if known[key] == "count" else None)
            else:
                name = read_path(given, key)
                path = locate(name, key, source.folder)
                if path is None and known[key] == "file":
                    raise UserError(f"{key}={name}: no such file")
                # A path is absolute, so that it holds on every worker; a tokenizer may also be a name.
                settings[key] = str(path or name)
            if key not in of_tasks:
                theirs = f"theirs are {', '.join(of_tasks)}" if of_tasks else "they have none"
                raise UserError(f"{key} is no setting of these tasks; {theirs}")
    return settings


def dump_suite(suite: Suite) -> str:
    """Return a suite as a file that `load_suite` reads, with groups, patterns and relative paths resolved."""
    content = {
        "name": suite.name,
        "models": [dump_model(model) for model in suite.models],
        "tasks": list(suite.tasks),
        **({"include_path": suite.include_path} if suite.include_path else {}),
        "settings": dict(suite.settings),
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
