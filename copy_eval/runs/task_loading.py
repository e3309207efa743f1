"""The tasks by their names, ours and a user's own: what their YAML files say, and lm-eval's objects with the prompts.

lm-eval's index takes seconds to import, so names and definitions are read from the files themselves, by its rules.
"""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from copy_eval.errors import UserError, first_line
from copy_eval.task_description import TaskDescription, read_description

TASKS = Path(__file__).resolve().parents[1] / "tasks"
"""The folder that lm-eval indexes."""

_OF_GROUPS = {"group", "group_alias", "task", "metadata"}
"""What a group's file may say here: anything else would change its tasks, which are evaluated one by one."""


@cache
def tasks_by_name(include_path: str | None = None) -> dict[str, tuple[str, ...]]:
    """Return every name that a user may ask for, a task's, a group's or a tag's, with its tasks in order.

    A group that does more than list tasks by their names stands for none.

    Args:
        include_path: the user's own folder of tasks; its names come before ours.

    Raises:
        UserError: if there is no such folder, or a file in it cannot be read.
    """
    found = _definitions(include_path)
    tags: dict[str, list[str]] = {}
    for name, definition in found.items():
        given = definition.get("tag") or ()
        for tag in [given] if isinstance(given, str) else given:
            if not _is_group(definition):
                tags.setdefault(tag, []).append(name)

    def members(name: object, above: tuple[object, ...] = ()) -> tuple[str, ...]:
        if not isinstance(name, str) or name not in found or name in above:
            return ()
        if not _is_group(found[name]):
            return (name,)
        listed = found[name].get("task")
        below = [members(each, (*above, name)) for each in listed] if isinstance(listed, list) else []
        is_plain = found[name].keys() <= _OF_GROUPS and all(below)
        return tuple(task for tasks in below for task in tasks) if is_plain else ()

    return {tag: tuple(sorted(names)) for tag, names in tags.items()} | {name: members(name) for name in found}


def read_definition(name: str, include_path: str | None = None) -> dict[str, Any]:
    """Return what a task's YAML file and those that it includes say; functions are left as their names."""
    return _definitions(include_path)[name]


def describe_task(name: str, include_path: str | None = None) -> TaskDescription:
    """Return what a task says of itself.

    Raises:
        UserError: if it is none of our form, or its description is wrong.
    """
    definition = read_definition(name, include_path)
    metrics = definition.get("metric_list")
    named = [entry.get("metric") for entry in metrics if isinstance(entry, dict)] if isinstance(metrics, list) else []
    mappings = [definition.get(key) or {} for key in ("metadata", "dataset_kwargs")]
    is_ours = "class" in definition and "exact_match" in named and all(isinstance(each, dict) for each in mappings)
    if not is_ours or not isinstance(mappings[1].get("length"), int):
        raise UserError(
            f"{name} is no task as copy-eval's are (class: !function copy_eval.tasks.copy_task.CopyTask, length among "
            "its dataset_kwargs, exact_match among its metrics): evaluate it with lm_eval"
        )
    return read_description(name, *mappings)


@cache
def _definitions(include_path: str | None) -> dict[str, dict[str, Any]]:
    """Return the definitions of all tasks and groups; of two of one name in one folder, the first file's."""
    if include_path is not None and not Path(include_path).is_dir():
        raise UserError(f"include_path={include_path}: no such folder")
    found: dict[str, dict[str, Any]] = {}
    for folder in [TASKS] if include_path is None else [TASKS, Path(include_path)]:
        in_folder: dict[str, dict[str, Any]] = {}
        for file in sorted(folder.rglob("*.yaml"), key=Path.as_posix):
            definition = _read(file)
            name = definition.get("group") if _is_group(definition) else definition.get("task")
            if isinstance(name, str):  # else it is a suite, or anything else
                in_folder.setdefault(name, definition)
        found |= in_folder
    return found


def _is_group(definition: Mapping[str, Any]) -> bool:
    return "group" in definition and "class" not in definition


@cache
def _read(file: Path, including: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return what a file says, over what the files say that it includes; nothing if it holds no mapping."""
    if file in including:
        raise UserError(f"{file} includes itself")
    try:
        loader = _Loader(file.read_text(encoding="utf-8"))
        loader.folder = file.parent
        content = loader.get_single_data()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        return {}
    includes = content.pop("include", [])
    merged: dict[str, Any] = {}
    for include in includes if isinstance(includes, list) else [includes]:
        merged |= _read((file.parent / str(include)).resolve(), (*including, file))
    return merged | content


class _Loader(yaml.SafeLoader):
    """Reads YAML with lm-eval's ``!function``, which may name a module beside the file."""

    folder: Path


def _name_function(loader: Any, node: yaml.Node) -> str:
    return str(loader.folder / str(node.value))


_Loader.add_constructor("!function", _name_function)


@dataclass(frozen=True)
class Prompts:
    """What a task asks: its version, the fingerprint of all its prompts, and how many of them are answered."""

    version: str
    sha256: str
    count: int


def load_task(name: str, settings: Mapping[str, int | str], include_path: str | None = None) -> Any:
    """Return lm-eval's task with its prompts; the same task is built once in a process, for all models.

    Raises:
        UserError: if its data cannot be had or do not fit the settings, or it is none of our form.
    """
    return _load_task(name, tuple(sorted(settings.items())), include_path)


@cache
def _load_task(name: str, settings: tuple[tuple[str, int | str], ...], include_path: str | None) -> Any:
    describe_task(name, include_path)
    try:
        task = _task_manager(settings, include_path).load([name])["tasks"][name]
    except ImportError as error:
        raise UserError(f"{name}: {first_line(error)}") from error
    if "prompts_sha256" not in (task.config.metadata or {}):
        raise UserError(f"{name}: its class is not copy_eval.tasks.copy_task.CopyTask, so its prompts are not logged")
    return task


@cache
def _task_manager(settings: tuple[tuple[str, int | str], ...], include_path: str | None) -> Any:
    with collector_off():
        from lm_eval.tasks import TaskManager

    folders = [TASKS] if include_path is None else [TASKS, Path(include_path)]
    # lm-eval's own 14,000 tasks, which it would index for 8 seconds, are left out.
    return TaskManager(include_path=folders, include_defaults=False, metadata=dict(settings))


def prompts_of(task: Any) -> Prompts:
    """Return what a loaded task asks."""
    return Prompts(str(task.VERSION), task.config.metadata["prompts_sha256"], len(task.eval_docs))


@contextmanager
def collector_off() -> Iterator[None]:
    """Turn the garbage collector off while torch, transformers or lm-eval are imported.

    A module that loads leaves no garbage, and looking for it takes a sixth of the time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
