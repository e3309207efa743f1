"""Sizes and work that a config.json gives, against the published sizes of real models and real forward passes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM, Mamba2Config

from copy_eval.errors import UserError
from copy_eval.packaged import PACKAGED
from copy_eval.runs.architecture import describe, read_architecture

ROOT = Path(__file__).parents[2]

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


SMALL = {"vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 2, "pad_token_id": 0}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}
EXPERTS = {"num_experts": 6, "num_local_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
SMALL_MAMBA2 = {"mamba_n_heads": 4, "mamba_d_head": 32, "mamba_d_state": 16, "mamba_expand": 2, "mamba_n_groups": 1}
ARCHITECTURES = {
    "gpt_neox": SMALL | HEADS | {"intermediate_size": 128},
    "gpt2": {"vocab_size": 100, "n_embd": 64, "n_layer": 2, "n_head": 4},
    "llama": SMALL | HEADS | {"intermediate_size": 128, "tie_word_embeddings": True},
    "mixtral": SMALL | HEADS | EXPERTS | {"intermediate_size": 64},
    "qwen3_moe": SMALL | HEADS | EXPERTS | {"intermediate_size": 64, "head_dim": 16},
    "gemma3_text": SMALL | HEADS | {
        "intermediate_size": 64, "head_dim": 16, "sliding_window": 24,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "mamba": SMALL | {"state_size": 8},
    "mamba2": SMALL | {"num_heads": 4, "head_dim": 32, "state_size": 16, "n_groups": 1, "chunk_size": 64},
    "jamba": SMALL | HEADS | EXPERTS | {
        "intermediate_size": 64, "attn_layer_offset": 1, "attn_layer_period": 2, "use_mamba_kernels": False,
    },
    "falcon_h1": SMALL | HEADS | SMALL_MAMBA2 | {"intermediate_size": 64, "mamba_d_ssm": 128, "mamba_chunk_size": 64},
}  # fmt: skip


def _real_pass(config, tokens):
    """The model with weights, the FLOPs that PyTorch counts in a forward pass, and the cache after it."""
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    model.set_experts_implementation("eager")  # expert by expert, where our count goes token by token
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        output = model(torch.zeros(1, tokens, dtype=torch.long), use_cache=True)
    return model, counter.get_total_flops(), output.get("past_key_values", output.get("cache_params"))


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_model_without_weights_has_the_size_and_the_work_of_a_real_one(kind):
    config = AutoConfig.for_model(kind, **ARCHITECTURES[kind])
    found = describe({"model_type": kind} | ARCHITECTURES[kind], False, "a checkpoint")
    model, flops, cache = _real_pass(config, 128)  # whole chunks of 64
    assert found.parameters == model.num_parameters()
    assert found.weights == 4 * found.parameters
    unseen = sum(
        7 * rates.numel() for name, rates in model.named_parameters() if name.endswith("A_log") and rates.dim() == 2
    )
    assert found.forward_flops(128, logits=128) - 128 * unseen == pytest.approx(flops, rel=1e-3)
    head = found.forward_flops(128, logits=128) - found.forward_flops(128, logits=0)
    assert head == 128 * 2 * 100 * 64
    assert found.cache_bytes(128) == _bytes([vars(layer) for layer in cache.layers])


def _bytes(kept):
    if isinstance(kept, torch.Tensor):
        return kept.nbytes if kept.dim() else 0
    if isinstance(kept, dict):
        kept = list(kept.values())
    return sum(map(_bytes, kept)) if isinstance(kept, list) else 0


def test_half_precision_takes_half_the_memory():
    whole, half = (describe(LLAMA, False, "a checkpoint", dtype) for dtype in ("float32", "bfloat16"))
    assert (whole.weights, whole.cache_bytes(1000)) == (2 * half.weights, 2 * half.cache_bytes(1000))
    assert describe(LLAMA, False, "a checkpoint") == half
    assert half.cache_bytes(1000) == 2 * 1000 * 22 * 2 * 256


def test_kernels_that_need_a_gpu_are_left_out(tmp_path):
    kernels = tmp_path / "mamba_ssm"
    for module in ("selective_scan_interface", "triton.ssd_combined", "triton.selective_state_update"):
        file = kernels.joinpath("ops", *module.split(".")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        names = ("selective_scan_fn", "mamba_inner_fn", "mamba_chunk_scan_combined", "mamba_split_conv1d_scan_combined",
                 "selective_state_update")  # fmt: skip
        body = "(*given, **named):\n    raise RuntimeError('a kernel')\n"
        file.write_text("".join(f"def {name}{body}" for name in names))
    (kernels / "__init__.py").write_text(
        "import mamba_ssm.ops.selective_scan_interface, mamba_ssm.ops.triton.ssd_combined\n"
        "import mamba_ssm.ops.triton.selective_state_update\n"
    )
    code = (
        "import torch, transformers\n"
        "from copy_eval.runs.architecture import describe\n"
        "from tests.runs.test_architecture import ARCHITECTURES\n"
        "for kind in ('mamba', 'mamba2'):\n"
        "    config = {'model_type': kind} | ARCHITECTURES[kind]\n"
        "    model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**config))\n"
        "    try:\n"
        "        model.eval()(torch.zeros(1, 8, dtype=torch.long))\n"
        "    except RuntimeError as error:\n"
        "        print(error, describe(config, False, 'a checkpoint').parameters == model.num_parameters())\n"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = os.environ | {"PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["a kernel True"] * 2, done.stderr


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ({"model_type": "nonsense"}, "this transformers does not know a nonsense$"),
        ({"model_type": "own", "auto_map": {}}, "this transformers does not know a own, and code that comes with"),
        ({"model_type": "t5"}, "transformers has no causal language model of the kind t5"),
        ({"model_type": "bamba"}, "its work cannot be counted without weights"),  # needs a layer of attention
        (MAMBA2 | {"ssm_cfg": {"layer": "Mamba9"}}, "its layers are Mamba9; known are Mamba1 and Mamba2"),
        ({"model_type": "gpt_neox", "num_attention_heads": 7}, "its config.json is not understood"),
        (HYBRID, "its attention or MLP layers are mamba-ssm's own, which transformers cannot build"),
    ],
)
def test_a_config_that_cannot_be_told_is_one_line(config, line, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=f"^(pretrained=)?{tmp_path}: {line}"):
        read_architecture(str(tmp_path))


def test_the_infinite_limit_of_a_mamba2_that_transformers_saved_is_read(tmp_path):
    config = Mamba2Config(
        hidden_size=64, num_hidden_layers=2, num_heads=2, n_groups=1, vocab_size=512, tie_word_embeddings=True
    )
    config.save_pretrained(tmp_path)
    assert "Infinity" in (tmp_path / "config.json").read_text()
    parameters = sum(parameter.numel() for parameter in AutoModelForCausalLM.from_config(config).parameters())
    assert read_architecture(str(tmp_path)).parameters == parameters


def test_an_architecture_of_our_own_is_counted_like_those_of_transformers(tmp_path):
    (tmp_path / "config.json").write_text(
        json.dumps({
            "model_type": "copy_eval_position_bias", "vocab_size": 32, "hidden_size": 64, "intermediate_size": 128,
            "num_hidden_layers": 2, "num_attention_heads": 4,
        })
    )  # fmt: skip
    code = (
        "from copy_eval.runs.architecture import read_architecture\n"
        f"print(read_architecture({str(tmp_path)!r}).parameters)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    attention, mlp, norms = 4 * 64 * 64, 3 * 64 * 128, 2 * 64
    assert int(done.stdout) == 2 * (attention + mlp + norms) + 64 + 2 * 32 * 64
