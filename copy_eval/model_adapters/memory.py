"""How much memory is free on a device, and what a model keeps of a text in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

_MEMINFO = Path("/proc/meminfo")


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that could be allocated on a device; None where nothing says so.

    On a CPU this is what Linux estimates, without swapping.
    """
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    if device.type != "cpu" or not _MEMINFO.exists():
        return None
    entries = dict(line.split(":") for line in _MEMINFO.read_text().splitlines())
    return int(entries["MemAvailable"].split()[0]) * 1024


@dataclass(frozen=True)
class LayerCache:
    """What a layer keeps of a text, in bytes: keys and values for each token, and states of a fixed size."""

    state: int
    token: int
    window: int | None
    """Tokens at most; None for no limit."""


def bytes_kept(layers: Sequence[LayerCache], tokens: int) -> int:
    """Return the bytes that a text of so many tokens leaves in the cache."""
    kept = [tokens if layer.window is None else min(tokens, layer.window) for layer in layers]
    return sum(layer.state + layer.token * count for layer, count in zip(layers, kept, strict=True))


def read_layers(short: Any, long: Any, tokens: tuple[int, int]) -> tuple[LayerCache, ...] | None:
    """Return what each layer keeps of a text; None where transformers keeps it elsewhere than in a cache with layers.

    Args:
        short: transformers' cache after a text that is shorter than any window.
        long: after a longer one.
        tokens: of the two texts.
    """
    if not (hasattr(short, "layers") and hasattr(long, "layers")):
        return None
    layers = []
    for before, after in zip(short.layers, long.layers, strict=True):
        small, large = _size(vars(before)), _size(vars(after))
        token = (large - small) // (tokens[1] - tokens[0])
        window = getattr(before, "sliding_window", None)
        # transformers keeps one token less than a layer looks back on: the next one is in its window too.
        layers.append(LayerCache(small - token * tokens[0], token, None if window is None else window - 1))
    return tuple(layers)


def _size(kept: Any) -> int:
    """Return the bytes of the tensors in (dictionaries of) attributes; scalars count what went in."""
    if isinstance(kept, torch.Tensor):
        return kept.numel() * kept.element_size() if kept.dim() else 0
    return sum(map(_size, kept.values())) if isinstance(kept, dict) else 0
