"""How much memory is free on a device."""

from pathlib import Path

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
