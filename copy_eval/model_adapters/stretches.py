"""Attention of a stretch of a long text to what stands before it and to itself, on a CPU and without a mask.

transformers hands PyTorch a mask for each stretch but the first. PyTorch makes numbers of it in every layer and
computes what it hides too, which takes half as long again. A stretch sees all that stands before it, and of itself what
a first stretch sees, and each of these is quick without a mask. How two softmaxes become one is known from
FlashAttention (Dao et al. 2022, section 3.1): each output counts as much as the sum of its scores' exponentials.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class UnmaskedStretches(TorchFunctionMode):
    """A context in which ``scaled_dot_product_attention`` does not use a mask that is causal."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call ``func``, or what stands for it here."""
        if func is functional.scaled_dot_product_attention:
            func = attend
        return func(*args, **(kwargs or {}))


def attend(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *args: Any, **options: Any
) -> Tensor:
    """Return what ``torch.nn.functional.scaled_dot_product_attention`` does, whose arguments these are."""
    past = key.shape[-2] - query.shape[-2]
    takes_both = not args and options.keys() <= {"scale", "dropout_p", "is_causal"} and not options.get("dropout_p")
    alike = query.shape[:2] == key.shape[:2] == value.shape[:2] and query.shape[-1] == key.shape[-1] == value.shape[-1]
    # In mixed precision they differ, and autocast makes them alike.
    of_one_dtype = query.dtype == key.dtype == value.dtype
    if not (takes_both and alike and of_one_dtype and query.device.type == "cpu" and _is_causal(attn_mask, past)):
        return functional.scaled_dot_product_attention(query, key, value, attn_mask, *args, **options)
    flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    before, weight = flash(query, key[:, :, :past], value[:, :, :past], scale=options.get("scale"))
    itself, other = flash(query, key[:, :, past:], value[:, :, past:], is_causal=True, scale=options.get("scale"))
    # exp(weight) and exp(other) are those sums.
    return itself.lerp(before, (weight - other).sigmoid()[..., None].to(before.dtype))


def _is_causal(mask: Tensor | None, past: int) -> bool:
    """Tell a mask that hides what comes later, and no more, from those of windows, chunks and padding.

    These differ in the first row or the last.

    Args:
        mask: [row, head, query, slot], where True is seen.
        past: slots before the first query's.
    """
    if mask is None or past <= 0 or mask.dtype != torch.bool or mask.dim() != 4 or mask.shape[:2] != (1, 1):
        return False
    first, last = mask[0, 0, 0], mask[0, 0, -1]
    return bool(first[: past + 1].all()) and not first[past + 1 :].any() and bool(last.all())
