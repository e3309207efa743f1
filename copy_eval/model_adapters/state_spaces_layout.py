"""The layout of state-spaces/mamba checkpoints: turned into transformers' Mamba models, and back.

Both sides name their tensors alike but for the embedding, and pack ``in_proj`` alike (Mamba-2: gate, x, B, C, dt); what
differs is the config. Read in mamba-ssm 2.3 (``MambaConfig``, ``Mamba``, ``Mamba2``) and transformers 5.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import Mamba2Config, Mamba2ForCausalLM, MambaConfig, MambaForCausalLM

from copy_eval.errors import UserError
from copy_eval.model_adapters.checkpoints import load_checked

_SHARED_NAMES = {
    "d_state": "state_size",
    "d_conv": "conv_kernel",
    "expand": "expand",
    "bias": "use_bias",
    "conv_bias": "use_conv_bias",
}
_NAMES = {
    "Mamba1": _SHARED_NAMES | {"dt_rank": "time_step_rank"},
    "Mamba2": _SHARED_NAMES
    | {"headdim": "head_dim", "ngroups": "n_groups", "chunk_size": "chunk_size", "dt_limit": "time_step_limit"},
}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "Mamba1": {"d_state": 16},
    "Mamba2": {"d_state": 128, "headdim": 64, "ngroups": 1},
}

_WITHOUT_EFFECT = {
    "dt_min", "dt_max", "dt_init", "dt_scale", "dt_init_floor", "A_init_range", "conv_init",
    "use_fast_path", "use_mem_eff_path",
}  # fmt: skip
"""Keys of ``ssm_cfg`` that only shape the initial weights or choose between equal implementations."""

_SETTLED = {"d_ssm": None, "D_has_hdim": False, "rmsnorm": True, "norm_before_gate": False}
"""Keys of ``ssm_cfg`` for which transformers' Mamba-2 knows one value."""

_NO_LIMITS = (0.0, float("inf"))
"""Of the step size: the default on both sides."""

FLOAT32 = ("A_log", ".D", "dt_bias")
"""The recurrence's own parameters stay float32 in half-precision models: rounding them shifts every decay. mamba-ssm
itself rounds ``A_log`` and ``dt_bias`` of Mamba-2."""


def is_hybrid(config: Mapping[str, Any]) -> bool:
    """Tell whether some layers are attention or have an MLP; only mamba-ssm itself runs those."""
    return bool(config.get("attn_layer_idx")) or bool(config.get("d_intermediate"))


def translate_config(config: Mapping[str, Any], source: str) -> MambaConfig | Mamba2Config:
    """Return the transformers config that a state-spaces ``config.json`` stands for.

    Args:
        config: the file's content; absent keys have mamba-ssm's defaults.
        source: the checkpoint, for the error line.

    Raises:
        UserError: if transformers' Mamba cannot express it.
    """
    ssm = dict(config.get("ssm_cfg") or {})
    layer = ssm.pop("layer", "Mamba1")
    if layer not in _NAMES:
        raise UserError(f"{source}: its layers are {layer}; known are Mamba1 and Mamba2")
    if is_hybrid(config):
        raise UserError(
            f"{source}: it mixes in attention or MLP layers, which only mamba-ssm's own kernels on CUDA run"
        )
    if not config.get("rms_norm", True):
        raise UserError(f"{source}: it has LayerNorm (rms_norm false), which transformers' Mamba has not")
    ssm = _DEFAULTS[layer] | ssm
    for key in sorted(ssm.keys() - _NAMES[layer].keys() - _WITHOUT_EFFECT):
        if layer == "Mamba1" or key not in _SETTLED or ssm[key] != _SETTLED[key]:
            raise UserError(f"{source}: transformers' {layer} has no ssm_cfg {key}={ssm[key]}")
    options = {name: ssm[key] for key, name in _NAMES[layer].items() if key in ssm}
    width, multiple = config["d_model"], config.get("pad_vocab_size_multiple", 8)
    options |= {
        "hidden_size": width,
        "num_hidden_layers": config["n_layer"],
        "vocab_size": -(-config["vocab_size"] // multiple) * multiple,
        "residual_in_fp32": config.get("residual_in_fp32", True),
        "tie_word_embeddings": config.get("tie_embeddings", True),
    }
    if layer == "Mamba1":
        return MambaConfig(**options)
    return Mamba2Config(num_heads=width * options.get("expand", 2) // options["head_dim"], **options)


def translate_back(config: MambaConfig | Mamba2Config) -> dict[str, Any] | None:
    """Return the state-spaces config that stands for a transformers one, None where mamba-ssm cannot express it."""
    # mamba-ssm has these constants; its Mamba-2 steps without the limits that its prefill respects.
    limits = tuple(getattr(config, "time_step_limit", _NO_LIMITS))
    if (config.layer_norm_epsilon, config.hidden_act, limits) != (1e-5, "silu", _NO_LIMITS):
        return None
    layer = "Mamba2" if isinstance(config, Mamba2Config) else "Mamba1"
    ssm = {key: getattr(config, name) for key, name in _NAMES[layer].items() if key != "dt_limit"}
    return {
        "d_model": config.hidden_size,
        "n_layer": config.num_hidden_layers,
        "vocab_size": config.vocab_size,
        "pad_vocab_size_multiple": 1,
        "ssm_cfg": {"layer": layer} | ssm,
        "rms_norm": True,
        "residual_in_fp32": config.residual_in_fp32,
        "fused_add_norm": True,
        "tie_embeddings": config.tie_word_embeddings,
    }


def name_as_state_spaces(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of transformers' Mamba by their names in the state-spaces layout."""
    return {name.replace("backbone.embeddings.", "backbone.embedding."): tensor for name, tensor in tensors.items()}


def build_transformers_model(
    config: MambaConfig | Mamba2Config, tensors: Mapping[str, torch.Tensor], dtype: torch.dtype, source: str
) -> MambaForCausalLM | Mamba2ForCausalLM:
    """Return transformers' model with the weights of a state-spaces checkpoint, on the CPU.

    Args:
        config: from ``translate_config``.
        tensors: from ``read_weights``.
        dtype: of all parameters but those of the recurrence, which are float32.
        source: the checkpoint, for the error line.

    Raises:
        UserError: if the tensors do not fit the config.
    """
    named = {name.replace("backbone.embedding.", "backbone.embeddings."): tensor for name, tensor in tensors.items()}
    if config.tie_word_embeddings and "backbone.embeddings.weight" in named:
        named["lm_head.weight"] = named["backbone.embeddings.weight"]
    named = {name: tensor.to(torch.float32 if name.endswith(FLOAT32) else dtype) for name, tensor in named.items()}
    with torch.device("meta"):
        model = MambaForCausalLM(config) if isinstance(config, MambaConfig) else Mamba2ForCausalLM(config)
    load_checked(model, named, source, assign=True)
    model.tie_weights()
    return model


def write_state_spaces(model: MambaForCausalLM | Mamba2ForCausalLM, folder: Path) -> None:
    """Write transformers' model in the state-spaces layout, as ``config.json`` and ``model.safetensors``.

    Args:
        model: whose config mamba-ssm can express.
        folder: an existing one.
    """
    config = translate_back(model.config)
    assert config is not None
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    # mamba-ssm loads the head by name even where it is tied, so it stands in the file beside the embedding.
    tensors = {
        name: tensor.detach().clone(memory_format=torch.contiguous_format)
        for name, tensor in name_as_state_spaces(model.state_dict()).items()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
