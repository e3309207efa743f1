"""What is said when the Hugging Face hub does not give what a task needs."""

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.errors import HFValidationError

from copy_eval.errors import UserError


@contextmanager
def explain_failure(wanted: str, remedy: str) -> Iterator[None]:
    """Turn the failure of a download into one line: no network, no such name, a connection that broke.

    Args:
        wanted: what was to be downloaded.
        remedy: what the user can do instead.
    """
    try:
        yield
    except (OSError, EOFError, HFValidationError) as error:
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise UserError(f"{wanted} cannot be had from the Hugging Face hub ({reason}): {remedy}") from error
