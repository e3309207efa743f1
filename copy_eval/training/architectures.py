"""The architectures that an experiment may name, at two sizes, each with about as many parameters as the others.

``cpu`` has about 0.8 million parameters, ``paper`` about 157 million: the paper's Transformer has 12 layers of width
1024 with 16 heads. All Transformers here are the same Llama, so that they differ in the encoding of positions alone:
RoPE as it is, NoPE as SmolLM3 has it (a Llama whose layers may leave the rotation out), ALiBi and Hard-ALiBi as
``copy_eval.architectures`` adds them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    BambaConfig,
    BambaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Mamba2Config,
    Mamba2ForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    PreTrainedModel,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

from copy_eval.architectures import LSTMConfig, LSTMForCausalLM, PositionBiasConfig, PositionBiasForCausalLM
from copy_eval.training.alphabet_tokenizer import END_OF_TEXT_ID, VOCABULARY_SIZE
from copy_eval.training.experiment import Size

CONTEXT = 4096
"""Tokens that a Transformer takes: more than any task of ours asks for."""

_TOKENS: dict[str, Any] = {
    "vocab_size": VOCABULARY_SIZE,
    "bos_token_id": END_OF_TEXT_ID,
    "eos_token_id": END_OF_TEXT_ID,
    "pad_token_id": END_OF_TEXT_ID,
    "tie_word_embeddings": True,
}

_TRANSFORMER: dict[Size, dict[str, Any]] = {
    "cpu": {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 8, "intermediate_size": 344},
    "paper": {"hidden_size": 1024, "num_hidden_layers": 12, "num_attention_heads": 16, "intermediate_size": 2816},
}
_MAMBA: dict[Size, dict[str, Any]] = {
    "cpu": {"hidden_size": 128, "num_hidden_layers": 7},
    "paper": {"hidden_size": 1024, "num_hidden_layers": 24},
}
_MAMBA2: dict[Size, dict[str, Any]] = {
    "cpu": {"hidden_size": 128, "num_hidden_layers": 7, "num_heads": 8, "head_dim": 32, "state_size": 64},
    "paper": {"hidden_size": 1024, "num_hidden_layers": 24, "num_heads": 32, "head_dim": 64, "state_size": 128},
}
_LSTM: dict[Size, dict[str, Any]] = {
    "cpu": {"hidden_size": 224, "num_hidden_layers": 2},
    "paper": {"hidden_size": 1568, "num_hidden_layers": 8},
}
_HYBRID: dict[Size, dict[str, Any]] = {
    "cpu": {
        "hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 8, "intermediate_size": 248,
        "attn_layer_indices": [2], "mamba_n_heads": 8, "mamba_d_state": 64,
    },
    "paper": {
        "hidden_size": 1024, "num_hidden_layers": 12, "num_attention_heads": 16, "intermediate_size": 2272,
        "attn_layer_indices": [3, 7, 11], "mamba_n_heads": 32, "mamba_d_state": 128,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Architecture:
    """How a model is built, and what evaluates it."""

    build: Callable[[Size], PreTrainedModel]
    """Returns a model with random weights, drawn from torch's generator."""

    adapter: str = "copy_hf"
    """``--model``."""

    compiles: bool = False
    """Whether ``torch.compile`` makes it faster on a GPU; a recurrence has kernels of its own."""

    half: bool = True
    """Whether it computes in bfloat16 on a GPU."""

    kernels: bool = False
    """Whether its recurrence is too slow at paper size without mamba-ssm's kernels."""


def _transformer(size: Size) -> dict[str, Any]:
    """Return what the Transformers share; weights of 1 / sqrt(width) tell tokens apart from the start."""
    shape = _TRANSFORMER[size]
    return _TOKENS | shape | {
        "num_key_value_heads": shape["num_attention_heads"],
        "max_position_embeddings": CONTEXT,
        "initializer_range": shape["hidden_size"] ** -0.5,
    }  # fmt: skip


