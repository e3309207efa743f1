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
    settings:
      num_samples: 100
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from copy_eval.errors import UserError
from copy_eval.runs.model_entries import ModelEntry, dump_model, read_models
from copy_eval.runs.task_loading import tasks_by_name
from copy_eval.runs.yaml_values import Source, locate, read_name, read_path, read_yaml, refuse_unknown
from copy_eval.tasks.settings import read_whole_number

_PACKAGED = Path(__file__).resolve().parent / "suites"
_KEYS = ("name", "models", "tasks", "settings")
_NUMBERS = {"num_samples": 1, "data_seed": None}  # with the least value
_PATHS = ("c4_path", "squad_path")
SETTINGS = (*_NUMBERS, *_PATHS, "length_tokenizer")
"""What the tasks let a user set. They cannot be asked: their modules import `datasets`, which takes a second."""


@dataclass(frozen=True)
class Cell:
    """One model at one revision on one task: the unit that is evaluated, skipped or failed."""

    model: ModelEntry
    revision: str | None
    task: str

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
    """lm-eval's ``--metadata``: ``num_samples``, ``data_seed``, ``c4_path``, ``squad_path``, ``length_tokenizer``."""

    def cells(self) -> list[Cell]:
        """Return the cells, those of one model and revision together."""
        return [
            Cell(model, revision, task) for model in self.models for revision in model.revisions for task in self.tasks
        ]


def group_by_model(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Return the cells of each model at one revision, which stand together in ``cells``, as a list of their own."""
    return [list(group) for _, group in groupby(cells, key=lambda cell: (cell.model, cell.revision))]


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
    suite = _build_suite(content, source, default_name=file.stem, folder=file.parent)
    given = _read_settings({"settings": settings}, Source(), Path())
    return replace(suite, settings={**suite.settings, **given})


def suite_of_options(model: Mapping[str, Any], tasks: list[str], settings: Mapping[str, Any]) -> Suite:
    """Return the suite of one model that the command line describes; the keys are those of a suite's file.

    Raises:
        UserError: if something is not usable.
    """
    content = {"models": [dict(model)], "tasks": tasks, "settings": settings}
    # One name for all: results of another model may be added to the same folder.
    return _build_suite(content, Source(), default_name="command line", folder=Path())


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


def _build_suite(content: object, source: Source, default_name: str, folder: Path) -> Suite:
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
                name = read_path(given, key)
                path = locate(name, key, folder)
                if path is None and key in _PATHS:
                    raise UserError(f"{key}={name}: no such file")
                # A path is absolute, so that it holds on every worker; a tokenizer may also be a name.
                settings[key] = str(path or name)
    return settings


def dump_suite(suite: Suite) -> str:
    """Return a suite as a file that `load_suite` reads, with groups, patterns and relative paths resolved."""
    content = {
        "name": suite.name,
        "models": [dump_model(model) for model in suite.models],
        "tasks": list(suite.tasks),
        "settings": dict(suite.settings),
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
