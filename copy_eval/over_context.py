"""How an adapter tells a task that a prompt does not fit the model's context, and what then stands for the score.

lm-eval hands a task nothing but the generated text, so the refusal travels as a text that no model would write. Cutting
the prompt and scoring it all the same, as lm-eval's own backends do, would report a low accuracy where there is none.
"""

_MARK = "<|copy-eval: over context|>"

OVER_CONTEXT = "over context"
"""Stands in the results for every score of a length, as soon as one of its prompts does not fit the model's context."""


def refuse_over_context(needed: int, available: int) -> str:
    """Return the response for a prompt that with its answer needs ``needed`` tokens of a context of ``available``."""
    return f"{_MARK} needs {needed} tokens, the model takes {available}"


def is_over_context(response: str) -> bool:
    """Tell such a refusal from a model's own text."""
    return response.startswith(_MARK)
