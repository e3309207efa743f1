"""Tiny random models of the architectures that decoding treats differently, with windows shorter than the prompts."""

import math

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from tests.model_adapters.support import VOCAB

_COMMON = {
    "vocab_size": VOCAB, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 8, "intermediate_size": 48, "max_position_embeddings": 256, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 1, "tie_word_embeddings": False,
}  # fmt: skip
_MAMBA2 = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 2, "mamba_d_state": 8, "mamba_chunk_size": 16}
_LINEAR = {
    "layer_types": ["linear_attention", "full_attention"], "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "num_experts": 4, "num_experts_per_tok": 2,
    "moe_intermediate_size": 48, "shared_expert_intermediate_size": 48,
}  # fmt: skip
_GPT_NEO = {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": 8}
_LONG = {
    "rope_type": "longrope", "rope_theta": 10000.0, "long_factor": [4.0] * 4, "short_factor": [1.0] * 4, "factor": 4.0,
    "original_max_position_embeddings": 48,
}  # fmt: skip

CONFIGS = {
    "llama": ("llama", {}),
    "mistral": ("mistral", {"sliding_window": 8}),
    "gemma2": ("gemma2", {"sliding_window": 8, "query_pre_attn_scalar": 8}),
    "llama4": (
        "llama4_text",
        {
            "attention_chunk_size": 8, "layer_types": ["chunked_attention", "full_attention"], "no_rope_layers": [1, 0],
            "intermediate_size_mlp": 48, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_layers": [0, 1],
            "attn_temperature_tuning": False,
        },
    ),
    "gpt_neo": ("gpt_neo", _GPT_NEO),
    "bloom": ("bloom", {"n_layer": 2, "n_head": 4}),
    "mpt": ("mpt", {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 256}),
    "gpt2": ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}),
    "falcon_h1": ("falcon_h1", {**_MAMBA2, "mamba_d_ssm": 64}),
    "bamba": ("bamba", {**_MAMBA2, "attn_layer_indices": [1]}),
    "qwen3_next": ("qwen3_next", _LINEAR),
    "lfm2": ("lfm2", {"layer_types": ["conv", "full_attention"]}),
    "mamba2": ("mamba2", {"num_heads": 8, "head_dim": 8, "n_groups": 2, "state_size": 8, "chunk_size": 16}),
    "jamba": (
        "jamba",
        {"attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 8, "mamba_dt_rank": 4, "num_experts": 4},
    ),
    "nemotron_h": (
        "nemotron_h",
        {
            "layers_block_type": ["linear_attention", "mlp", "full_attention"], "ssm_state_size": 8, "chunk_size": 16,
            "mamba_num_heads": 8, "mamba_head_dim": 8, "n_groups": 2, "num_hidden_layers": 3,
        },
    ),
    "minimax": (
        "minimax",
        {"layer_types": ["full_attention", "linear_attention"], "block_size": 8, "num_local_experts": 4},
    ),
    "deepseek_v32": (
        "deepseek_v32",
        {
            "index_topk": 8, "index_n_heads": 4, "index_head_dim": 8, "kv_lora_rank": 16, "q_lora_rank": 16,
            "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8, "n_routed_experts": 4, "n_group": 1,
            "topk_group": 1, "num_experts_per_tok": 2, "n_shared_experts": 1, "moe_intermediate_size": 48,
            "first_k_dense_replace": 1, "num_key_value_heads": 4,
        },
    ),
    "longrope": ("phi3", {"rope_parameters": _LONG, "original_max_position_embeddings": 48}),
    "longrope_llama": ("llama", {"rope_parameters": _LONG}),
    "dynamic": (
        "llama",
        {
            "rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0},
            "max_position_embeddings": 48,
        },
    ),
}  # fmt: skip
"""The model type of transformers, and entries of its config."""


@torch.no_grad()
def build_model(name: str, **changes) -> PreTrainedModel:
    """Return a model whose answers depend on each token of the prompt."""
    model_type, own = CONFIGS[name]
    config = AutoConfig.for_model(model_type, **_COMMON | own | changes)
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for key, weight in model.named_parameters():
        if weight.ndim >= 2 and not key.endswith(("A_log", "D", "dt_bias")):
            embedding = "emb" in key or "wte" in key or "wpe" in key
            weight.normal_(std=1.0 if embedding else 1.5 / math.sqrt(weight[0].numel()))
    model.generation_config.pad_token_id, model.generation_config.eos_token_id = 0, 1
    return model
