"""The one exception for what a user can mend, and how others' errors become its line."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class UserError(Exception):
    """Bad input: the message is one line that says what is wrong and what to do.

    The command lines (``lm_eval`` through the bridge, ``copy-eval``) print that line and exit with code 2; Python users
    catch it like any exception.
    """


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return str(error).strip().split("\n")[0]


def first_problem(error: "ValidationError") -> str:
    """Return the first problem that pydantic found, in one line: where it is, what stands there and what is wanted."""
    problem = error.errors(include_url=False, include_context=False)[0]
    # Where several kinds of values would do, pydantic names the kind after the place.
    path = ".".join(str(part) for part in problem["loc"] if not re.search(r"[\[(]|^(str|int|float|bool)$", str(part)))
    if problem["type"] == "missing":
        return f"{path} is missing"
    if problem["type"] == "extra_forbidden":
        return f"{path} is unknown"
    message = problem["msg"].removeprefix("Input ")
    line = f"{path} {message[0].lower()}{message[1:]}, not {problem['input']!r:.60}"
    # A lone surrogate, which JSON can hold, is written as its escape.
    return " ".join(line.encode("utf-8", "backslashreplace").decode("utf-8").split())
