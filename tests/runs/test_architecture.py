"""Sizes that a config.json gives, against the published sizes of real models."""

import json

import pytest
import torch
from safetensors import safe_open
from transformers import Mamba2Config

from copy_eval.errors import UserError
from copy_eval.packaged import PACKAGED
from copy_eval.runs.architecture import describe, read_architecture

NEOX = {
    "model_type": "gpt_neox", "vocab_size": 50304, "hidden_size": 1024, "num_hidden_layers": 24,
    "num_attention_heads": 16, "intermediate_size": 4096, "max_position_embeddings": 2048, "torch_dtype": "float16",
}  # fmt: skip
LLAMA = {
    "model_type": "llama", "vocab_size": 32000, "hidden_size": 2048, "num_hidden_layers": 22, "num_attention_heads": 32,
    "num_key_value_heads": 4, "intermediate_size": 5632, "max_position_embeddings": 2048, "dtype": "bfloat16",
}  # fmt: skip
MAMBA = {
    "d_model": 2560, "n_layer": 64, "vocab_size": 50277, "ssm_cfg": {}, "rms_norm": True, "residual_in_fp32": True,
    "fused_add_norm": True, "pad_vocab_size_multiple": 8,
}  # fmt: skip
MAMBA2 = MAMBA | {
    "ssm_cfg": {"layer": "Mamba2"}, "d_intermediate": 0, "attn_layer_idx": [], "attn_cfg": {},
    "pad_vocab_size_multiple": 16, "tie_embeddings": True,
}  # fmt: skip
HYBRID = MAMBA2 | {
    "attn_layer_idx": [9, 18, 27, 36, 45, 56],
    "attn_cfg": {
        "causal": True, "d_conv": 4, "head_dim": 128, "num_heads": 30, "out_proj_bias": False, "qkv_proj_bias": False,
        "rotary_emb_dim": 64,
    },
}  # fmt: skip
"""As in the config.json of pythia-410m, TinyLlama-1.1B, mamba-2.8b, mamba2-2.7b and mamba2attn-2.7b."""


@pytest.mark.parametrize(
    ("config", "state_spaces", "parameters"),
    [
        (NEOX, False, 405_334_016),  # Biderman et al. 2023, table 1
        (NEOX | {"hidden_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 32, "intermediate_size": 10240},
         False, 2_775_208_960),  # the same
        (LLAMA, False, 1_100_048_384),  # the safetensors of TinyLlama-1.1B
        (MAMBA, True, 2_768_345_600),  # the safetensors of mamba-2.8b-hf
        (MAMBA2, True, 2_702_599_680),  # the tensors of mamba2-2.7b
    ],
)  # fmt: skip
def test_parameters_are_those_of_the_published_models(config, state_spaces, parameters):
    assert describe(config, state_spaces, "a checkpoint").parameters == parameters


@pytest.mark.parametrize("name", ["tiny-pythia", "tiny-mamba"])
def test_parameters_of_the_packaged_checkpoints_are_those_of_their_weights(name):
    with safe_open(PACKAGED / name / "model.safetensors", "pt") as file:
        # The head is the embedding once more.
        shapes = [file.get_slice(key).get_shape() for key in file.keys() if key != "lm_head.weight"]  # noqa: SIM118
    assert read_architecture(name).parameters == sum(torch.Size(shape).numel() for shape in shapes)


def test_a_hybrid_swaps_mamba_layers_for_attention_layers():
    hybrid, without = describe(HYBRID, True, "a"), describe(MAMBA2 | {"n_layer": 58}, True, "b")
    # in_proj of 11,520 rows, its convolution with a bias, out_proj, and the norm of each of the six
    layer = 2560 * 11520 + 11520 * 5 + 3840 * 2560 + 2560
    assert hybrid.parameters - without.parameters == 6 * layer
    assert (hybrid.queries, hybrid.cached) == (6 * 3840, 6 * 2 * 3840)
    gated = describe(MAMBA2 | {"d_intermediate": 6000}, True, "c")
    assert gated.parameters - describe(MAMBA2, True, "d").parameters == 64 * (3 * 2560 * 6016 + 2560)


def test_heads_that_share_keys_leave_less_in_the_cache():
    model = describe(LLAMA, False, "a checkpoint")
    assert (model.queries, model.cached) == (22 * 2048, 22 * 2 * 256)


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ({"model_type": "mixtral"}, "the work of layers such as model.layers.0.mlp.experts.gate_up_proj of a mixtral"),
        ({"model_type": "nonsense"}, "this transformers does not know a nonsense"),
        (MAMBA2 | {"ssm_cfg": {"layer": "Mamba9"}}, "its layers are Mamba9; known are Mamba1 and Mamba2"),
        ({"model_type": "gpt_neox", "num_attention_heads": 7}, "its config.json is not understood"),
        (HYBRID | {"attn_cfg": {}}, "its config.json is not understood"),
    ],
)
def test_a_config_that_cannot_be_told_is_one_line(config, line, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=f"^(pretrained=)?{tmp_path}: {line}"):
        read_architecture(str(tmp_path))


def test_the_infinite_limit_of_a_mamba2_that_transformers_saved_is_read(tmp_path):
    config = Mamba2Config(hidden_size=64, num_hidden_layers=2, num_heads=2, vocab_size=512, tie_word_embeddings=True)
    config.save_pretrained(tmp_path)
    assert "Infinity" in (tmp_path / "config.json").read_text()
    assert read_architecture(str(tmp_path)).width == 64
