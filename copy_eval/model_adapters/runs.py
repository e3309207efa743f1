"""How a batch goes through transformers' models: padded with a mask, or with states that are never padded."""

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

_PREFILL_TOKENS = 8192
"""Rows times tokens that a Mamba takes in at once, which bounds the memory."""

_TAIL = 32
"""How much longer than the shortest the prompts of a group may be. Beyond it they are taken in apart."""


class AttentionRun:
    """A batch in a Transformer: padded on the left, with an attention mask and each row's own positions."""

    def __init__(self, model: PreTrainedModel, device: torch.device, pad_token: int) -> None:
        self._model, self._device, self._pad_token = model, device, pad_token
        # Models with relative positions (ALiBi) read them off the mask and take none.
        base = cast(Any, model).get_base_model() if hasattr(model, "get_base_model") else model
        self._options = inspect.signature(base.forward).parameters.keys() & {"position_ids", "logits_to_keep"}

    def prefill(self, prompts: Sequence[Sequence[int]], room: int) -> torch.Tensor:  # noqa: ARG002
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
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only."""
        assert self._cache is not None
        self._cache.reorder_cache(cast(torch.LongTensor, rows))
        self._mask = self._mask[rows]


class RecurrentRun:
    """A batch in transformers' Mamba or Mamba-2: no token of padding ever passes through a state.

    Prompts of about equal length are taken in together up to the end of the shortest, and the rest of the longer ones
    a token at a time (given several, transformers' Mamba would begin again with an empty state). The states of all
    groups, whose size does not depend on the length, are then stacked.
    """

    def __init__(self, model: PreTrainedModel, device: torch.device) -> None:
        self._model, self._device = model, device

    def prefill(self, prompts: Sequence[Sequence[int]], room: int) -> torch.Tensor:  # noqa: ARG002
        """Take in the prompts; return the logits after each [row, vocab]."""
        groups = _groups_of_like_length(prompts)
        parts = [self._take_in([prompts[row] for row in group]) for group in groups]
        self._cache = _stack([cache for _, cache in parts])
        order = torch.tensor([row for group in groups for row in group], device=self._device).argsort()
        self._cache.reorder_cache(cast(torch.LongTensor, order))
        return torch.cat([logits for logits, _ in parts])[order]

    def _take_in(self, prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, Cache]:
        """Take in prompts, the longest first; return the logits after each and the states."""
        shortest = len(prompts[-1])
        tokens = torch.tensor([prompt[:shortest] for prompt in prompts], device=self._device)
        output = self._model(input_ids=tokens, use_cache=True, logits_to_keep=1)
        logits, cache = output.logits[:, -1], output.cache_params
        for place in range(shortest, len(prompts[0])):
            tails = [prompt[place : place + 1] for prompt in prompts if len(prompt) > place]
            tokens = torch.tensor(tails, device=self._device)
            output = self._model(input_ids=tokens, cache_params=_first_rows(cache, len(tails)), use_cache=True)
            logits[: len(tails)] = output.logits[:, -1]
        return logits, cache

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Take in one token a row [row]; return the logits after it [row, vocab]."""
        output = self._model(input_ids=tokens[:, None], cache_params=self._cache, use_cache=True)
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only."""
        self._cache.reorder_cache(cast(torch.LongTensor, rows))


def _groups_of_like_length(prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the rows in groups, the longest first within each."""
    groups: list[list[int]] = []
    for row in sorted(range(len(prompts)), key=lambda row: -len(prompts[row])):
        length = len(prompts[row])
        if groups:
            longest = len(prompts[groups[-1][0]])
            if longest - length <= _TAIL and (len(groups[-1]) + 1) * longest <= _PREFILL_TOKENS:
                groups[-1].append(row)
                continue
        groups.append([row])
    return groups


def _map_states(cache: Cache, change: Callable[[int, str, torch.Tensor], torch.Tensor]) -> Cache:
    """Return a cache with each layer's states changed; ``change`` gets the layer's number, the kind and the state."""
    changed = copy.copy(cache)
    changed.layers = [copy.copy(layer) for layer in cache.layers]
    for number, layer in enumerate(changed.layers):
        for kind in ("conv_states", "recurrent_states"):
            setattr(layer, kind, {0: change(number, kind, getattr(layer, kind)[0])})
    return changed


def _first_rows(cache: Cache, count: int) -> Cache:
    """Return a view of the first rows: steps through it move on the states of the whole cache."""
    return _map_states(cache, lambda _number, _kind, state: state[:count])


def _stack(caches: Sequence[Cache]) -> Cache:
    """Return the rows of all caches under one another."""
    return _map_states(
        caches[0],
        lambda number, kind, _state: torch.cat([getattr(cache.layers[number], kind)[0] for cache in caches]),
    )
