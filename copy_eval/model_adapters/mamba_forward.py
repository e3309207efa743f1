"""A forward pass through transformers' Mamba and Mamba-2 that goes on from any state with any number of tokens.

transformers' own can only begin with an empty state or go on by one token, and has no way to let the rows of a batch
differ in length. Here a row's padding stands on the right and has a step size of 0, which leaves its state exactly as
it is: exp(0) times the state plus 0 times the input. The modules and weights are transformers' own.

Evaluation and training share this pass. Mamba-1's scan is a parameter of it, because training needs one that has a
gradient; that of Mamba-2 is transformers'.
"""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor
from torch.nn import functional
from transformers import Mamba2ForCausalLM, MambaForCausalLM, PreTrainedModel
from transformers.models.mamba2.modeling_mamba2 import mamba2_chunk_scan

StateSpaceModel: TypeAlias = MambaForCausalLM | Mamba2ForCausalLM

States: TypeAlias = list[tuple[Tensor, Tensor]]
"""Per layer: the last inputs of the convolution [row, token, channel], and the state of the recurrence [row, …]."""

Scan: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""A way to compute Mamba-1's recurrence, with the arguments and the result of ``selective_scan``."""

_STRETCH = 32
"""Tokens whose states are held at once."""


def find_state_space_model(model: PreTrainedModel) -> StateSpaceModel | None:
    """Return the Mamba or Mamba-2 that ``model`` is or wraps, None for others and for one spread over devices."""
    base = cast(Any, model).get_base_model() if hasattr(model, "get_base_model") else model
    spread = len(set((getattr(model, "hf_device_map", None) or {}).values())) > 1
    return base if isinstance(base, MambaForCausalLM | Mamba2ForCausalLM) and not spread else None


def empty_states(model: StateSpaceModel, rows: int) -> States:
    """Return the states before any token."""
    backbone: Any = model.backbone
    states = []
    for layer in backbone.layers:
        mixer = layer.mixer
        weight = mixer.conv1d.weight  # [channel, 1, taps]
        conv = weight.new_zeros(rows, weight.shape[-1] - 1, len(weight))
        shape = (mixer.num_heads, mixer.head_dim) if isinstance(model, Mamba2ForCausalLM) else (len(weight),)
        hidden = weight.new_zeros(rows, *shape, mixer.ssm_state_size, dtype=torch.float32)
        states.append((conv, hidden))
    return states


def selective_scan(
    u: Tensor,
    steps: Tensor,
    A: Tensor,  # noqa: N803 (the paper's names)
    B: Tensor,  # noqa: N803
    C: Tensor,  # noqa: N803
    state: Tensor,
) -> tuple[Tensor, Tensor]:
    """Run Mamba-1's recurrence (Gu and Dao 2023, algorithm 2) in plain PyTorch, where no kernels are at hand.

    transformers' own loop takes four strided operations a token, keeps three tensors of tokens x width x state for the
    whole prompt, and always begins with an empty state. This one takes a single in-place operation a token, on memory
    in order of time, a stretch at a time, and goes on from any state.

    Args:
        u: the convolved input [row, token, width].
        steps: the step size, float32 [row, token, width]; a token with 0 leaves the state exactly as it is.
        A: decay rates, negative [width, state].
        B: input weights [row, token, state].
        C: output weights [row, token, state].
        state: before the first token, float32 [row, width, state]; it is not changed.

    Returns:
        The output [row, token, width] and the state after the last token, both float32.
    """
    # By time first: each token's slice is one block of memory.
    drive = (steps * u).transpose(0, 1)
    steps = steps.transpose(0, 1)
    inputs, outputs = B.float().transpose(0, 1), C.float().transpose(0, 1)
    seen = []
    for start in range(0, len(steps), _STRETCH):
        stretch = slice(start, start + _STRETCH)
        decays = (steps[stretch, :, :, None] * A).exp_()
        states = drive[stretch, :, :, None] * inputs[stretch, :, None, :]
        for decay, current in zip(decays, states, strict=True):
            state = current.addcmul_(decay, state)
        seen.append((states @ outputs[stretch, :, :, None]).squeeze(-1))
        state = state.clone()  # not a view that keeps the whole stretch alive
    return torch.cat(seen).transpose(0, 1), state


def take_in(
    model: StateSpaceModel,
    ids: Tensor,
    states: States,
    lengths: Sequence[int] | None = None,
    scan: Scan = selective_scan,
) -> tuple[Tensor, States]:
    """Take in tokens after those that led to ``states``.

    Args:
        model: whose forward pass this is.
        ids: token ids [row, token].
        states: before them; they are not changed.
        lengths: how many of each row's tokens count; what follows is padding. By default all.
        scan: computes the recurrence of a Mamba-1.

    Returns:
        What the language modelling head reads [row, token, width], and the states after each row's tokens.
    """
    mix = _mix2 if isinstance(model, Mamba2ForCausalLM) else partial(_mix1, scan=scan)
    ends = real = None
    if lengths is not None and min(lengths) < ids.shape[1]:
        ends = torch.tensor(lengths, device=ids.device)
        real = (torch.arange(ids.shape[1], device=ids.device) < ends[:, None])[:, :, None]
    backbone: Any = model.backbone
    hidden = backbone.embeddings(ids)
    after = []
    for layer, state in zip(backbone.layers, states, strict=True):
        normed = layer.norm(hidden.to(layer.norm.weight.dtype))
        if layer.residual_in_fp32:
            hidden = hidden.float()
        mixed, state = mix(layer.mixer, normed, state, ends, real)
        hidden = hidden + mixed
        after.append(state)
    return backbone.norm_f(hidden), after


