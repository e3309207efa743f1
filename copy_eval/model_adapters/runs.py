"""How a batch goes through transformers' models: padded with a mask, or with states that are never padded."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

_PREFILL_TOKENS = 8192
"""Rows times tokens that are prefilled at once. transformers' Mamba keeps three tensors of tokens x inner width x state
size: some 8 GB for the largest published model (2.8b) in float32 at this bound."""


class AttentionRun:
    """A batch in a Transformer: padded on the left, with an attention mask and each row's own positions."""

    def __init__(self, model: PreTrainedModel, device: torch.device, pad_token: int) -> None:
        self._model, self._device, self._pad_token = model, device, pad_token
        # Models with relative positions (ALiBi) read them off the mask and take none.
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._options = inspect.signature(base.forward).parameters.keys() & {"position_ids", "logits_to_keep"}

    def prefill(self, prompts: Sequence[Sequence[int]], room: int) -> torch.Tensor:
        """Take in the prompts in one forward pass; return the logits after each [row, vocab]."""
        longest = max(map(len, prompts))
        padded = [[self._pad_token] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
        mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        self._mask = torch.tensor(mask, device=self._device)
        self._cache: Cache | None = None
        positions = (self._mask.cumsum(dim=1) - 1).clamp(min=0)
        return self._forward(torch.tensor(padded, device=self._device), positions)

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Take in one token a row [row]; return the logits after it [row, vocab]."""
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=1)
        return self._forward(tokens[:, None], self._mask.sum(dim=1, keepdim=True) - 1)

    def _forward(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        options: dict[str, Any] = {"position_ids": positions, "logits_to_keep": 1}
        output = self._model(
            input_ids=tokens,
            attention_mask=self._mask,
            past_key_values=self._cache,
            use_cache=True,
            **{name: options[name] for name in self._options},
        )
        self._cache = output.past_key_values
        return output.logits[:, -1].float()

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only."""
        assert self._cache is not None
        self._cache.reorder_cache(rows)
        self._mask = self._mask[rows]


class RecurrentRun:
    """A batch in transformers' Mamba or Mamba-2: no token of padding ever passes through a state.

    Rows of equal length are prefilled together, others apart; the states, whose size does not depend on the length, are then
    stacked. After that one token at a time: given several, transformers' Mamba would begin again with an empty state.
    """

    def __init__(self, model: PreTrainedModel, device: torch.device) -> None:
        self._model, self._device = model, device

    def prefill(self, prompts: Sequence[Sequence[int]], room: int) -> torch.Tensor:
        """Take in the prompts; return the logits after each [row, vocab]."""
        order: list[int] = []
        parts: list[tuple[torch.Tensor, Cache]] = []
        for rows in _groups_of_equal_length(prompts):
            tokens = torch.tensor([prompts[row] for row in rows], device=self._device)
            output = self._model(input_ids=tokens, use_cache=True, logits_to_keep=1)
            order += rows
            parts.append((output.logits[:, -1], output.cache_params))
        self._cache = _stack([cache for _, cache in parts])
        back = torch.tensor(order, device=self._device).argsort()
        self._cache.reorder_cache(back)
        return torch.cat([logits for logits, _ in parts])[back]

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Take in one token a row [row]; return the logits after it [row, vocab]."""
        output = self._model(input_ids=tokens[:, None], cache_params=self._cache, use_cache=True)
        return output.logits[:, -1]

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only."""
        self._cache.reorder_cache(rows)


def _groups_of_equal_length(prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    by_length: dict[int, list[int]] = {}
    for row, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(row)
    groups = []
    for length, rows in by_length.items():
        size = max(1, _PREFILL_TOKENS // length)
        groups += [rows[start : start + size] for start in range(0, len(rows), size)]
    return groups


def _stack(caches: Sequence[Cache]) -> Cache:
    """Put the rows of the caches under one another, in the first of them."""
    for layers in zip(*(cache.layers for cache in caches), strict=True):
        for states in ("conv_states", "recurrent_states"):
            setattr(layers[0], states, {0: torch.cat([getattr(layer, states)[0] for layer in layers])})
    return caches[0]
