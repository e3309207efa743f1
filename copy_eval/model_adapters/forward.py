"""Forward passes of a causal language model over a cache, whatever the model calls its arguments."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from math import isqrt
from typing import Any, TypeAlias

import torch
from transformers.cache_utils import Cache

TOKENS_AT_ONCE = 8192
"""Rows times tokens of a pass at most. A pass needs some ten times the widest layer for each of them, and nothing else
that grows with a prompt but the cache."""

PAIRS_AT_ONCE = 2**26
"""Rows times tokens times slots of a pass at most: an attention mask has a number for each, 256 MiB in float32."""

_SHORTEST = 64
"""Tokens that may always go into a pass."""


def count_at_once(slots: int) -> int:
    """Return how many tokens, of all rows together, may go into a pass over so many slots."""
    return max(_SHORTEST, min(TOKENS_AT_ONCE, PAIRS_AT_ONCE // slots))


def split_columns(slots: int, width: int, rows: int = 1) -> Iterator[range]:
    """Divide long rows into stretches, each as long as a pass may be behind all before it.

    Args:
        slots: that the cache holds already.
        width: tokens of each row.
        rows: that go on side by side.
    """
    start = 0
    while start < width:
        before = slots + start
        # The longest for which rows * size * (before + size) is at most PAIRS_AT_ONCE.
        longest = (isqrt(before**2 + 4 * PAIRS_AT_ONCE // rows) - before) // 2
        size = max(1, max(_SHORTEST, min(TOKENS_AT_ONCE, longest * rows)) // rows)
        yield range(start, min(width, start + size))
        start += size


def split_rows(rows: int, width: int, at_once: int) -> list[range]:
    """Divide rows evenly into passes of at most ``at_once`` tokens, or of one row where that has more.

    Args:
        rows: how many there are.
        width: tokens of each.
        at_once: see above.
    """
    passes = -(-rows // max(1, at_once // width))
    size = -(-rows // passes)
    return [range(start, min(rows, start + size)) for start in range(0, rows, size)]


OnTokens: TypeAlias = Callable[[int, int], None]
"""Is told how many tokens of a long prompt have been taken in, and of how many."""


def tell_nobody(taken: int, tokens: int) -> None:
    """Stand where nobody asks how far a prompt is."""


class CachedModel:
    """A causal language model of transformers, called with a cache."""

    def __init__(self, model: Any, device: torch.device) -> None:
        # A compiled module says nothing of its arguments, and would be compiled anew for each length.
        self._model = getattr(model, "_orig_mod", model)
        base = self._model.get_base_model() if hasattr(self._model, "get_base_model") else self._model
        names = inspect.signature(base.forward).parameters.keys()
        # Models with relative positions (ALiBi) read them off the mask, or count slots, and take none.
        self._options = names & {"attention_mask", "position_ids", "logits_to_keep"}
        self._cache_name = "past_key_values" if "past_key_values" in names else "cache_params"
        self.config = base.config
        self.dtype: torch.dtype = base.dtype
        self.device = device

    def __call__(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        positions: torch.Tensor,
        cache: Cache | None,
        columns: Sequence[int],
    ) -> tuple[torch.Tensor, Cache]:
        """Return the logits in some columns [row, column, vocab], and the cache.

        Args:
            ids: [row, column].
            mask: [row, slot], of what the cache holds and the new columns.
            positions: [row, column].
            cache: of the tokens before; None lets the model make one.
            columns: whose logits are read, in ascending order; those of the others are not computed, if the model can
                leave them out.
        """
        width = ids.shape[1]
        at_the_end = list(columns) == list(range(width - len(columns), width))
        kept = len(columns) if at_the_end else torch.tensor(columns, device=ids.device)
        options: dict[str, Any] = {"attention_mask": mask, "position_ids": positions, "logits_to_keep": kept}
        if self._cache_name == "cache_params" and width == 1:
            options["attention_mask"] = None  # no layer has slots, and a single token no padding
        output = self._model(
            input_ids=ids,
            use_cache=True,
            **{self._cache_name: cache},
            **{name: options[name] for name in self._options},
        )
        logits = output.logits
        return logits if logits.shape[1] == len(columns) else logits[:, columns], getattr(output, self._cache_name)

    def from_the_start(self, tokens: Sequence[int]) -> torch.Tensor:
        """Return the logits after each token of a text [token, vocab], which goes through the model as a whole."""
        return self._model(input_ids=torch.tensor([tokens], device=self.device), use_cache=False).logits[0]


def most_likely(logits: Sequence[torch.Tensor]) -> list[list[int]]:
    """Return each row's choices by its logits [choice, vocab]."""
    choices = iter(torch.cat(list(logits)).argmax(dim=-1).tolist())
    return [[next(choices) for _ in row] for row in logits]


class LogitsRun(ABC):
    """A ``Run`` by way of logits, which the self-test compares."""

    def __init__(
        self,
        model: CachedModel,
        pad_token: int,
        takes_drafts: bool,
        in_stretches: bool,
        on_tokens: OnTokens = tell_nobody,
    ) -> None:
        """Begin a batch.

        Args:
            model: with drafts, one whose cache ``growing_cache`` knows.
            pad_token: what to pad with.
            takes_drafts: see ``Run``.
            in_stretches: whether a long text may go in by several passes, in a model that also takes drafts.
            on_tokens: is told after each of these passes.
        """
        self._model, self._pad_token, self._on_tokens = model, pad_token, on_tokens
        self._takes_drafts, self._in_stretches = takes_drafts, takes_drafts and in_stretches

    @property
    def takes_drafts(self) -> bool:
        """Whether drafts are checked in this batch."""
        return self._takes_drafts

    def feed(self, tokens: Sequence[Sequence[int]], drafts: Sequence[Sequence[int]]) -> list[list[int]]:
        """Take in each row's tokens and its draft; return the choices after the last token and each drafted one."""
        return most_likely(self.logits(tokens, drafts))

    @abstractmethod
    def logits(self, tokens: Sequence[Sequence[int]], drafts: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Do what ``feed`` does; return each row's logits [choice, vocab]."""

    @abstractmethod
    def keep(self, rows: Sequence[int], accepted: Sequence[int]) -> None:
        """Go on with these rows only, and of their last drafts with the first ``accepted`` tokens."""
