"""What a checkpoint's config.json alone says of its size and its work: no weights are read, none are allocated.

transformers builds the model on PyTorch's meta device, where tensors have shapes and no content. Short texts go through
it, and PyTorch's own counter adds up the FLOPs.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any
from unittest.mock import patch

import torch
from huggingface_hub.errors import StrictDataclassError
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
)
from transformers.integrations import hub_kernels

import copy_eval.architectures  # noqa: F401 - registers them
from copy_eval.errors import UserError
from copy_eval.model_adapters.checkpoints import is_state_spaces, read_config, resolve_checkpoint
from copy_eval.model_adapters.memory import LayerCache, bytes_kept, read_layers
from copy_eval.model_adapters.state_spaces_layout import is_hybrid, translate_config

_SHORT = (4, 8, 12)
_WHOLE_CHUNKS = (0, 256, 512)
"""Tokens of the texts that are counted; four are as many as a convolution takes in. Some recurrences (Mamba-2, gated
delta rules) fill a text up to whole chunks, and 256 is a multiple of all usual chunks. Others go token by token, which
is slow to count."""

_UNSEEN = 7
"""FLOPs for each channel and entry of its state that Mamba-1's scan takes a token, and that are no matrix products, so
that the counter does not see them: it sees 2 of the 9 (A. Gu in state-spaces/mamba, issue 110)."""


@dataclass(frozen=True)
class Architecture:
    """The size of a language model, and its work."""

    parameters: int
    """All of them; a matrix that serves as embedding and as head counts once."""
    weights: int
    """Their bytes."""
    flops: tuple[Fraction, Fraction, Fraction]
    """Of a forward pass with logits for every token: the coefficients of 1, of the tokens, and of their square."""
    head: int
    """FLOPs of the logits for one token."""
    layers: tuple[LayerCache, ...] | None
    """None where transformers keeps the states elsewhere than in its cache."""
    context: int | None
    """The most tokens that a prompt and its answer may have; None for no limit."""

    def forward_flops(self, tokens: int, logits: int) -> int:
        """Return the FLOPs of a forward pass over a text, as ``FlopCounterMode`` counts them.

        It counts products of matrices and convolutions. That takes in the half of the attention that a causal model
        then hides, and leaves out normalisation and activation functions.

        Args:
            tokens: of the text.
            logits: tokens for which logits are computed.
        """
        constant, linear, square = self.flops
        return round(constant + linear * tokens + square * tokens**2) - self.head * (tokens - logits)

    def cache_bytes(self, tokens: int) -> int | None:
        """Return the bytes that a text of so many tokens leaves in the cache; None where that is not known."""
        return None if self.layers is None else bytes_kept(self.layers, tokens)


def read_architecture(
    pretrained: str, revision: str = "main", dtype: torch.dtype | str | None = None, subfolder: str = ""
) -> Architecture:
    """Return what the config.json of a folder, hub id or packaged checkpoint says; weights are not downloaded.

    Args:
        pretrained: the checkpoint.
        revision: on the hub.
        dtype: of the weights; ``auto`` or None for that of the config.
        subfolder: of the checkpoint.

    Raises:
        UserError: if there is no config, or transformers cannot build its model or run it without weights.
    """
    checkpoint = resolve_checkpoint(pretrained)
    config = read_config(checkpoint, revision, subfolder)
    name = "auto" if dtype is None else str(dtype).removeprefix("torch.")
    return describe(config, is_state_spaces(checkpoint, config), f"pretrained={pretrained}", name)


def describe(config: Mapping[str, Any], state_spaces: bool, source: str, dtype: str = "auto") -> Architecture:
    """Return what a config.json says.

    Args:
        config: the file's content.
        state_spaces: whether it is in the layout of state-spaces/mamba; else it is in that of transformers.
        source: the checkpoint, for the error line.
        dtype: of the weights, by name; ``auto`` for that of the config.

    Raises:
        UserError: if transformers cannot build the model or run it without weights.
    """
    if state_spaces and is_hybrid(config):
        raise UserError(f"{source}: its attention or MLP layers are mamba-ssm's own, which transformers cannot build")
    if not state_spaces and config["model_type"] not in CONFIG_MAPPING:
        code = ", and code that comes with a checkpoint is not run for an estimate" if "auto_map" in config else ""
        raise UserError(f"{source}: this transformers does not know a {config['model_type']}{code}")
    try:
        known = translate_config(config, source) if state_spaces else AutoConfig.for_model(**config)
    except (AttributeError, KeyError, TypeError, ValueError, StrictDataclassError) as error:
        raise UserError(f"{source}: its config.json is not understood ({_one_line(error)})") from error
    if type(known) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise UserError(f"{source}: transformers has no causal language model of the kind {known.model_type}")
    try:
        return _count(json.dumps(known.to_dict(), default=str), dtype)
    except Exception as error:  # the code of any architecture in transformers has run
        raise UserError(f"{source}: its work cannot be counted without weights ({_one_line(error)})") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


@cache  # the checkpoints of one training run share it
def _count(config: str, dtype: str) -> Architecture:
    """Count what a config says; it is JSON, for it to be the key of the cache."""
    known = AutoConfig.for_model(**json.loads(config))
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(
            known, dtype=known.dtype if dtype == "auto" else dtype, attn_implementation="eager"
        )
    model.eval()
    # One product for each expert that a token goes to; the other implementations ask which those are.
    model.set_experts_implementation("batched_mm")
    parameters = list(model.parameters())
    with _without_kernels(), torch.no_grad():
        (first, cache_of_first), (second, cache_of_second) = (_forward(model, tokens) for tokens in _SHORT[:2])
        # Would a text without tokens cost anything? Then this one was filled up to a chunk.
        if 2 * first - second > first / 100:
            flops = _fit(_WHOLE_CHUNKS, [0, *(_forward(model, tokens)[0] for tokens in _WHOLE_CHUNKS[1:])])
        else:
            flops = _fit(_SHORT, [first, second, _forward(model, _SHORT[2])[0]])
    unseen = sum(_UNSEEN * rates.numel() for name, rates in model.named_parameters() if _is_mamba1_decay(name, rates))
    return Architecture(
        parameters=sum(parameter.numel() for parameter in parameters),
        weights=sum(parameter.numel() * parameter.element_size() for parameter in parameters),
        flops=(flops[0], flops[1] + unseen, flops[2]),
        head=2 * model.get_output_embeddings().weight.numel(),
        layers=read_layers(cache_of_first, cache_of_second, _SHORT[:2]),
        context=getattr(known.get_text_config(), "max_position_embeddings", None),
    )


def _is_mamba1_decay(name: str, parameter: torch.Tensor) -> bool:
    """Tell the decay rates of Mamba-1, one for each entry of its state, from those of others, one for each head."""
    return name.endswith("A_log") and parameter.dim() > 1


@contextmanager
def _without_kernels() -> Iterator[None]:
    """Have transformers compute in plain PyTorch: the kernels that it prefers where they are installed need a GPU.

    It leaves them out for a model that is being exported, and asks this function. Where there are none, it warns that
    the model will be slow, which is nothing to someone who only counts.
    """
    exporting = patch.object(hub_kernels, "is_torchdynamo_exporting", new=lambda: True)
    with exporting, patch.object(hub_kernels.logger, "disabled", new=True):
        yield


def _forward(model: PreTrainedModel, tokens: int) -> tuple[int, Any]:
    """Return the FLOPs of a text of so many tokens, and the cache after it."""
    ids = torch.zeros(1, tokens, dtype=torch.long, device="meta")
    with FlopCounterMode(display=False) as counter:
        output = model(input_ids=ids, use_cache=True)
    return counter.get_total_flops(), output.get("past_key_values", output.get("cache_params"))


def _fit(tokens: Sequence[int], flops: Sequence[int]) -> tuple[Fraction, Fraction, Fraction]:
    """Return the coefficients of the quadratic through three counts at evenly spaced numbers of tokens."""
    step = tokens[1] - tokens[0]
    square = Fraction(flops[2] - 2 * flops[1] + flops[0], 2 * step**2)
    linear = Fraction(flops[1] - flops[0], step) - square * (tokens[0] + tokens[1])
    return flops[0] - linear * tokens[0] - square * tokens[0] ** 2, linear, square
