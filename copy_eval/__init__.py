"""Measures how well a language model copies and retrieves from its own context, as an lm-evaluation-harness plugin."""

__version__ = "0.1.0"


def register() -> None:
    """Make lm-eval find the tasks and the adapters in this process.

    An installed copy-eval does this by itself. Call it where the package is only on ``sys.path``, or where
    ``COPY_EVAL_AUTOLOAD=0`` turned the automatic way off. It may be called at any time, and more than once.
    """
    from copy_eval._autoload import connect

    connect()
