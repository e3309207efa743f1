"""Mamba and Mamba-2 from the papers, in state-spaces parameter names: one token after the other, plain PyTorch.

Nothing here is shared with transformers or mamba-ssm: equal logits show that the weights were read as meant.
"""

import torch
from torch import Tensor
from torch.nn import functional

Weights = dict[str, Tensor]


def draw_weights(config: dict, seed: int = 0) -> Weights:
    """Draw the weights of a small model that really depends on its whole past, by state-spaces names."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float) -> Tensor:
        return torch.randn(*shape, generator=rng) * scale

    ssm, width = config["ssm_cfg"], config["d_model"]
    multiple = config["pad_vocab_size_multiple"]
    rows = -(-config["vocab_size"] // multiple) * multiple
    inner, state, conv = width * ssm.get("expand", 2), ssm["d_state"], ssm.get("d_conv", 4)
    weights = {"backbone.embedding.weight": normal(rows, width, scale=0.2)}
    weights["lm_head.weight"] = weights["backbone.embedding.weight"]
    if not config.get("tie_embeddings", True):
        weights["lm_head.weight"] = normal(rows, width, scale=1.0)
    for layer in range(config["n_layer"]):
        if ssm.get("layer") == "Mamba2":
            heads, groups = inner // ssm["headdim"], ssm["ngroups"]
            channels = inner + 2 * groups * state
            mixer = {
                "in_proj.weight": normal(inner + channels + heads, width, scale=width**-0.5),
                "dt_bias": normal(heads, scale=0.5) - 2,
                "A_log": normal(heads, scale=0.5),
                "D": normal(heads, scale=1.0),
                "norm.weight": 1 + normal(inner, scale=0.2),
            }
        else:
            rank, channels = -(-width // 16), inner
            mixer = {
                "in_proj.weight": normal(2 * inner, width, scale=width**-0.5),
                "x_proj.weight": normal(rank + 2 * state, inner, scale=inner**-0.5),
                "dt_proj.weight": normal(inner, rank, scale=1.0),
                "dt_proj.bias": normal(inner, scale=0.5) - 2,
                "A_log": normal(inner, state, scale=0.5),
                "D": normal(inner, scale=1.0),
            }
        mixer |= {
            "conv1d.weight": normal(channels, 1, conv, scale=0.5),
            "conv1d.bias": normal(channels, scale=0.1),
            "out_proj.weight": normal(width, inner, scale=2 * inner**-0.5),
        }
        weights |= {f"backbone.layers.{layer}.mixer.{name}": tensor for name, tensor in mixer.items()}
        weights[f"backbone.layers.{layer}.norm.weight"] = 1 + normal(width, scale=0.2)
    weights["backbone.norm_f.weight"] = 1 + normal(width, scale=0.2)
    return weights


def reference_logits(config: dict, weights: Weights, tokens: list[int]) -> Tensor:
    """Return the logits after each token [token, vocab]."""
    mixer = _mamba2 if config["ssm_cfg"].get("layer") == "Mamba2" else _mamba1
    residual = weights["backbone.embedding.weight"][tokens]
    for layer in range(config["n_layer"]):
        prefix = f"backbone.layers.{layer}."
        own = {name.removeprefix(prefix + "mixer."): tensor for name, tensor in weights.items() if prefix in name}
        residual = residual + mixer(config["ssm_cfg"], own, _rms(residual, weights[prefix + "norm.weight"]))
    return _rms(residual, weights["backbone.norm_f.weight"]) @ weights["lm_head.weight"].T


def _rms(values: Tensor, weight: Tensor) -> Tensor:
    return values / (values.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight


def _causal_conv(signal: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve each channel with its own kernel, over the present and the past [token, channel], then SiLU."""
    width = weight.shape[-1]
    past = torch.cat([signal.new_zeros(width - 1, signal.shape[1]), signal])
    out = torch.stack([(past[t : t + width] * weight[:, 0].T).sum(0) for t in range(len(signal))])
    return functional.silu(out + bias)


def _mamba1(ssm: dict, own: Weights, inputs: Tensor) -> Tensor:
    """Gu and Dao 2023, algorithm 2 and section 3.4: dt, B and C depend on the input, A and D do not."""
    state = ssm["d_state"]
    signal, gate = (inputs @ own["in_proj.weight"].T).chunk(2, dim=-1)
    signal = _causal_conv(signal, own["conv1d.weight"], own["conv1d.bias"])
    low_rank, b, c = (signal @ own["x_proj.weight"].T).tensor_split([-2 * state, -state], dim=-1)
    dt = functional.softplus(low_rank @ own["dt_proj.weight"].T + own["dt_proj.bias"])
    a = -own["A_log"].exp()
    hidden, outputs = torch.zeros_like(a), []
    for t in range(len(inputs)):
        hidden = (dt[t, :, None] * a).exp() * hidden + (dt[t] * signal[t])[:, None] * b[t]
        outputs.append(hidden @ c[t] + own["D"] * signal[t])
    return (torch.stack(outputs) * functional.silu(gate)) @ own["out_proj.weight"].T


def _mamba2(ssm: dict, own: Weights, inputs: Tensor) -> Tensor:
    """Dao and Gu 2024, section 7: one decay a head, B and C shared by the heads of a group, a gated norm at the end."""
    state, width, groups = ssm["d_state"], ssm["headdim"], ssm["ngroups"]
    heads = len(own["A_log"])
    inner = heads * width
    packed = inputs @ own["in_proj.weight"].T
    gate, mixed, dt = packed.tensor_split([inner, packed.shape[-1] - heads], dim=-1)
    mixed = _causal_conv(mixed, own["conv1d.weight"], own["conv1d.bias"])
    signal, b, c = mixed.tensor_split([inner, inner + groups * state], dim=-1)
    signal = signal.view(-1, heads, width)
    b, c = (part.view(-1, groups, 1, state).expand(-1, -1, heads // groups, -1).flatten(1, 2) for part in (b, c))
    dt = functional.softplus(dt + own["dt_bias"])
    decay = (-own["A_log"].exp() * dt).exp()
    hidden, outputs = torch.zeros(heads, width, state), []
    for t in range(len(inputs)):
        hidden = decay[t, :, None, None] * hidden + torch.einsum("h,hp,hn->hpn", dt[t], signal[t], b[t])
        outputs.append(torch.einsum("hpn,hn->hp", hidden, c[t]) + own["D"][:, None] * signal[t])
    gated = (torch.stack(outputs).flatten(1) * functional.silu(gate)).view(len(inputs), groups, -1)
    normed = gated / (gated.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return (normed.flatten(1) * own["norm.weight"]) @ own["out_proj.weight"].T
