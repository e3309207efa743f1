"""Mamba-1's selective scan in plain PyTorch, for machines without mamba-ssm's kernels.

transformers' own loop takes four strided operations a token, keeps three tensors of tokens x width x state for the
whole prompt, and always begins with an empty state. This one takes a single in-place operation a token, on memory in
order of time, a stretch at a time, and goes on from any state.
"""

import torch
from torch import Tensor

_STRETCH = 32
"""Tokens whose states are held at once."""


def selective_scan(
    u: Tensor,
    steps: Tensor,
    A: Tensor,  # noqa: N803 (the paper's names)
    B: Tensor,  # noqa: N803
    C: Tensor,  # noqa: N803
    state: Tensor,
) -> tuple[Tensor, Tensor]:
    """Run the recurrence of Gu and Dao 2023 (algorithm 2).

    Args:
        u: the convolved input [row, token, width].
        steps: the step size, float32 [row, token, width]; a token with 0 leaves the state exactly as it is.
        A: decay rates, negative [width, state].
        B: input weights [row, token, state].
        C: output weights [row, token, state].
        state: before the first token, float32 [row, width, state]; it is not changed.

    Returns:
        The output [row, token, width] and the state after the last token, both float32.
    """
    # By time first: each token's slice is one block of memory.
    drive = (steps * u).transpose(0, 1)
    steps = steps.transpose(0, 1)
    inputs, outputs = B.float().transpose(0, 1), C.float().transpose(0, 1)
    seen = []
    for start in range(0, len(steps), _STRETCH):
        stretch = slice(start, start + _STRETCH)
        decays = (steps[stretch, :, :, None] * A).exp_()
        states = drive[stretch, :, :, None] * inputs[stretch, :, None, :]
        for decay, current in zip(decays, states, strict=True):
            state = current.addcmul_(decay, state)
        seen.append((states @ outputs[stretch, :, :, None]).squeeze(-1))
        state = state.clone()  # not a view that keeps the whole stretch alive
    return torch.cat(seen).transpose(0, 1), state