def logits_of(model: StateSpaceModel, hidden: Tensor) -> Tensor:
    """Return the float32 logits of what ``take_in`` returned, or of some of its positions."""
    logits: Tensor = model.lm_head(hidden.to(model.lm_head.weight.dtype)).float()
    return logits


def _mix1(
    mixer: Any, inputs: Tensor, state: tuple[Tensor, Tensor], ends: Tensor | None, real: Tensor | None, scan: Scan
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    conv, hidden = state
    u, gate = mixer.in_proj(inputs).chunk(2, dim=-1)
    u, conv = _convolve(mixer, u, conv, ends)
    sizes = [mixer.time_step_rank, mixer.ssm_state_size, mixer.ssm_state_size]
    dt, b, c = mixer.x_proj(u).split(sizes, dim=-1)
    dt = functional.linear(dt, mixer.dt_proj.weight).float() + mixer.dt_proj.bias.float()
    steps = _step_sizes(dt, real)
    seen, hidden = scan(u, steps, -mixer.A_log.float().exp(), b, c, hidden)
    # The gate is SiLU in both, whatever the config's `hidden_act`, which is that of the convolution.
    output = (seen + u * mixer.D.float()) * functional.silu(gate)
    return mixer.out_proj(output.to(inputs.dtype)), (conv, hidden)


def _mix2(
    mixer: Any, inputs: Tensor, state: tuple[Tensor, Tensor], ends: Tensor | None, real: Tensor | None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    conv, hidden = state
    rows, tokens, _ = inputs.shape
    packed = mixer.in_proj(inputs)
    gate, mixed, dt = packed.split([mixer.intermediate_size, mixer.conv_dim, mixer.num_heads], dim=-1)
    mixed, conv = _convolve(mixer, mixed, conv, ends)
    group = mixer.n_groups * mixer.ssm_state_size
    u, b, c = mixed.split([mixer.intermediate_size, group, group], dim=-1)
    u = u.view(rows, tokens, mixer.num_heads, mixer.head_dim)
    b, c = (part.view(rows, tokens, mixer.n_groups, mixer.ssm_state_size) for part in (b, c))
    steps = _step_sizes((dt + mixer.dt_bias).float(), real, mixer.time_step_limit)
    scan = _one_step if tokens == 1 else _many_steps
    seen, hidden = scan(mixer, u, steps, -mixer.A_log.float().exp(), b, c, hidden)
    seen = seen + u * mixer.D.float()[:, None]
    output = mixer.norm(seen.reshape(rows, tokens, -1), gate)
    return mixer.out_proj(output.to(inputs.dtype)), (conv, hidden)


def _many_steps(
    mixer: Any, u: Tensor, steps: Tensor, decay_rates: Tensor, b: Tensor, c: Tensor, hidden: Tensor
) -> tuple[Tensor, Tensor]:
    tokens = u.shape[1]
    # The work grows with the chunk, so a short draft gets a short one; a power of two for the kernel that CUDA has.
    chunk = min(mixer.chunk_size, max(16, 1 << (tokens - 1).bit_length()))
    # Where mamba-ssm is installed, transformers puts its kernel there, whatever the device.
    scan = mamba2_chunk_scan if u.is_cuda else inspect.unwrap(mamba2_chunk_scan)
    seen, after = scan(u, steps, decay_rates, b, c, chunk_size=chunk, initial_states=hidden, return_final_states=True)
    return seen, after


def _one_step(
    mixer: Any, u: Tensor, steps: Tensor, decay_rates: Tensor, b: Tensor, c: Tensor, hidden: Tensor
) -> tuple[Tensor, Tensor]:
    heads = mixer.num_heads // mixer.n_groups
    b, c = (part[:, 0].float().repeat_interleave(heads, dim=1) for part in (b, c))
    size = steps[:, 0]
    drive = (size[:, :, None] * u[:, 0])[..., None] * b[:, :, None]
    hidden = torch.addcmul(drive, (size * decay_rates).exp()[:, :, None, None], hidden)
    return (hidden @ c[..., None]).squeeze(-1)[:, None], hidden


def _step_sizes(dt: Tensor, real: Tensor | None, limits: tuple[float, float] | None = None) -> Tensor:
    steps = functional.softplus(dt)
    if limits is not None:
        steps = steps.clamp(*limits)
    return steps if real is None else steps * real


def _convolve(mixer: Any, inputs: Tensor, before: Tensor, ends: Tensor | None) -> tuple[Tensor, Tensor]:
    """Convolve each channel causally; return the activated output and the inputs that the next token's will need.

    Shifted sums are several times faster than a grouped ``Conv1d`` on a CPU.
    """
    conv1d: torch.nn.Conv1d = mixer.conv1d
    taps, tokens = conv1d.kernel_size[0], inputs.shape[1]
    kernel = conv1d.weight[:, 0].float()  # [channel, tap]
    inputs = torch.cat([before, inputs], dim=1)
    total = inputs[:, :tokens] * kernel[:, 0]
    for tap in range(1, taps):
        total = torch.addcmul(total, inputs[:, tap : tap + tokens].float(), kernel[:, tap])
    if conv1d.bias is not None:
        total = total + conv1d.bias.float()
    if ends is None:
        after = inputs[:, tokens:]
    else:
        places = ends[:, None] + torch.arange(taps - 1, device=ends.device)
        after = inputs.gather(1, places[:, :, None].expand(-1, -1, inputs.shape[2]))
    return mixer.act(total).to(inputs.dtype), after
