"""The cache of a batch in transformers, whose rows lie flush right whatever their lengths are.

Each row's tokens stand side by side, without gaps, and end in the same slot:

    _ _ a b c
    a b c d e
    _ a b c d

So within a row, slots are as far apart as tokens. Models that count slots rather than positions (sliding windows and
chunks in transformers' masks, the local layers of GPT-Neo, ALiBi) therefore see what they would see of the row alone.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from transformers.cache_utils import (
    Cache,
    DummyLayer,
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionLayer,
)

_SLOTS = ("keys", "values")
"""What a layer of attention has, each a tensor [row, head, slot, width]."""

_STATES = ("conv_states", "recurrent_states")
"""What a recurrent layer has, each a dictionary of tensors [row, ...]."""

_ROOM = 64
"""Slots that are left free behind those of a layer, so that as many steps need not copy what it holds."""


class GrowingLayer(DynamicLayer):
    """A layer of attention that writes new slots behind the others, where transformers copies all of them each time."""

    keys: torch.Tensor
    values: torch.Tensor

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Take in keys and values [row, head, slot, width]; return those of all slots."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys, self.values = _append(self.keys, key_states), _append(self.values, value_states)
        return self.keys, self.values


class GrowingWindowLayer(GrowingLayer):
    """Such a layer that looks back on a window only, and keeps what lies before it in case that drafts are rejected."""

    is_sliding = True

    def __init__(self, window: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._window = window

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Take in keys and values [row, head, slot, width]; return those that one of the new tokens looks back on."""
        keys, values = super().update(key_states, value_states)
        hidden = self._count_seen(keys.shape[-2], key_states.shape[-2])[1]
        return keys[..., hidden:, :], values[..., hidden:, :]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return how many slots ``update`` will return for so many tokens, and how many it will leave out."""
        held: int = self.get_seq_length()
        return self._count_seen(held + query_length, query_length)

    def _count_seen(self, slots: int, new: int) -> tuple[int, int]:
        seen = min(slots, self._window - 1 + new)
        return seen, slots - seen


class GrowingHybridLayer(LinearAttentionAndFullAttentionLayer):
    """Such a layer that has a recurrent state besides."""

    keys: torch.Tensor
    values: torch.Tensor
    update = GrowingLayer.update


def _append(held: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """Return the slots of both [..., slot, width], without a copy of the first where there is room behind them."""
    slots = held.shape[-2] if held.dim() > 1 else 0  # transformers begins with an empty vector
    size, width = slots + new.shape[-2], new.shape[-1]
    if held.numel() and _count_slots_of_storage(held) >= size:
        grown = held.as_strided((*held.shape[:-2], size, width), held.stride())
    else:
        grown = new.new_empty(*new.shape[:-2], size + _ROOM, width)[..., :size, :]
        if slots:
            grown[..., :slots, :] = held
    grown[..., slots:, :] = new
    return grown


def _count_slots_of_storage(held: torch.Tensor) -> int:
    """Return how many slots the storage has whose first ones are ``held``; 0 where ``held`` is no beginning of one."""
    width = held.shape[-1]
    slots = held.stride(-3) // width
    whole = torch.empty(*held.shape[:-2], slots, width, dtype=held.dtype, device="meta")
    is_beginning = held.storage_offset() == 0 and held.stride() == whole.stride()
    return slots if is_beginning and held.untyped_storage().nbytes() == whole.nbytes else 0


def growing_cache(config: Any) -> DynamicCache | None:
    """Return an empty cache that keeps every token's keys, also in layers that look back on a window only.

    Args:
        config: the model's.

    Returns:
        The cache; None if a layer is of a kind whose rows and slots are not known here.
    """
    try:
        cache = DynamicCache(config=config)
    except (AttributeError, KeyError):  # layers that transformers does not know by name
        return None
    cache.layers = [_make_growing(layer) for layer in cache.layers]
    known = (GrowingLayer, GrowingWindowLayer, GrowingHybridLayer, DummyLayer, LinearAttentionLayer)
    return cache if all(type(layer) in known for layer in cache.layers) else None


def _make_growing(layer: Any) -> Any:
    if type(layer) is DynamicSlidingWindowLayer:
        return GrowingWindowLayer(layer.sliding_window)
    if type(layer) is DynamicLayer:
        return GrowingLayer()  # type: ignore[no-untyped-call]
    if type(layer) is LinearAttentionAndFullAttentionLayer:
        return GrowingHybridLayer(number_of_states=layer.number_of_states)
    return layer


def is_recurrent(cache: Cache) -> bool:
    """Tell whether a layer holds a state, from which no token can be taken back."""
    return any(isinstance(layer, LinearAttentionLayer) for layer in cache.layers)


@dataclass
class CachedRows:
    """A batch's cache, how many tokens each row has in it, and how many slots it has."""

    cache: Cache | None
    lengths: list[int]
    slots: int

    def mask(self, width: int, device: torch.device) -> torch.Tensor:
        """Return the attention mask [row, slot] of a pass over ``width`` more tokens."""
        first = self.slots - torch.tensor(self.lengths, device=device)
        return (torch.arange(self.slots + width, device=device) >= first[:, None]).long()

    def select(self, rows: Sequence[int]) -> "CachedRows":
        """Return a copy of some rows; what a pass does to it leaves this one as it is.

        A copy of all rows shares their memory: it is of no use any more once this one itself has gone on.
        """
        assert self.cache is not None
        some = None if list(rows) == list(range(len(self.lengths))) else rows
        cache = copy.copy(self.cache)
        cache.layers = [_select_rows(layer, some) for layer in self.cache.layers]
        return CachedRows(cache, [self.lengths[row] for row in rows], self.slots)

    def align(self, rows: Sequence[int], spare: Sequence[int]) -> None:
        """Go on with these rows, each without its last ``spare`` slots; ``lengths`` count what is left of all rows."""
        assert self.cache is not None
        lengths = [self.lengths[row] for row in rows]
        slots = max(lengths)
        shift = _Shift(self.slots, rows, [self.slots - spare[row] - slots for row in rows], slots)
        for layer in self.cache.layers:
            if isinstance(layer, DynamicLayer) and layer.get_seq_length() > 0:
                for name in _SLOTS:
                    setattr(layer, name, shift(getattr(layer, name)))
        self.lengths, self.slots = lengths, slots


