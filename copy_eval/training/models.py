"""The two small models: a GPT-NeoX like Pythia and a Mamba-1, with as many parameters as each other."""

from types import MethodType

import torch
from torch.nn import functional
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, MambaConfig, MambaForCausalLM, PreTrainedModel
from transformers.models.mamba.modeling_mamba import MambaMixer

from copy_eval.training.selective_scan import selective_scan

CONTEXT = 3072
"""Tokens that tiny-pythia reads: a book of 160 entries with its question. Tiny-mamba has no such limit."""


def build_pythia(vocabulary_size: int) -> GPTNeoXForCausalLM:
    """Build tiny-pythia: width 192, 4 layers, 6 heads, rotary positions on half of each head."""
    config = GPTNeoXConfig(
        vocab_size=vocabulary_size,
        hidden_size=192,
        num_hidden_layers=4,
        num_attention_heads=6,
        intermediate_size=424,
        rotary_pct=0.5,
        max_position_embeddings=CONTEXT,
        # About 1 / sqrt(width): attention tells tokens apart from the start, and lookups form sooner.
        initializer_range=0.07,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation="sdpa",
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
    for layer in model.backbone.layers:
        layer.mixer.forward = MethodType(_mix, layer.mixer)
    return model


def _mix(mixer: MambaMixer, hidden: torch.Tensor, **_: object) -> torch.Tensor:
    """Do what ``MambaMixer.forward`` does for a whole sequence, with the compiled scan for its loop over time."""
    u, gate = mixer.in_proj(hidden).chunk(2, dim=-1)
    u = functional.silu(_convolve(u, mixer.conv1d.weight[:, 0], mixer.conv1d.bias))
    sizes = [mixer.time_step_rank, mixer.ssm_state_size, mixer.ssm_state_size]
    time_step, b, c = mixer.x_proj(u).split(sizes, dim=-1)
    delta = functional.softplus(mixer.dt_proj(time_step).float())
    y = selective_scan(u, delta, -torch.exp(mixer.A_log), b, c) + mixer.D * u
    return mixer.out_proj(y * functional.silu(gate))


def _convolve(u: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Convolve each channel causally: shifted sums are several times faster than a grouped Conv1d on a CPU.

    Shapes: u (batch, length, channels), kernel (channels, taps), bias (channels).
    """
    taps = kernel.shape[1]
    padded = functional.pad(u, (0, 0, taps - 1, 0))
    return sum((padded[:, tap : tap + u.shape[1]] * kernel[:, tap] for tap in range(taps)), start=bias)


def hidden_states(model: PreTrainedModel, tokens: torch.Tensor) -> torch.Tensor:
    """Return what the language modelling head reads, of shape (batch, length, width)."""
    return model.base_model(tokens, use_cache=False).last_hidden_state
