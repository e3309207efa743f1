"""Appends to a file, such as the summary of a CI job, all or nothing."""

from pathlib import Path

from copy_eval.errors import UserError


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
