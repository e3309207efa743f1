"""The tasks by their names: what their YAML files say, and lm-eval's own objects with the prompts.

lm-eval's index takes seconds to import, so names and definitions are read from the files themselves. By our convention
``phonebook_copy_10.yaml`` holds the task ``phonebook_copy_10``, and a group's file begins with ``_``.
"""

import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

TASKS = Path(__file__).resolve().parents[1] / "tasks"
"""The folder that lm-eval indexes."""


@cache
def tasks_by_name() -> dict[str, tuple[str, ...]]:
    """Return every name that a user may ask for, a task's or a group's, with the tasks that it stands for in order."""
    groups: dict[str, list[str]] = {}
    tasks: dict[str, tuple[str, ...]] = {}
    for file in sorted(TASKS.rglob("*.yaml")):
        if file.name.startswith("_"):
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
            groups[content["group"]] = content["task"]
        else:
            tasks[file.stem] = (file.stem,)

    def members(name: str) -> Iterable[str]:
        for member in groups[name]:
            yield from members(member) if member in groups else tasks[member]

    return tasks | {group: tuple(members(group)) for group in groups}


def read_definition(name: str) -> dict[str, Any]:
    """Return what a task's YAML file and the one that it includes say; functions are left as their names."""
    file = next(TASKS.rglob(f"{name}.yaml"))
    definition: dict[str, Any] = yaml.load(file.read_text(encoding="utf-8"), _Loader)
    included = yaml.load((file.parent / definition["include"]).read_text(encoding="utf-8"), _Loader)
    return included | definition


class _Loader(yaml.SafeLoader):
    """Reads YAML with lm-eval's ``!function``."""


_Loader.add_constructor("!function", lambda _, node: node.value)


@dataclass(frozen=True)
class Prompts:
    """What a task asks: its version, the fingerprint of all its prompts, and how many of them are answered."""

    version: str
    sha256: str
    count: int


def load_task(name: str, settings: Mapping[str, int | str]) -> Any:
    """Return lm-eval's task with its prompts; the same task is built once in a process, for all models.

    Raises:
        UserError: if its data cannot be had or do not fit the settings.
    """
    return _load_task(name, tuple(sorted(settings.items())))


@cache
def _load_task(name: str, settings: tuple[tuple[str, int | str], ...]) -> Any:
    return _task_manager(settings).load([name])["tasks"][name]


@cache
def _task_manager(settings: tuple[tuple[str, int | str], ...]) -> Any:
    with collector_off():
        from lm_eval.tasks import TaskManager

    # lm-eval's own 14,000 tasks, which it would index for 8 seconds, are left out.
    return TaskManager(include_path=TASKS, include_defaults=False, metadata=dict(settings))


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
