"""Writes files all or nothing: those of a report together, and what is added to a file such as a CI job's summary."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from copy_eval.errors import UserError


def write_files(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write files into a folder, which is made if need be; other files in it stay as they are.

    Everything is written into a hidden folder inside it first, so that a full disk is noticed before any file of an
    earlier report is replaced, and so that each file is replaced in one step.

    Args:
        folder: where to write.
        files: contents by name.

    Returns:
        The paths of the files.

    Raises:
        UserError: if the folder or a file in it cannot be written; nothing has changed then.
    """
    try:
        made = _make(folder)
        try:
            unfinished = Path(tempfile.mkdtemp(prefix=".copy-eval-", dir=folder))
            try:
                for name, content in files.items():
                    (unfinished / name).write_bytes(content)
                _check_targets(folder, files)
                for name in files:
                    (unfinished / name).replace(folder / name)
            finally:
                shutil.rmtree(unfinished)
        except OSError:
            for empty in reversed(made):
                empty.rmdir()
            raise
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from error
    return [folder / name for name in files]


def _make(folder: Path) -> list[Path]:
    """Make a folder and those above it, and return the ones that did not exist, outermost first."""
    missing = [each for each in [folder, *folder.parents] if not each.exists()][::-1]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _check_targets(folder: Path, files: Mapping[str, bytes]) -> None:
    for name in files:
        if (folder / name).is_dir():
            raise IsADirectoryError(None, f"there is a folder named {name}")


def append_whole(file: Path, text: str) -> None:
    """Append to a file, or create it; if the disk is full, take back what was written.

    Raises:
        UserError: if it cannot be written.
    """
    try:
        with file.open("ab", buffering=0) as end:
            size = end.tell()
            left = memoryview(text.encode())
            try:
                while left:
                    left = left[end.write(left) :]
            except OSError:
                end.truncate(size)
                raise
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror}") from error
