"""How a batch goes through a Transformer: padded on the right, with each row's own positions."""

from collections.abc import Sequence

import torch

from copy_eval.model_adapters.caches import CachedRows, growing_cache
from copy_eval.model_adapters.drafting import width_filled
from copy_eval.model_adapters.forward import CachedModel, most_likely

_SHARE = 0.25
"""Of rows times drafted columns, what drafts must fill: they share the step's pass, but columns are not free."""


class AttentionRun:
    """A batch in a model whose layers keep keys and values of every token.

    A pass takes in each row's tokens and its draft, padded on the right. What comes later is never attended to, so the
    padding needs no mask, and the pass over the prompts takes the fast path of causal attention. Before the next pass,
    padding and rejected drafts leave the cache.
    """

    def __init__(self, model: CachedModel, pad_token: int, context: int | None, takes_drafts: bool) -> None:
        """Begin a batch.

        Args:
            model: one whose cache ``growing_cache`` knows and that has no recurrent layers.
            pad_token: what to pad with.
            context: the most slots, which some models have tables for; None for no limit.
            takes_drafts: see ``Run``.
        """
        self._model, self._pad_token, self._context = model, pad_token, context
        self._takes_drafts = takes_drafts
        self._cached: CachedRows | None = None
        self._kept: Sequence[int] = []
        self._spare: list[int] = []  # each row's last slots: padding, and what was rejected
        self._drafted: list[int] = []

    @property
    def takes_drafts(self) -> bool:
        """Whether drafts are checked in this batch."""
        return self._takes_drafts

    def feed(self, tokens: Sequence[Sequence[int]], drafts: Sequence[Sequence[int]]) -> list[list[int]]:
        """Take in each row's tokens and its draft; return the choices after the last token and each drafted one."""
        return most_likely(self.logits(tokens, drafts))

    def logits(self, tokens: Sequence[Sequence[int]], drafts: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Do what ``feed`` does; return each row's logits [choice, vocab]."""
        cached, device = self._align(len(tokens)), self._model.device
        room = None if self._context is None else self._context - cached.slots
        after = width_filled([len(draft) for draft in drafts], _SHARE)
        drafts = [draft[: _least(after, room, len(row))] for row, draft in zip(tokens, drafts, strict=True)]
        new = [[*row, *draft] for row, draft in zip(tokens, drafts, strict=True)]
        width = max(map(len, new))
        ids = torch.tensor([row + [self._pad_token] * (width - len(row)) for row in new], device=device)
        starts, sizes = (
            torch.tensor(counts, device=device)[:, None] for counts in (cached.lengths, list(map(len, new)))
        )
        # Padding stays at its row's last position: a later one might change the frequencies of all rows (see `rope`).
        positions = starts + torch.minimum(torch.arange(width, device=device), sizes - 1)
        columns = [range(len(before) - 1, len(row)) for before, row in zip(tokens, new, strict=True)]
        logits, cached.cache = self._model(ids, cached.mask(width, device), positions, cached.cache, columns)
        cached.lengths = [length + len(row) for length, row in zip(cached.lengths, new, strict=True)]
        cached.slots += width
        self._spare = [width - len(row) for row in new]
        self._drafted = [len(draft) for draft in drafts]
        self._kept = range(len(new))
        return logits

    def _align(self, rows: int) -> CachedRows:
        """Return the cache of what stands, flush right."""
        if self._cached is None:
            self._cached = CachedRows(growing_cache(self._model.config), [0] * rows, 0)
        elif any(self._spare) or len(self._kept) < len(self._cached.lengths):
            self._cached.align(self._kept, self._spare)
        return self._cached

    def keep(self, rows: Sequence[int], accepted: Sequence[int]) -> None:
        """Go on with these rows only, and of their last drafts with the first ``accepted`` tokens."""
        assert self._cached is not None
        self._kept = rows
        for row, count in zip(rows, accepted, strict=True):
            rejected = self._drafted[row] - count
            self._cached.lengths[row] -= rejected
            self._spare[row] += rejected


def _least(after: int, room: int | None, tokens: int) -> int:
    return after if room is None else max(0, min(after, room - tokens))
