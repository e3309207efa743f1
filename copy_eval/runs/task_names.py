"""The names of our tasks, read from their YAML files: lm-eval's own index takes seconds to import.

By our convention ``phonebook_copy_10.yaml`` holds the task ``phonebook_copy_10``, and a group's file begins with ``_``.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

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
