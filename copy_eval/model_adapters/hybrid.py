"""How a batch goes through a model with recurrent layers, alone or among attention layers (a hybrid)."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, cast

import torch

from copy_eval.model_adapters.caches import CachedRows, growing_cache, join
from copy_eval.model_adapters.drafting import width_filled
from copy_eval.model_adapters.forward import (
    CachedModel,
    LogitsRun,
    OnTokens,
    count_at_once,
    most_likely,
    split_columns,
    split_rows,
    tell_nobody,
)
from copy_eval.model_adapters.stretches import UnmaskedStretches

_SHARE = 0.5
"""Of rows times drafted columns, what drafts must fill: a pass of their own takes them in."""

_WORTH = 2
"""Tokens of a draft below which a pass for it does not pay."""

_CHUNK = 32
"""Tokens of a chunk of a Mamba-2 on a CPU."""


def shorten_chunks(model: Any) -> None:
    """Let the Mamba-2 layers of a model on a CPU compute in short chunks, with the same result up to rounding.

    transformers pads a text to whole chunks and computes a number for each pair of a chunk's tokens in each head. The
    usual 256 tokens suit a GPU's kernels; on a CPU, a pass over 30 tokens then takes seven times as long as it need.
    """
    for module in model.modules():
        size = getattr(module, "chunk_size", None)
        if isinstance(size, int) and hasattr(module, "A_log"):
            module.chunk_size = min(size, _CHUNK)


class HybridRun(LogitsRun):
    """A batch in a model whose states cannot give a token back.

    The prompts are padded on the left, where the model's own mask keeps padding out of its states. Later no padding is
    possible: rows that take in equally many tokens share a pass. A draft goes in after its row's tokens, and only if it
    begins with the model's choice. It moves on a copy of the row, which takes the row's place if the whole draft
    stands; if not, the row takes in the part that stands with its next tokens.

    Where all rows together have too many tokens for a pass, some rows go at a time, and a row that has too many by
    itself goes in stretches.

    A model with a cache of its own kind goes through this run too, without drafts.
    """

    def __init__(
        self,
        model: CachedModel,
        pad_token: int,
        takes_drafts: bool,
        in_stretches: bool = True,
        on_tokens: OnTokens = tell_nobody,
    ) -> None:
        """Begin a batch; the model may be any, and ``LogitsRun`` says the rest."""
        super().__init__(model, pad_token, takes_drafts, in_stretches, on_tokens)
        self._cached: CachedRows | None = None
        self._prefix: CachedRows | None = None
        self._again: list[Sequence[int]] = []  # each row's tokens that stand and are not in its state
        self._drafts: dict[int, Sequence[int]] = {}  # what was taken in of each row's draft
        self._after: CachedRows | None = None  # those rows behind their drafts

    def logits(self, tokens: Sequence[Sequence[int]], drafts: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Do what ``feed`` does; return each row's logits [choice, vocab]."""
        if self._cached is None:
            self._cached, logits = self._take_in_prompts(tokens)
        else:
            logits = self._take_in([[*part, *row] for part, row in zip(self._again, tokens, strict=True)])
        self._again = [[] for _ in tokens]
        self._drafts, self._after = {}, None
        if any(drafts):
            for row, more in self._check(drafts, most_likely(logits)).items():
                logits[row] = torch.cat([logits[row], more])
        return logits

    def _take_in_prompts(self, prompts: Sequence[Sequence[int]]) -> tuple[CachedRows, list[torch.Tensor]]:
        """Return the rows behind their prompts, and the logits after each."""
        lengths, device = list(map(len, prompts)), self._model.device
        width = max(lengths)
        at_once = count_at_once(width)
        cached = CachedRows(growing_cache(self._model.config), lengths, width)
        if len(prompts) == 1 and self._in_stretches:
            cached.lengths, cached.slots = [0], 0
            return cached, list(self._move_on(cached, prompts, 1))
        if len(prompts) > 1 and self._takes_drafts and len(prompts) * width > at_once:
            passes = split_rows(len(prompts), width, at_once)
            parts = [self._take_in_prompts([prompts[row] for row in rows]) for rows in passes]
            return join([part for part, _ in parts], range(len(prompts))), [row for _, found in parts for row in found]
        ids = torch.tensor([[self._pad_token] * (width - len(row)) + list(row) for row in prompts], device=device)
        mask = cached.mask(0, device)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        logits, cached.cache = self._model(ids, mask, positions, cached.cache, [width - 1])
        return cached, list(logits)

    def _take_in(self, tokens: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Take in each row's tokens; return the logits after the last."""
        assert self._cached is not None
        sizes = sorted({len(row) for row in tokens})
        if len(sizes) == 1:
            return list(self._move_on(self._cached, tokens, 1))
        groups = [[place for place, row in enumerate(tokens) if len(row) == size] for size in sizes]
        parts = [self._cached.select(rows) for rows in groups]
        logits = [
            self._move_on(part, [tokens[row] for row in rows], 1) for part, rows in zip(parts, groups, strict=True)
        ]
        order = _places([row for rows in groups for row in rows])
        self._cached = join(parts, order)
        return list(torch.cat(logits)[order])

    def _move_on(self, cached: CachedRows, tokens: Sequence[Sequence[int]], last: int) -> torch.Tensor:
        """Move these rows on by equally many tokens each; return the logits after the last of them."""
        width, device = len(tokens[0]), self._model.device
        stretches = split_columns(cached.slots, width, len(tokens)) if self._in_stretches else [range(width)]
        logits = []
        for stretch in stretches:
            size = len(stretch)
            ids = torch.tensor([list(row[stretch.start : stretch.stop]) for row in tokens], device=device)
            positions = torch.tensor(cached.lengths, device=device)[:, None] + torch.arange(size, device=device)
            columns = range(max(0, width - last - stretch.start), size) or range(size - 1, size)
            with UnmaskedStretches() if size < width else nullcontext():
                found, cached.cache = self._model(ids, cached.mask(size, device), positions, cached.cache, columns)
            logits.append(found)
            cached.lengths = [length + size for length in cached.lengths]
            cached.slots += size
            if size < width:
                self._on_tokens(stretch.stop, width)
        return torch.cat(logits, dim=1)[:, -last:]

    def _check(self, drafts: Sequence[Sequence[int]], choices: Sequence[Sequence[int]]) -> dict[int, torch.Tensor]:
        """Let copies of the rows take in drafts of one length that begin rightly; return their logits by row."""
        assert self._cached is not None
        good = [draft if draft[:1] == chosen else [] for draft, chosen in zip(drafts, choices, strict=True)]
        width = width_filled([len(draft) for draft in good], _SHARE)
        if width < _WORTH:
            return {}
        self._drafts = {row: draft[:width] for row, draft in enumerate(good) if len(draft) >= width}
        self._after = self._cached.select(list(self._drafts))
        return dict(zip(self._drafts, self._move_on(self._after, list(self._drafts.values()), width), strict=True))

    def restart(self, rows: int) -> None:
        """Go back to behind the tokens of the first ``feed``, which had one row, and go on with copies of that."""
        self._prefix = self._prefix or self._cached
        assert self._prefix is not None
        self._cached = self._prefix.select([0] * rows)
        self._again, self._drafts, self._after = [[] for _ in range(rows)], {}, None

    def keep(self, rows: Sequence[int], accepted: Sequence[int]) -> None:
        """Go on with these rows only, and of their last drafts with the first ``accepted`` tokens."""
        assert self._cached is not None
        counts = dict(zip(rows, accepted, strict=True))
        right = [row for row in rows if row in self._drafts and counts[row] == len(self._drafts[row])]
        self._again = [[] if row in right else self._drafts.get(row, [])[: counts[row]] for row in rows]
        if right:
            assert self._after is not None
            drafted = list(self._drafts)
            others = [row for row in rows if row not in right]
            parts = [self._after.select([drafted.index(row) for row in right])]
            parts += [self._cached.select(others)] if others else []
            order = [*right, *others]
            self._cached = join(parts, [order.index(row) for row in rows])
        elif len(rows) < len(self._cached.lengths):
            assert self._cached.cache is not None
            # Each kind of cache has this.
            index = torch.tensor(rows, device=self._model.device)
            self._cached.cache.reorder_cache(cast(torch.LongTensor, index))
            self._cached.lengths = [self._cached.lengths[row] for row in rows]


def _places(order: Sequence[int]) -> list[int]:
    """Return where each number stands in a permutation."""
    return sorted(range(len(order)), key=order.__getitem__)
