"""One hash for all prompts of a task, so that two results can be known to rest on the same questions."""

import hashlib
import json
from collections.abc import Iterable


def fingerprint(examples: Iterable[tuple[str, str]]) -> str:
    """Return the SHA-256, in hexadecimal, of the (prompt, answer) pairs in their order."""
    digest = hashlib.sha256()
    for prompt, answer in examples:
        # JSON marks where each text ends; a newline ends the pair.
        digest.update(json.dumps([prompt, answer]).encode() + b"\n")
    return digest.hexdigest()
