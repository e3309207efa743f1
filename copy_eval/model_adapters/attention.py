"""How a batch goes through a Transformer: padded on the right, with each row's own positions."""

from bisect import bisect_left
from collections.abc import Sequence

import torch

from copy_eval.model_adapters.caches import CachedRows, growing_cache, join
from copy_eval.model_adapters.drafting import width_filled
from copy_eval.model_adapters.forward import (
    CachedModel,
    LogitsRun,
    OnTokens,
    count_at_once,
    split_columns,
    split_rows,
    tell_nobody,
)
from copy_eval.model_adapters.stretches import UnmaskedStretches

_SHARE = 0.25
"""Of rows times drafted columns, what drafts must fill: they share the step's pass, but columns are not free."""


class AttentionRun(LogitsRun):
    """A batch in a model whose layers keep keys and values of every token.

    A pass takes in each row's tokens and its draft, padded on the right. What comes later is never attended to, so the
    padding needs no mask, and the pass over the prompts takes the fast path of causal attention. Before the next pass,
    padding and rejected drafts leave the cache. Where all rows together have too many tokens for a pass, some rows go
    at a time, and a row that has too many by itself goes in stretches.
    """

    def __init__(
        self,
        model: CachedModel,
        pad_token: int,
        context: int | None,
        takes_drafts: bool,
        in_stretches: bool = True,
        on_tokens: OnTokens = tell_nobody,
    ) -> None:
        """Begin a batch.

        Args:
            model: one whose cache ``growing_cache`` knows and that has no recurrent layers.
            pad_token: see ``LogitsRun``, as for the others.
            context: the most slots, which some models have tables for; None for no limit.
            takes_drafts: see there.
            in_stretches: see there.
            on_tokens: see there.
        """
        super().__init__(model, pad_token, takes_drafts, in_stretches, on_tokens)
        self._context = context
        self._cached: CachedRows | None = None
        self._prefix: CachedRows | None = None
        self._prefix_size = 0
        self._kept: Sequence[int] = []
        self._spare: list[int] = []  # each row's last slots: padding, and what was rejected
        self._drafted: list[int] = []

    def logits(self, tokens: Sequence[Sequence[int]], drafts: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Do what ``feed`` does; return each row's logits [choice, vocab]."""
        cached = self._align(len(tokens))
        room = None if self._context is None else self._context - cached.slots
        after = width_filled([len(draft) for draft in drafts], _SHARE)
        drafts = [draft[: _least(after, room, len(row))] for row, draft in zip(tokens, drafts, strict=True)]
        new = [[*row, *draft] for row, draft in zip(tokens, drafts, strict=True)]
        self._drafted = [len(draft) for draft in drafts]
        self._kept = range(len(new))
        self._cached, self._spare, logits = self._take_in(cached, new, [len(row) - 1 for row in tokens])
        return logits

    def _take_in(
        self, cached: CachedRows, new: Sequence[Sequence[int]], first: Sequence[int]
    ) -> tuple[CachedRows, list[int], list[torch.Tensor]]:
        """Take in each row's new tokens.

        Returns:
            The rows' cache, how many of each row's last slots are padding, and the logits [choice, vocab] after the
            row's ``first`` token and all that follow.
        """
        width = max(map(len, new))
        at_once = count_at_once(cached.slots + width)
        if len(new) * width <= at_once or (len(new) == 1 and not self._in_stretches):
            return cached, *self._pass(cached, new, first)
        if len(new) == 1:
            stretches = []
            for columns in split_columns(cached.slots, width):
                stretch = new[0][columns.start : columns.stop]
                with UnmaskedStretches():
                    stretches += self._pass(cached, [stretch], [max(0, first[0] - columns.start)])[1]
                self._on_tokens(columns.stop, width)
            return cached, [0], [torch.cat(stretches)]
        parts: list[CachedRows] = []
        logits: list[torch.Tensor] = []
        for rows in split_rows(len(new), width, at_once):
            # Layers that are empty yet must not be shared.
            part = cached.select(rows) if cached.slots else self._empty(len(rows))
            part, spare, found = self._take_in(part, [new[row] for row in rows], [first[row] for row in rows])
            part.align(range(len(rows)), spare)
            parts.append(part)
            logits += found
        return join(parts, range(len(new))), [0] * len(new), logits

    def _pass(
        self, cached: CachedRows, new: Sequence[Sequence[int]], first: Sequence[int]
    ) -> tuple[list[int], list[torch.Tensor]]:
        """Do what ``_take_in`` does to rows that share a pass."""
        width, device = max(map(len, new)), self._model.device
        ids = torch.tensor([[*row, *[self._pad_token] * (width - len(row))] for row in new], device=device)
        starts, sizes = (
            torch.tensor(counts, device=device)[:, None] for counts in (cached.lengths, list(map(len, new)))
        )
        # Padding stays at its row's last position: a later one might change the frequencies of all rows (see `rope`).
        positions = starts + torch.minimum(torch.arange(width, device=device), sizes - 1)
        read = [range(at, len(row)) for at, row in zip(first, new, strict=True)]
        columns = sorted(set().union(*read)) or [width - 1]
        logits, cached.cache = self._model(ids, cached.mask(width, device), positions, cached.cache, columns)
        cached.lengths = [length + len(row) for length, row in zip(cached.lengths, new, strict=True)]
        cached.slots += width
        found = []
        for row, places in enumerate(read):
            at = bisect_left(columns, places.start)
            found.append(logits[row, at : at + len(places)])
        return [width - len(row) for row in new], found

    def _align(self, rows: int) -> CachedRows:
        """Return the cache of what stands, flush right."""
        if self._cached is None:
            self._cached = self._empty(rows)
        elif any(self._spare) or len(self._kept) < len(self._cached.lengths):
            self._cached.align(self._kept, self._spare)
        return self._cached

    def _empty(self, rows: int) -> CachedRows:
        return CachedRows(growing_cache(self._model.config), [0] * rows, 0)

    def restart(self, rows: int) -> None:
        """Go back to behind the tokens of the first ``feed``, which had one row, and go on with copies of that."""
        if self._prefix is None:
            assert self._cached is not None
            self._prefix, self._prefix_size = self._cached, self._cached.slots
        # A single row goes on in the cache of the prefix itself, which is then cropped.
        prefix = self._prefix
        prefix.lengths = [self._prefix_size]
        prefix.align([0], [prefix.slots - self._prefix_size])
        self._cached = prefix if rows == 1 else prefix.select([0] * rows)
        self._kept, self._spare = range(rows), [0] * rows

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
