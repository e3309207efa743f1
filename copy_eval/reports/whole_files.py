"""Writes files whole or not at all."""

import os
from pathlib import Path

from copy_eval.errors import UserError


def write_whole(file: Path, text: str) -> None:
    """Write a file under another name first, so that it is never seen half written.

    Raises:
        UserError: if it cannot be written; what stood there before still does.
    """
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        try:
            unfinished.write_text(text, encoding="utf-8")
            unfinished.replace(file)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror}") from error


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
