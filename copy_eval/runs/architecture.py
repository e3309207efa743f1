"""What a checkpoint's config.json alone says of its size and its work: no weights are read, none are allocated."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    Mamba2Config,
    MambaConfig,
    PretrainedConfig,
    PreTrainedModel,
)

from copy_eval.errors import UserError
from copy_eval.model_adapters.checkpoints import is_state_spaces, read_config, resolve_checkpoint
from copy_eval.model_adapters.state_spaces_layout import is_hybrid, translate_config

_HYBRID_KEYS = ("attn_layer_idx", "attn_cfg", "d_intermediate")

_ALIVE = 3
_ALIVE_IN_MAMBA = 7
"""How many inputs and outputs of its largest matrix a token keeps at once. Measured on a CPU with models of width 512
and their highest memory: 2.4 in a GPT-NeoX, 3.3 in a Llama, 6.6 in transformers' Mamba."""


@dataclass(frozen=True)
class Architecture:
    """A language model's size in numbers; where layers are meant, their sum."""

    parameters: int
    """All of them; a matrix that serves as embedding and as head counts once."""
    matrices: int
    """Entries of the matrices that every token goes through: without embeddings and head."""
    width: int
    """Entries of a hidden state."""
    vocabulary: int
    """Logits at a position."""
    alive: int
    """Entries that a token keeps in memory at once, at most, while it goes through a layer; a rough figure."""
    queries: int = 0
    """Entries of the attention's queries, a token."""
    cached: int = 0
    """Entries of keys and values that a token leaves in the cache."""
    scan: int = 0
    """FLOPs of recurrences and their convolutions, a token."""
    state: int = 0
    """Entries of the recurrent states and of what the convolutions look back on, a row."""
    context: int | None = None
    """The most tokens that a prompt and its answer may have; None for no limit."""
    dtype: str | None = None
    """Of the stored weights, where the config says it."""


def read_architecture(pretrained: str, revision: str = "main", subfolder: str = "") -> Architecture:
    """Return what the config.json of a folder, hub id or packaged checkpoint says; weights are not downloaded.

    Raises:
        UserError: if there is none, or it is of a model that this estimate does not know.
    """
    checkpoint = resolve_checkpoint(pretrained)
    config = read_config(checkpoint, revision, subfolder)
    try:
        return describe(config, is_state_spaces(checkpoint, config), f"pretrained={pretrained}")
    except (AttributeError, KeyError, TypeError, ValueError, StrictDataclassError) as error:
        line = " ".join(str(error).split())
        raise UserError(f"pretrained={pretrained}: its config.json is not understood ({line})") from error


def describe(config: Mapping[str, Any], state_spaces: bool, source: str) -> Architecture:
    """Return what a config.json says.

    Args:
        config: the file's content.
        state_spaces: whether it is in the layout of state-spaces/mamba; else it is in that of transformers.
        source: the checkpoint, for the error line.

    Raises:
        UserError: if the model has layers whose work is not known here.
        AttributeError, KeyError, TypeError, ValueError, StrictDataclassError: if an entry is missing or does not fit.
    """
    if state_spaces and is_hybrid(config):
        return _describe_hybrid(config, source)
    if state_spaces:
        return _describe_recurrent(translate_config(config, source))
    if config["model_type"] not in CONFIG_MAPPING:
        raise UserError(f"{source}: this transformers does not know a {config['model_type']}")
    known = AutoConfig.for_model(**config)
    if isinstance(known, MambaConfig | Mamba2Config):
        return _describe_recurrent(known)
    return _describe_transformer(known, source)


def _on_meta(config: PretrainedConfig) -> PreTrainedModel:
    """Build the model with shapes alone: the meta device allocates nothing."""
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return model


def _sizes(model: PreTrainedModel, dtype: object) -> Architecture:
    """Return what holds for every kind of layer; ``dtype`` is the config's."""
    tables = [module.weight for module in model.modules() if isinstance(module, nn.Embedding)]
    tables.append(model.get_output_embeddings().weight)
    known = {id(table) for table in tables}
    matrices = [
        parameter
        for name, parameter in model.named_parameters()
        if parameter.dim() == 2 and id(parameter) not in known and not name.endswith("A_log")
    ]
    return Architecture(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        matrices=sum(matrix.numel() for matrix in matrices),
        width=tables[-1].shape[1],
        vocabulary=tables[-1].shape[0],
        alive=_ALIVE * max((sum(matrix.shape) for matrix in matrices), default=0),
        dtype=None if dtype is None else str(dtype).removeprefix("torch."),
    )