def join(parts: Sequence[CachedRows], order: Sequence[int]) -> CachedRows:
    """Return the rows of all parts, in this order."""
    slots = max(part.slots for part in parts)
    caches = [part.cache for part in parts if part.cache is not None]
    cache = copy.copy(caches[0])
    cache.layers = [_join_layers(layers, slots, order) for layers in zip(*(c.layers for c in caches), strict=True)]
    lengths = [length for part in parts for length in part.lengths]
    return CachedRows(cache, [lengths[place] for place in order], slots)


def _select_rows(layer: Any, rows: Sequence[int] | None) -> Any:
    layer = copy.copy(layer)
    if isinstance(layer, LinearAttentionLayer):
        for name in _STATES:
            states = getattr(layer, name)
            # A pass writes into states, but new keys and values only behind the old.
            setattr(
                layer, name, {i: s if s is None else s.clone() if rows is None else s[rows] for i, s in states.items()}
            )
    if isinstance(layer, DynamicLayer) and layer.is_initialized and rows is not None:
        for name in _SLOTS:
            setattr(layer, name, getattr(layer, name)[rows])
    return layer


def _join_layers(layers: Sequence[Any], slots: int, order: Sequence[int]) -> Any:
    joined = copy.copy(layers[0])
    if isinstance(joined, LinearAttentionLayer):
        for name in _STATES:
            parts = [getattr(layer, name) for layer in layers]
            setattr(
                joined, name,
                {i: None if s is None else torch.cat([part[i] for part in parts])[order] for i, s in parts[0].items()},
            )  # fmt: skip
    if isinstance(joined, DynamicLayer) and joined.is_initialized:
        for name in _SLOTS:
            tensors = [getattr(layer, name) for layer in layers]
            wide = [functional.pad(tensor, (0, 0, slots - tensor.shape[-2], 0)) for tensor in tensors]
            setattr(joined, name, torch.cat(wide)[order])
    return joined


class _Shift:
    """Takes rows out of a tensor of slots, each from a slot of its own on; what is before slot 0 will be hidden."""

    def __init__(self, size: int, rows: Sequence[int], starts: Sequence[int], slots: int) -> None:
        self._size, self._rows, self._starts, self._slots = size, list(rows), list(starts), slots
        self._flat: dict[tuple[int, torch.device], torch.Tensor] = {}

    def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the rows of a tensor [row, head, slot, width]."""
        if len(set(self._starts)) == 1:
            tensor = tensor[:, :, self._starts[0] : self._starts[0] + self._slots]
            return tensor if len(self._rows) == len(tensor) else tensor[self._rows]
        heads, device = tensor.shape[1], tensor.device
        if (heads, device) not in self._flat:
            first = torch.tensor(self._rows, device=device)[:, None] * heads + torch.arange(heads, device=device)
            slots = torch.tensor(self._starts, device=device)[:, None] + torch.arange(self._slots, device=device)
            flat = first[:, :, None] * self._size + slots.clamp(min=0)[:, None, :]
            self._flat[heads, device] = flat.flatten()
        # Whole slots are copied, as an embedding does, which is faster than single numbers.
        picked = tensor.reshape(-1, tensor.shape[-1]).index_select(0, self._flat[heads, device])
        return picked.view(len(self._rows), heads, self._slots, -1)
