"""What nvcc and Triton would compile, in plain PyTorch, so that mamba-ssm's own Python runs on a CPU as it is.

Each function checks what the compiled one checks, and computes by the reference that the package carries for its own
tests (``*_ref``); for the chunked scan, by that of transformers.
"""

import importlib.util
import sys
from inspect import unwrap
from types import ModuleType, SimpleNamespace
from unittest.mock import MagicMock

import torch

FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def check(condition, message):
    """As the macro of the C++ code, which raises a RuntimeError too."""
    if not condition:
        raise RuntimeError(message)


def selective_scan_fwd(u, delta, A, B, C, D, z, delta_bias, delta_softplus):  # noqa: N803
    from mamba_ssm.ops.selective_scan_interface import selective_scan_ref

    check(u.dtype in FLOATS and A.dtype == torch.float32, "selective_scan: dtype")
    check(delta.dtype == B.dtype == C.dtype == z.dtype == u.dtype, "selective_scan: dtype of an input")
    check(D.dtype == delta_bias.dtype == torch.float32, "selective_scan: dtype of D or the bias")
    check(all(part.stride(-1) == 1 or part.shape[-1] == 1 for part in (u, delta, B, C, z)), "selective_scan: strides")
    check(A.shape[1] <= 256, "selective_scan only supports state dimension <= 256")
    out, last = selective_scan_ref(u, delta, A, B, C, D, z, delta_bias, delta_softplus, return_last_state=True)
    states = torch.stack([last, last], dim=-1).flatten(-2)[:, :, None]  # of the last chunk: decay, state, decay, ...
    return [out, states, out]


def causal_conv1d_fwd(x, weight, bias, seq_idx, initial_states, out, final_states_out, silu):
    from causal_conv1d.causal_conv1d_interface import causal_conv1d_ref

    check(seq_idx is None and initial_states is None and final_states_out is None, "not needed here")
    check(x.dtype in FLOATS and 2 <= weight.shape[1] <= 4, "causal_conv1d only supports width between 2 and 4")
    check(1 in (x.stride(1), x.stride(2)), "causal_conv1d: strides")
    if x.stride(1) == 1 and x.stride(2) > 1:
        check(
            all(size % 8 == 0 for size in (x.shape[1], x.stride(2), x.stride(0))),
            "causal_conv1d with channel last layout requires strides to be multiples of 8",
        )
    out.copy_(causal_conv1d_ref(x, weight, bias, activation="silu" if silu else None))


def causal_conv1d_update(x, conv_state, weight, bias, out, silu, cache_seqlens, conv_state_indices):
    from causal_conv1d.causal_conv1d_interface import causal_conv1d_update_ref

    check(cache_seqlens is None and conv_state_indices is None, "not needed here")
    check(conv_state.dtype == x.dtype and x.dtype in FLOATS, "conv_state.scalar_type() == input_type")
    check(2 <= weight.shape[1] <= 4, "causal_conv1d only supports width between 2 and 4")
    out.copy_(causal_conv1d_update_ref(x, conv_state, weight, bias, activation="silu" if silu else None))


def chunk_scan_fwd(x, dt, A, B, C, chunk_size, D=None, dt_bias=None, dt_softplus=False, **_):  # noqa: N803
    from transformers.models.mamba2.modeling_mamba2 import mamba2_chunk_scan

    out, last = unwrap(mamba2_chunk_scan)(
        x, dt.float(), A, B, C, chunk_size, D=D, dt_bias=dt_bias, dt_softplus=dt_softplus, return_final_states=True
    )
    return out.to(x.dtype), out.to(x.dtype), None, None, None, last


def layer_norm_fwd(
    x, weight, bias, eps, residual=None, x1=None, weight1=None, bias1=None, dropout_p=0.0, rowscale=None,
    out_dtype=None, residual_dtype=None, is_rms_norm=False, return_dropout_mask=False,
):  # fmt: skip
    from mamba_ssm.ops.triton.layer_norm import layer_norm_ref, rms_norm_ref

    check(x1 is weight1 is bias1 is rowscale is None and not dropout_p and not return_dropout_mask, "not needed here")
    total = x.float() if residual is None else x.float() + residual.float()
    norm = rms_norm_ref if is_rms_norm else layer_norm_ref
    out = norm(total, weight.float(), None if bias is None else bias.float(), eps=eps).to(out_dtype or x.dtype)
    kept = residual_dtype or (x.dtype if residual is None else residual.dtype)
    return out, None, None, None, total.to(kept), None, None, None


def gated_norm_fwd(x, weight, bias, eps, z=None, out=None, group_size=None, norm_before_gate=True, is_rms_norm=False):
    from mamba_ssm.ops.triton.layernorm_gated import rms_norm_ref

    check(is_rms_norm and out is None, "not needed here")
    return rms_norm_ref(x, weight, bias, z, eps, group_size, norm_before_gate), None, None


def flash_attn_with_kvcache(q, k_cache, v_cache, k, v, cache_seqlens, softmax_scale, causal, **_):
    """Write the keys and values behind the ``cache_seqlens`` that are there, and attend to all of them."""
    end = cache_seqlens + k.shape[1]
    k_cache[:, cache_seqlens:end], v_cache[:, cache_seqlens:end] = k, v
    check(causal and q.shape[1] == 1, "not needed here")
    keys, values = (cache[:, :end].transpose(1, 2) for cache in (k_cache, v_cache))
    attend = torch.nn.functional.scaled_dot_product_attention
    return attend(q.transpose(1, 2), keys, values, scale=softmax_scale, enable_gqa=True).transpose(1, 2)


COMPILED = {
    "selective_scan_cuda": {"fwd": selective_scan_fwd},
    "causal_conv1d_cuda": {"causal_conv1d_fwd": causal_conv1d_fwd, "causal_conv1d_update": causal_conv1d_update},
    "flash_attn": {"flash_attn_with_kvcache": flash_attn_with_kvcache},
}


def install():
    """Put them into the place of what is compiled, for the whole process: transformers looks once, at its import."""
    triton = MagicMock(__version__="3.6.0", __spec__=SimpleNamespace(submodule_search_locations=[]))
    triton.Config = lambda kwargs, num_warps=4, **_: SimpleNamespace(kwargs=kwargs, num_warps=num_warps)
    triton.autotune = lambda configs, **_: lambda _: SimpleNamespace(configs=configs)
    triton.heuristics = lambda _: lambda kernel: kernel
    sys.modules |= {"triton": triton, "triton.language": triton.language, "triton.testing": triton.testing}
    for name, functions in COMPILED.items():
        module = ModuleType(name)
        module.__spec__ = importlib.util.spec_from_loader(name, loader=None)
        vars(module).update(functions)
        sys.modules[name] = module

    from mamba_ssm.modules import mamba2, mamba_simple
    from mamba_ssm.ops.triton import layer_norm, layernorm_gated, selective_state_update, ssd_combined

    for module in (selective_state_update, mamba2, mamba_simple):  # transformers takes that of the first
        module.selective_state_update = selective_state_update.selective_state_update_ref
    layer_norm._layer_norm_fwd = layer_norm_fwd
    layernorm_gated._layer_norm_fwd = ssd_combined._layer_norm_fwd = gated_norm_fwd
    ssd_combined._mamba_chunk_scan_combined_fwd = chunk_scan_fwd
