"""Writes a file whole, so that no other process ever sees half of it."""

import secrets
from pathlib import Path


def write_whole(file: Path, text: str) -> None:
    """Write text (UTF-8) under another name in the same folder first, and rename it once it is complete.

    The other name is random: two nodes that share the folder may have a process with the same number.

    Raises:
        OSError: if it cannot be written; an earlier file of that name is then as it was.
    """
    unfinished = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
