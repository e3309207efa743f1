"""The one exception for what a user can mend."""


class UserError(Exception):
    """Bad input: the message is one line that says what is wrong and what to do.

    The command lines (``lm_eval`` through the bridge, ``copy-eval``) print that line and exit with code 2; Python users
    catch it like any exception.
    """


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return str(error).strip().split("\n")[0]