def _build_rope(size: Size) -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(**_transformer(size)))


def _build_nope(size: Size) -> PreTrainedModel:
    layers = _TRANSFORMER[size]["num_hidden_layers"]
    return SmolLM3ForCausalLM(SmolLM3Config(**_transformer(size), no_rope_layers=[0] * layers))


def _build_alibi(size: Size) -> PreTrainedModel:
    return PositionBiasForCausalLM(PositionBiasConfig(**_transformer(size), position_bias="alibi"))


def _build_hard_alibi(size: Size) -> PreTrainedModel:
    return PositionBiasForCausalLM(PositionBiasConfig(**_transformer(size), position_bias="hard_alibi"))


def _build_mamba(size: Size) -> MambaForCausalLM:
    return MambaForCausalLM(MambaConfig(**_TOKENS, **_MAMBA[size], rescale_prenorm_residual=True))


def _build_mimetic_mamba(size: Size) -> MambaForCausalLM:
    model = _build_mamba(size)
    make_mimetic(model)
    return model


@torch.no_grad()
def make_mimetic(model: MambaForCausalLM) -> None:
    """Let a fresh Mamba begin near linear attention (Trockman et al. 2024, arXiv 2410.11135).

    Of the paper are the four changes: the state hardly decays; each step has size 1 whatever the token; what is written
    is found again by the same token, since C and B resemble each other without being equal; and the convolution passes
    its last input on. How near they come, a decay of exp(-exp(-8)) a step and a C that is its mean with B, is our
    reading: the authors have published no code to compare with.
    """
    for layer in model.backbone.layers:
        mixer: Any = layer.mixer
        mixer.A_log.fill_(-8.0)
        mixer.dt_proj.weight.zero_()
        mixer.dt_proj.bias.fill_(math.log(math.e - 1))  # whose softplus is 1
        _, keys, queries = mixer.x_proj.weight.split([mixer.time_step_rank, mixer.ssm_state_size, mixer.ssm_state_size])
        queries.add_(keys).mul_(0.5)
        mixer.conv1d.weight.zero_()
        mixer.conv1d.weight[:, :, -1] = 1.0
        mixer.conv1d.bias.zero_()


def _build_mamba2(size: Size) -> PreTrainedModel:
    return Mamba2ForCausalLM(Mamba2Config(**_TOKENS, **_MAMBA2[size], n_groups=1, chunk_size=64))


def _build_lstm(size: Size) -> PreTrainedModel:
    shape = _LSTM[size]
    return LSTMForCausalLM(LSTMConfig(**_TOKENS, **shape, initializer_range=shape["hidden_size"] ** -0.5))


def _build_hybrid(size: Size) -> PreTrainedModel:
    shape = _HYBRID[size]
    config = BambaConfig(
        **_TOKENS,
        **shape,
        num_key_value_heads=shape["num_attention_heads"],
        mamba_chunk_size=64,
        max_position_embeddings=CONTEXT,
        initializer_range=shape["hidden_size"] ** -0.5,
    )
    return BambaForCausalLM(config)


ARCHITECTURES = {
    "rope": Architecture(_build_rope, compiles=True),
    "nope": Architecture(_build_nope, compiles=True),
    "alibi": Architecture(_build_alibi, compiles=True),
    "hard-alibi": Architecture(_build_hard_alibi, compiles=True),
    "mamba": Architecture(_build_mamba, "mamba_ssm", kernels=True),
    "mamba-mimetic": Architecture(_build_mimetic_mamba, "mamba_ssm", kernels=True),
    "mamba2": Architecture(_build_mamba2, "mamba_ssm", kernels=True),
    # Under autocast PyTorch runs cuDNN's LSTM in float16 whatever was asked for, and small gradients would vanish.
    "lstm": Architecture(_build_lstm, half=False),
    "hybrid": Architecture(_build_hybrid, kernels=True),
}
"""By the names that experiments use; ``mamba-mimetic`` differs from ``mamba`` in its first weights alone."""
