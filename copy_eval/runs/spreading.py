"""Which argument of an adapter spreads a model over several GPUs."""

from typing import Any

from copy_eval.adapter_names import MODELS

_BY_LAYERS = ("hf", "hf-auto", "huggingface", *MODELS)  # lm-eval's HFLM and ours: some layers on each GPU
_BY_TENSORS = {
    "sglang": "tp_size",
    "trtllm": "tensor_parallel_size",
    "vllm": "tensor_parallel_size",
    "vllm-vlm": "tensor_parallel_size",
}

SPREADERS = (*_BY_LAYERS, *_BY_TENSORS)
"""The adapters that can."""

SPREADING = ("parallelize", *sorted({*_BY_TENSORS.values()}))
"""The arguments that do it; they leave the answers as they are."""


def spread_over(adapter: str, gpus: int) -> dict[str, Any]:
    """Return the argument that spreads a model of one of the ``SPREADERS`` over so many GPUs."""
    return {_BY_TENSORS[adapter]: gpus} if adapter in _BY_TENSORS else {"parallelize": True}
