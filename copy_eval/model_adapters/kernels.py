"""The CUDA kernels of the package mamba-ssm, where it is installed: the model and how a batch goes through it."""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from copy_eval.model_adapters.weights import load_checked


def have_kernels() -> bool:
    """Tell whether mamba-ssm and causal-conv1d are installed (they run on CUDA only)."""
    return all(importlib.util.find_spec(package) for package in ("mamba_ssm", "causal_conv1d"))


def build_kernel_model(
    config: Mapping[str, Any],
    tensors: Mapping[str, torch.Tensor],
    device: torch.device,
    dtype: torch.dtype,
    source: str,
) -> torch.nn.Module:
    """Return mamba-ssm's own model with the weights of a state-spaces checkpoint, on ``device``.

    mamba-ssm's ``from_pretrained`` is not used: it knows no revision and, with an old PyTorch, unpickles code.

    Raises:
        UserError: if the tensors do not fit the config.
    """
    from mamba_ssm.models.config_mamba import MambaConfig
    from mamba_ssm.models.mixer_seq_simple import MambaLMHeadModel

    model: torch.nn.Module = MambaLMHeadModel(MambaConfig(**config), device=device, dtype=dtype)
    load_checked(model, tensors, source, assign=False)
    return model


class KernelRun:
    """A batch in mamba-ssm's model: each prompt is prefilled alone, then the states are stacked and step together."""

    def __init__(self, model: torch.nn.Module, device: torch.device) -> None:
        self._model, self._device = model, device

    def prefill(self, prompts: Sequence[Sequence[int]], room: int) -> torch.Tensor:
        """Take in the prompts, after which at most ``room`` tokens a row follow; return the logits [row, vocab]."""
        from mamba_ssm.utils.generation import InferenceParams

        logits, states = [], []
        for prompt in prompts:
            self._params = InferenceParams(max_seqlen=len(prompt) + room, max_batch_size=1)
            logits.append(self._forward(torch.tensor([prompt], device=self._device)))
            states.append(self._params.key_value_memory_dict)
            # Any value above 0 means "step" to a Mamba layer; the attention layers of a hybrid, which is decoded one
            # prompt at a time, need the true one.
            self._params.seqlen_offset = len(prompt)
        self._params.key_value_memory_dict = (
            {
                layer: tuple(torch.cat(parts) for parts in zip(*(state[layer] for state in states), strict=True))
                for layer in states[0]
            }
            if len(prompts) > 1
            else states[0]
        )
        return torch.cat(logits)

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Take in one token a row [row]; return the logits after it [row, vocab]."""
        logits = self._forward(tokens[:, None])
        self._params.seqlen_offset += 1
        return logits

    def _forward(self, tokens: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._model(tokens, inference_params=self._params, num_last_tokens=1).logits
        return logits[:, -1].float()

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only."""
        self._params.key_value_memory_dict = {
            layer: tuple(part[rows] for part in state) for layer, state in self._params.key_value_memory_dict.items()
        }
