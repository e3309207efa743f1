"""Mamba's selective scan as a differentiable function, compiled for this machine's CPU on first use."""

import os
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch


@cache
def _compiled() -> ModuleType:
    from torch.utils import cpp_extension

    # torch looks for ninja on the PATH; the one that was installed with us lies beside this Python.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    flags = ["-O3", "-march=native", "-ffast-math", "-fopenmp-simd"]
    source = Path(__file__).with_name("selective_scan.cpp")
    return cpp_extension.load("copy_eval_selective_scan", [str(source)], extra_cflags=flags)


class _SelectiveScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: torch.Tensor) -> torch.Tensor:
        inputs = tuple(tensor.float().contiguous() for tensor in inputs)
        ctx.save_for_backward(*inputs)
        return _compiled().forward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return _compiled().backward(gradient.float().contiguous(), *ctx.saved_tensors)


def selective_scan(
    u: torch.Tensor, delta: torch.Tensor, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor
) -> torch.Tensor:
    """Run the recurrence of Mamba (Gu and Dao 2023, equation 2 with its discretisation) from a zero state.

    Args:
        u: inputs (batch, length, channels).
        delta: step sizes after softplus (batch, length, channels).
        a: negative decay rates (channels, 16).
        b: input projections (batch, length, 16).
        c: output projections (batch, length, 16).

    Returns:
        Outputs (batch, length, channels), float32.
    """
    return _SelectiveScan.apply(u, delta, a, b, c)  # type: ignore[no-untyped-call]
