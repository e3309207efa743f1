"""Mamba-1's selective scan in plain PyTorch, for machines without mamba-ssm's kernels.

transformers' own loop takes four strided operations a token and keeps three tensors of tokens x width x state for the
whole prompt. This one takes a single in-place operation a token, on memory in order of time, a stretch at a time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.nn import functional
from transformers.models.mamba import modeling_mamba

_STRETCH = 32
"""Tokens whose states are held at once."""


@contextmanager
def our_scan() -> Iterator[None]:
    """Let transformers' Mamba use ``selective_scan``; afterwards it has its own again, as other users of it expect."""
    theirs = modeling_mamba.mamba_selective_scan
    modeling_mamba.mamba_selective_scan = selective_scan
    try:
        yield
    finally:
        modeling_mamba.mamba_selective_scan = theirs


def selective_scan(
    u: Tensor,
    dt: Tensor,
    A: Tensor,  # noqa: N803 (the paper's names)
    B: Tensor,  # noqa: N803
    C: Tensor,  # noqa: N803
    D: Tensor,  # noqa: N803
    z: Tensor,
    delta_bias: Tensor,
    return_last_state: bool = False,
    **_: Any,
) -> Tensor | tuple[Tensor, Tensor]:
    """Run the recurrence of Gu and Dao 2023 (algorithm 2) from an empty state.

    Args:
        u: the convolved input [row, width, token].
        dt: the step size before bias and softplus [row, width, token].
        A: decay rates, negative [width, state].
        B: input weights [row, state, token].
        C: output weights [row, state, token].
        D: weight of the input that skips the state [width].
        z: the gate before SiLU [row, width, token].
        delta_bias: added to ``dt`` [width].
        return_last_state: also return the state after the last token [row, width, state].

    Returns:
        The gated output [row, width, token] in the dtype of ``u``; all sums are float32.
    """
    steps = functional.softplus(dt.float() + delta_bias[:, None].float())
    # By time first: each token's slice is one block of memory.
    drive = (steps * u).permute(2, 0, 1)
    steps = steps.permute(2, 0, 1)
    inputs, outputs = B.float().permute(2, 0, 1), C.float().permute(2, 0, 1)
    tokens, rows, width = steps.shape
    state = steps.new_zeros(rows, width, A.shape[1])
    seen = steps.new_empty(tokens, rows, width)
    for start in range(0, tokens, _STRETCH):
        stretch = slice(start, start + _STRETCH)
        decays = (steps[stretch, :, :, None] * A).exp_()
        states = drive[stretch, :, :, None] * inputs[stretch, :, None, :]
        for decay, current in zip(decays, states, strict=True):
            state = current.addcmul_(decay, state)
        seen[stretch] = (states @ outputs[stretch, :, :, None]).squeeze(-1)
        state = state.clone()  # not a view that keeps the whole stretch alive
    result = ((seen.permute(1, 2, 0) + u * D[:, None]) * functional.silu(z)).to(u.dtype)
    return (result, state) if return_last_state else result
