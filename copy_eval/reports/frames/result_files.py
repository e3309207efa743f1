"""Finds and parses the result files that lm-eval writes below its ``--output_path``."""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from copy_eval.errors import UserError

_DATE = re.compile(r"_(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?)$")
"""How the name of a result file ends: ``results_2026-11-21T06-25-40.89``; ``x_...`` after ``--output_path x.json``."""


def find_result_files(paths: Iterable[Path]) -> list[Path]:
    """Return the result files at or below ``paths``, each once, in the order of their names.

    Files of samples (``.jsonl``) may be among the paths, as they are with ``folder/*``; they are passed over.

    Raises:
        UserError: if a path does not exist, or one that is found is no UTF-8.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            files = sorted(path.rglob("*.json"))
            found |= dict.fromkeys(file for file in files if file.stem.startswith("results") or _DATE.search(file.stem))
        elif not path.is_file():
            raise UserError(f"no such file or folder: {path}")
        elif path.suffix != ".jsonl":
            found[path] = None
    for file in found:
        _check_encoding(file)
    return list({file.resolve(): file for file in found}.values())


def _check_encoding(file: Path) -> None:
    """Refuse a path that no table, page or terminal could show."""
    try:
        str(file).encode("utf-8")
    except UnicodeEncodeError as error:
        shown = os.fsencode(file).decode("utf-8", "backslashreplace")
        raise UserError(f"the path is not in UTF-8: {shown}; rename the folder or file") from error


def samples_file(results_file: Path, task_name: str) -> Path:
    """Return where lm-eval puts the samples of a task with ``--log_samples``, beside the result file."""
    date = _DATE.search(results_file.stem)
    return results_file.with_name(f"samples_{task_name.replace('/', '_')}_{date[1] if date else ''}.jsonl")


def parse_result_file(file: Path) -> dict[str, Any]:
    """Return the content of a result file; empty if it is some other JSON file.

    Raises:
        UserError: if the file cannot be read or is no JSON.
    """
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is not a whole JSON file ({error})") from error
    return content if isinstance(content, dict) and isinstance(content.get("results"), dict) else {}
