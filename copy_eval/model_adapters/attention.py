"""How a batch goes through a Transformer: padded, with an attention mask and each row's own positions."""

import inspect
from collections.abc import Sequence
from typing import Any, cast

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from copy_eval.model_adapters.drafting import width_filled

_SHARE = 0.25
"""Of rows times drafted columns, what drafts must fill: they share the step's pass, but columns are not free."""


class AttentionRun:
    """A batch in a Transformer.

    The last tokens before the drafts stand in one column; what is shorter is padded, tokens on the left and drafts on
    the right. The cache has a slot a column, and the mask hides a row's padding and what it rejected.
    """

    def __init__(self, model: PreTrainedModel, device: torch.device, pad_token: int) -> None:
        self._model, self._device, self._pad_token = model, device, pad_token
        base = cast(Any, model).get_base_model() if hasattr(model, "get_base_model") else model
        # Models with relative positions (ALiBi) read them off the mask, or count slots, and take none.
        self._options = inspect.signature(base.forward).parameters.keys() & {"position_ids", "logits_to_keep"}
        self._mask = torch.zeros(0, 0, dtype=torch.long, device=device)  # [row, slot]
        self._drafted = 0  # the last slots, which hold drafts
        self._cache: Cache | None = None
        self._takes_drafts = "position_ids" in self._options and _has_plain_cache(base)
        if self._takes_drafts:
            self._cache = DynamicCache(config=base.config)

    @property
    def takes_drafts(self) -> bool:
        """Whether slots in the midst of the cache can be hidden: only with positions and a plain, growing cache."""
        return self._takes_drafts

    def feed(self, tokens: Sequence[Sequence[int]], drafts: Sequence[Sequence[int]]) -> list[list[int]]:
        """Take in each row's tokens and its draft; return the choices after the last token and each drafted one."""
        after = width_filled([len(draft) for draft in drafts], _SHARE)
        drafts = [draft[:after] for draft in drafts]
        width = max(map(len, tokens))
        pads = [(width - len(row), after - len(draft)) for row, draft in zip(tokens, drafts, strict=True)]
        pad = [self._pad_token]
        ids = torch.tensor(
            [
                pad * left + [*row, *draft] + pad * right
                for row, draft, (left, right) in zip(tokens, drafts, pads, strict=True)
            ],
            device=self._device,
        )
        mask = torch.tensor(
            [[0] * left + [1] * (width + after - left - right) + [0] * right for left, right in pads],
            device=self._device,
        )
        seen = self._mask if len(self._mask) else mask[:, :0]
        self._mask = torch.cat([seen, mask], dim=1)
        self._drafted = after
        positions = seen.sum(dim=1, keepdim=True) + mask.cumsum(dim=1) - 1
        choices = self._forward(ids, positions.clamp(min=0), after + 1)
        return [row[: len(draft) + 1] for row, draft in zip(choices, drafts, strict=True)]

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor, last: int) -> list[list[int]]:
        """Return the choices in the last columns."""
        options: dict[str, Any] = {"position_ids": positions, "logits_to_keep": last}
        output = self._model(
            input_ids=ids,
            attention_mask=self._mask,
            past_key_values=self._cache,
            use_cache=True,
            **{name: options[name] for name in self._options},
        )
        self._cache = output.past_key_values
        choices: list[list[int]] = output.logits[:, -last:].argmax(dim=-1).tolist()
        return choices

    def keep(self, rows: Sequence[int], accepted: Sequence[int]) -> None:
        """Go on with these rows only, and of their last drafts with the first ``accepted`` tokens.

        Slots that are hidden in every row are given back.
        """
        assert self._cache is not None
        if len(rows) < len(self._mask):
            index = torch.tensor(rows, device=self._device)
            self._cache.reorder_cache(cast(torch.LongTensor, index))
            self._mask = self._mask[index]
        size = self._mask.shape[1]
        for row, count in enumerate(accepted):
            self._mask[row, size - self._drafted + count :] = 0
        if spare := self._drafted - max(accepted):
            self._cache.crop(-spare)
            self._mask = self._mask[:, :-spare]


def _has_plain_cache(model: PreTrainedModel) -> bool:
    """Tell whether every layer keeps all its keys, with attention that reads any mask."""
    config = model.config
    return getattr(config, "_attn_implementation", None) in ("sdpa", "eager") and all(
        type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers
    )
