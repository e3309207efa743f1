"""The two small models: a GPT-NeoX like Pythia and a Mamba-1, with as many parameters as each other."""

from types import MethodType

import torch
from torch import nn
from torch.nn import functional
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, MambaConfig, MambaForCausalLM, PreTrainedModel
from transformers.models.mamba.modeling_mamba import MambaMixer

from copy_eval.training.selective_scan import selective_scan

CONTEXT = 3072
"""Tokens that tiny-pythia reads: a book of 160 entries with its question. Tiny-mamba has no such limit."""


def build_pythia(vocabulary_size: int) -> GPTNeoXForCausalLM:
    """Build tiny-pythia: width 192, 4 layers, 3 heads of 64, a quarter of each with rotary positions as in Pythia."""
    config = GPTNeoXConfig(
        vocab_size=vocabulary_size,
        hidden_size=192,
        num_hidden_layers=4,
        num_attention_heads=3,
        intermediate_size=424,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.25},
        max_position_embeddings=CONTEXT,
        # About 1 / sqrt(width): attention tells tokens apart from the start, and lookups form sooner.
        initializer_range=0.07,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPTNeoXForCausalLM(config)


def build_mamba(vocabulary_size: int) -> MambaForCausalLM:
    """Build tiny-mamba: width 192, 5 layers, expansion 2, 16 numbers of state a channel, convolutions over 4 tokens."""
    config = MambaConfig(
        vocab_size=vocabulary_size,
        hidden_size=192,
        num_hidden_layers=5,
        state_size=16,
        expand=2,
        conv_kernel=4,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        rescale_prenorm_residual=True,
    )
    model = MambaForCausalLM(config)
    for module in model.modules():
        if isinstance(module, MambaMixer):
            module.forward = MethodType(_mix, module)
    return model


def _mix(mixer: MambaMixer, hidden: torch.Tensor, **_: object) -> torch.Tensor:
    """Do what ``MambaMixer.forward`` does for a whole sequence, with the compiled scan for its loop over time."""
    u, gate = mixer.in_proj(hidden).chunk(2, dim=-1)
    u = functional.silu(_convolve(u, mixer.conv1d))
    sizes = [mixer.time_step_rank, mixer.ssm_state_size, mixer.ssm_state_size]
    time_step, b, c = mixer.x_proj(u).split(sizes, dim=-1)
    delta = functional.softplus(mixer.dt_proj(time_step).float())
    y = selective_scan(u, delta, -torch.exp(mixer.A_log), b, c) + mixer.D * u
    return mixer.out_proj(y * functional.silu(gate))


def _convolve(u: torch.Tensor, convolution: nn.Conv1d) -> torch.Tensor:
    """Convolve each channel of ``u`` (batch, length, channels) causally, as a sum of shifted copies.

    That is several times faster than a grouped Conv1d on a CPU.
    """
    kernel = convolution.weight[:, 0]
    taps = kernel.shape[1]
    padded = functional.pad(u, (0, 0, taps - 1, 0))
    convolved = torch.zeros_like(u) if convolution.bias is None else convolution.bias.expand_as(u)
    for tap in range(taps):
        convolved = convolved + padded[:, tap : tap + u.shape[1]] * kernel[:, tap]
    return convolved


def hidden_states(model: PreTrainedModel, tokens: torch.Tensor) -> torch.Tensor:
    """Return what the language modelling head reads, of shape (batch, length, width)."""
    return model.base_model(tokens, use_cache=False).last_hidden_state
