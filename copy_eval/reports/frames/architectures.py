"""Tells transformers from state space models by what a result file says."""

import re

TRANSFORMER = "transformer"
STATE_SPACE = "state space"
HYBRID = "hybrid"

_MODEL_TYPES = {
    TRANSFORMER: {
        "bloom", "cohere", "cohere2", "deepseek_v2", "deepseek_v3", "falcon", "gemma", "gemma2", "gemma3",
        "gemma3_text", "glm", "glm4", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gpt_oss", "gptj", "granite",
        "granitemoe", "llama", "llama4", "llama4_text", "ministral", "mistral", "mixtral", "mpt", "nemotron", "olmo",
        "olmo2", "olmo3", "olmoe", "opt", "phi", "phi3", "phimoe", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe",
        "smollm3", "stablelm", "starcoder2", "xglm",
    },
    # The whole memory of the context is a state of fixed size.
    STATE_SPACE: {"falcon_mamba", "mamba", "mamba2", "rwkv", "xlstm"},
    # Some layers are attention, others recurrent or convolutional.
    HYBRID: {
        "bailing_hybrid", "bamba", "falcon_h1", "granitemoehybrid", "jamba", "kimi_linear", "lfm2", "lfm2_moe",
        "minimax", "nemotron_h", "olmo_hybrid", "qwen3_5", "qwen3_5_moe", "qwen3_5_moe_text", "qwen3_5_text",
        "qwen3_next", "recurrent_gemma", "state_spaces_hybrid", "zamba", "zamba2",
    },
}  # fmt: skip
"""transformers' ``model_type``; ``state_spaces_hybrid`` is our adapter's, of models that only mamba-ssm runs."""

_FAMILIES = {r"EleutherAI/pythia-": TRANSFORMER, r"state-spaces/mamba2?-\d": STATE_SPACE}
"""The two families of the paper, by the names that only they have on the hub."""


def tell_architecture(model_type: str | None, adapter: str | None, model: str) -> str | None:
    """Return ``TRANSFORMER``, ``STATE_SPACE``, ``HYBRID``, or None where that is not known.

    Args:
        model_type: transformers' name of the architecture, which our adapters log; lm-eval's own do not.
        adapter: lm-eval's ``--model``.
        model: what ``pretrained=`` said.
    """
    if model_type:
        return next((architecture for architecture, types in _MODEL_TYPES.items() if model_type in types), None)
    if adapter == "mamba_ssm":
        return STATE_SPACE
    return next((architecture for family, architecture in _FAMILIES.items() if re.match(family, model)), None)