def _describe_transformer(config: PretrainedConfig, source: str) -> Architecture:
    model = _on_meta(config)
    for name, parameter in model.named_parameters():
        if parameter.dim() > 2:
            # Experts, of which a token goes through some, or the convolution of a recurrence.
            raise UserError(f"{source}: the work of layers such as {name} of a {config.model_type} is not known here")
    text: Any = config.get_text_config()
    heads, layers = text.num_attention_heads, text.num_hidden_layers
    head_size = getattr(text, "head_dim", None) or text.hidden_size // heads
    cached_heads = getattr(text, "num_key_value_heads", None) or heads
    return replace(
        _sizes(model, config.dtype),
        queries=layers * heads * head_size,
        cached=layers * 2 * cached_heads * head_size,
        context=getattr(text, "max_position_embeddings", None),
    )


def _describe_recurrent(config: MambaConfig | Mamba2Config) -> Architecture:
    """Describe a Mamba.

    The scan of Mamba-1 takes 9 FLOPs for each channel and entry of its state (A. Gu in state-spaces/mamba, issue 110).
    That of Mamba-2 runs in chunks of Q tokens: each token takes the products with the Q of its chunk, then reads and
    writes the state (Dao and Gu 2024, arXiv 2405.21060, section 6).
    """
    sizes = _sizes(_on_meta(config), config.dtype)
    if isinstance(config, Mamba2Config):
        channels = int(config.expand * config.hidden_size)
        groups = config.n_groups * config.state_size
        convolved = channels + 2 * groups
        scan = 2 * config.chunk_size * (groups + channels) + 4 * channels * config.state_size
        # Without mamba-ssm's kernels the products with the tokens of the chunk stand in memory, some four times.
        scores = 4 * config.num_heads * config.chunk_size
    else:
        channels = convolved = config.intermediate_size
        scan = 9 * channels * config.state_size
        scores = 0
    layers, taps = config.num_hidden_layers, config.conv_kernel
    return replace(
        sizes,
        alive=sizes.alive // _ALIVE * _ALIVE_IN_MAMBA + scores,
        scan=layers * (scan + 2 * taps * convolved),
        state=layers * (channels * config.state_size + (taps - 1) * convolved),
    )


def _describe_hybrid(config: Mapping[str, Any], source: str) -> Architecture:
    """Describe a state-spaces model some of whose layers are attention or have an MLP, as mamba-ssm 2.3 builds it."""
    attention = config.get("attn_cfg") or {}
    count, layers, width = len(config.get("attn_layer_idx") or ()), config["n_layer"], config["d_model"]
    rest = {key: value for key, value in config.items() if key not in _HYBRID_KEYS}
    sizes = _describe_recurrent(translate_config(rest | {"n_layer": layers - count}, source))
    queries = packed = taps = biases = 0
    if count:
        heads, taps = attention["num_heads"], attention.get("d_conv", 0)
        head_size = attention.get("head_dim") or width // heads
        queries = heads * head_size
        packed = queries + 2 * head_size * (attention.get("num_heads_kv") or heads)
        biases = attention.get("qkv_proj_bias", True) * packed + attention.get("out_proj_bias", True) * width
    hidden = -(-config.get("d_intermediate", 0) // 128) * 128  # mamba-ssm rounds an MLP up to multiples of 128
    matrices = count * width * (packed + queries) + layers * 3 * width * hidden
    convolution = packed * (taps + 1) if taps else 0
    norms = count * width + layers * width * bool(hidden)
    return replace(
        sizes,
        parameters=sizes.parameters + matrices + norms + count * (biases + convolution),
        matrices=sizes.matrices + matrices,
        alive=max(sizes.alive, _ALIVE * (width + max(packed, 2 * hidden))),
        queries=count * queries,
        cached=count * (packed - queries),
        scan=sizes.scan + count * 2 * taps * packed,
        state=sizes.state + count * taps * packed,
    )
