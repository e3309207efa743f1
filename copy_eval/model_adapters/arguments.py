"""The choices behind ``device=`` and ``dtype=``."""

import torch

from copy_eval.errors import UserError


def choose_device(device: str | None) -> str:
    """Return the device to use.

    ``cuda:0`` falls back to the CPU where there is no CUDA, as in ``HFLM``: it is the default of lm-eval's command
    line, which cannot be told from a request.

    Raises:
        UserError: if a CUDA device is asked for that is not there.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device is None or (device == "cuda:0" and not count):
        return "cuda" if count else "cpu"
    kind, _, index = device.partition(":")
    if kind == "cuda" and (not count or (index and not (index.isdigit() and int(index) < count))):
        there = f"there are {count} CUDA devices" if count else "there is no CUDA device, or this PyTorch has no CUDA"
        raise UserError(
            f"device={device}: {there}; use device=cpu" + (f" or cuda:0 to cuda:{count - 1}" if count else "")
        )
    return device


def choose_dtype(dtype: str | torch.dtype | None, device: str) -> str | torch.dtype:
    """Return the dtype to load the weights in: float32 for ``auto`` on a CPU, else what is asked for.

    Raises:
        UserError: if PyTorch has no such floating-point dtype.
    """
    if dtype in (None, "auto"):
        return torch.float32 if device == "cpu" else "auto"
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise UserError(f"dtype={dtype}: not one of auto, float32, float16, bfloat16, float64")
    return found
