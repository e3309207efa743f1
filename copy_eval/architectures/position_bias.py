"""A Llama whose only knowledge of positions is a bias on its attention: ALiBi or Hard-ALiBi.

ALiBi (Press et al. 2022) subtracts from each score the distance times a slope of the head. Hard-ALiBi (Jelassi et al.
2024, section 3.3) masks half of the heads: head i, counted from 0, sees exactly the last i + 1 tokens, its own among
them. The other heads have no position encoding (NoPE) and see everything before.

Distances are counted in slots of the cache, as in transformers' own masks for sliding windows. The tokens of a row have
no gaps between them, wherever its padding stands, so slots are as far apart as tokens.
"""

from typing import Any, Literal

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel


@strict
class PositionBiasConfig(LlamaConfig):
    """A Llama's config without the rotation, and the kind of bias."""

    model_type = "copy_eval_position_bias"

    position_bias: Literal["alibi", "hard_alibi"] = "hard_alibi"


def position_bias(kind: str, heads: int, queries: int, slots: int, device: torch.device) -> Tensor:
    """Return what is added to the scores of the last ``queries`` slots, float32 [head, query, slot].

    Args:
        kind: ``"alibi"`` or ``"hard_alibi"``.
        heads: how many.
        queries: how many.
        slots: of the keys.
        device: of the result.
    """
    distance = torch.arange(slots - queries, slots, device=device)[:, None] - torch.arange(slots, device=device)
    head = torch.arange(heads, device=device)[:, None, None]
    if kind == "alibi":
        bias, hidden = -distance * 2.0 ** (-8.0 * (head + 1) / heads), distance < 0
    else:
        bias = torch.zeros((heads, *distance.shape), device=device)
        hidden = (distance < 0) | ((head < heads // 2) & (distance > head))
    return bias.masked_fill(hidden, torch.finfo(torch.float32).min)


class _NoRotation(nn.Module):
    """Stands where a Llama computes its rotations, and returns those by an angle of 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self._width = width

    def forward(self, hidden: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        shape = (*position_ids.shape, self._width)
        return hidden.new_ones(shape), hidden.new_zeros(shape)


class _Biased:
    """The bias is a mask of its own for each head, which these kernels do not take."""

    _supports_flash_attn = False
    _supports_flex_attn = False


class PositionBiasModel(_Biased, LlamaModel):
    """The layers, without the head."""

    config: PositionBiasConfig

    def __init__(self, config: PositionBiasConfig) -> None:
        super().__init__(config)
        self.rotary_emb: Any = _NoRotation(config.hidden_size // config.num_attention_heads)

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        **options: Any,
    ) -> Any:
        """Do what a Llama does, with the bias in the place of its causal mask; the arguments are a Llama's."""
        if inputs_embeds is None:
            inputs_embeds = self.embed_tokens(input_ids)
        queries = inputs_embeds.shape[1]
        slots = queries + (0 if past_key_values is None else past_key_values.get_seq_length())
        kind, heads = self.config.position_bias, self.config.num_attention_heads
        mask = position_bias(kind, heads, queries, slots, inputs_embeds.device)[None]
        if attention_mask is not None and not attention_mask.all():
            # Padding sees itself: with nothing to see, half precision has no finite softmax.
            itself = torch.eye(slots, dtype=torch.bool, device=mask.device)[slots - queries :]
            hidden = (attention_mask == 0)[:, None, None, :] & ~itself
            mask = mask.masked_fill(hidden, torch.finfo(mask.dtype).min)
        dtype = inputs_embeds.dtype
        return super().forward(
            attention_mask=mask.clamp(min=torch.finfo(dtype).min).to(dtype),
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **options,
        )


class PositionBiasForCausalLM(_Biased, LlamaForCausalLM):
    """The language model."""

    config: PositionBiasConfig

    def __init__(self, config: PositionBiasConfig) -> None:
        super().__init__(config)
        self.model = PositionBiasModel(config)
        self.post_init()  # type: ignore[no-untyped-call]
