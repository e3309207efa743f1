"""How an adapter tells a task that a prompt does not fit the model's context, and what then stands for the score.

lm-eval hands a task nothing but the generated text, so the refusal travels as a text that no model would write. Cutting
the prompt and scoring it all the same, as lm-eval's own backends do, would report a low accuracy where there is none.
"""

from collections.abc import Mapping
from typing import Any

_MARK = "<|copy-eval: over context|>"

OVER_CONTEXT = "over context"
"""Stands in the results for every score of a length, as soon as one of its prompts does not fit the model's context."""


def refuse_over_context(needed: int, available: int) -> str:
    """Return the response for a prompt that with its answer needs ``needed`` tokens or more of ``available``."""
    return f"{_MARK} needs at least {needed} tokens, the model takes {available}"


def is_over_context(response: str) -> bool:
    """Tell such a refusal from a model's own text."""
    return response.startswith(_MARK)


def tokens_that_fit(lm: Any, gen_kwargs: Mapping[str, Any]) -> int | None:
    """Return how many tokens of a prompt a backend of lm-eval's takes in before it cuts, None where that is not known.

    Read in lm-eval 0.4.13: ``hf``, ``vllm``, ``sglang`` and the API models that send tokens all cut a prompt to the
    context less the tokens that may be generated. API models that send text leave it to the server.

    Args:
        lm: the model, or None.
        gen_kwargs: of the request.
    """
    length = getattr(lm, "max_length", None)
    if not isinstance(length, int) or not hasattr(lm, "tok_encode"):
        return None
    if getattr(lm, "tokenizer", None) is None or not getattr(lm, "tokenized_requests", True):
        return None
    if getattr(lm, "backend", None) == "seq2seq":
        return length  # the encoder's alone
    return length - int(gen_kwargs.get("max_gen_toks", getattr(lm, "max_gen_toks", 256)))
