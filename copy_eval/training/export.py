"""Writes a trained model as a checkpoint folder: half precision, safetensors, with its tokenizer.

tiny-pythia is written as transformers writes a GPT-NeoX, tiny-mamba in the original layout of state-spaces/mamba.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import GPTNeoXForCausalLM, MambaForCausalLM, PreTrainedTokenizerFast


def export_checkpoint(
    model: GPTNeoXForCausalLM | MambaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path
) -> None:
    """Write ``model`` and ``tokenizer`` to ``folder``; the model itself is left as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().half().contiguous() for name, tensor in model.state_dict().items()}
    if isinstance(model, MambaForCausalLM):
        _write_state_spaces(model, weights, folder)
    else:
        config = model.config.to_diff_dict() | {"architectures": [type(model).__name__], "dtype": "float16"}
        _write_json(config, folder / "config.json")
        # The head is tied to the embedding: transformers expects only the latter.
        weights.pop("lm_head.weight")
        _write_weights(weights, folder)
    tokenizer.save_pretrained(folder)


def _write_state_spaces(model: MambaForCausalLM, weights: dict[str, torch.Tensor], folder: Path) -> None:
    config = model.config
    layout = {
        "d_model": config.hidden_size,
        "n_layer": config.num_hidden_layers,
        "vocab_size": config.vocab_size,
        "ssm_cfg": {
            "layer": "Mamba1",
            "d_state": config.state_size,
            "d_conv": config.conv_kernel,
            "expand": config.expand,
        },
        "rms_norm": True,
        "residual_in_fp32": True,
        "fused_add_norm": True,
        "pad_vocab_size_multiple": 1,
        "tie_embeddings": True,
    }
    _write_json(layout, folder / "config.json")
    renamed = {name.replace("backbone.embeddings.", "backbone.embedding."): tensor for name, tensor in weights.items()}
    # mamba-ssm loads the tied head by name, so it stands in the file although it equals the embedding.
    renamed["lm_head.weight"] = renamed["backbone.embedding.weight"].clone()
    _write_weights(renamed, folder)


def _write_weights(weights: dict[str, torch.Tensor], folder: Path) -> None:
    path = folder / "model.safetensors"
    save_file(weights, path, metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors writes a file that nobody else may read, and the wheel would carry it so


def _write_json(value: dict[str, object], path: Path) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
