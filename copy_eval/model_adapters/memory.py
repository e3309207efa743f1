"""How much memory is free on a device, and what a model keeps of a text in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that could be allocated on a device; None where nothing says so.

    On a CPU this is what Linux estimates, without swapping, or less where a container is limited to less.
    """
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    meminfo = _PROC / "meminfo"
    if device.type != "cpu" or not meminfo.exists():
        return None
    available = int(_read_entries(meminfo.read_text())["MemAvailable:"]) * 1024
    return max(0, min([available, *_left_by_control_groups()]))


def _left_by_control_groups() -> Iterator[int]:
    """Yield the bytes that each limit on the process's control groups leaves (cgroup v1 and v2)."""
    groups = _PROC / "self" / "cgroup"
    for line in groups.read_text().splitlines() if groups.exists() else []:
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            root, names = _CGROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root, names = _CGROUPS / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # A limit holds for all groups below it. A container may see its own group in the place of the root.
        own = root / path.lstrip("/")
        for group in [own, *own.parents][: len(own.parts) - len(root.parts) + 1]:
            yield from _left_by(group, *names)


def _left_by(group: Path, limit: str, usage: str, inactive: str) -> Iterator[int]:
    try:
        left = int((group / limit).read_text()) - int((group / usage).read_text())
        # Files that were read long ago count as used, but make room.
        yield left + int(_read_entries((group / "memory.stat").read_text()).get(inactive, 0))
    except (OSError, ValueError):  # no such group is seen here, or it has no limit ("max")
        return


def _read_entries(text: str) -> dict[str, str]:
    """Return the numbers of lines such as ``MemAvailable:  7500000 kB`` by their names."""
    return {name: number for name, number, *_ in (line.split() for line in text.splitlines())}


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
