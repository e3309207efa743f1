"""The choices behind ``device=`` and ``dtype=``, and the arguments that are refused because they would be dropped."""

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

import torch

from copy_eval.errors import UserError

_QUANTIZE = (
    "quantize the checkpoint once with transformers and save it: a config.json that names its quantization is followed"
)
_REFUSED = {
    "autogptq": _QUANTIZE,
    "gptqmodel": _QUANTIZE,
    "load_in_8bit": _QUANTIZE,
    "load_in_4bit": _QUANTIZE,
    "quantization_config": _QUANTIZE,
    "gguf_file": "convert it once: from_pretrained(..., gguf_file=...) of transformers, then save_pretrained",
    "delta": "add the delta to the base's weights once and name the folder of the sum",
    "tp_plan": "its answers differ from those of one device; use parallelize=True or accelerate launch",
    "use_fast_tokenizer": "transformers 5 has fast tokenizers only",
    "torch_dtype": "use dtype=",
    "max_memory": "use parallelize=True with max_memory_per_gpu= and max_cpu_memory=",
    "config": "a checkpoint's config is its config.json",
}
"""Arguments of ``HFLM`` and of transformers' ``from_pretrained`` that no adapter takes, and what to do instead."""

_NEAR = 0.85
"""How alike two names are, by ``difflib``, if one is a misspelling of the other."""

_ONLY_PARALLEL = ("device_map", "max_memory_per_gpu", "max_cpu_memory", "offload_folder")
"""Without ``parallelize=True``, ``HFLM`` drops these."""

_DEFAULTS: dict[str, Any] = {
    "revision": "main", "subfolder": "", "dtype": "auto", "offload_folder": "./offload", "use_fast_tokenizer": True,
    **dict.fromkeys(("parallelize", "trust_remote_code", "enable_thinking"), False),
    **dict.fromkeys(("autogptq", "gptqmodel", "load_in_8bit", "load_in_4bit"), False),
}  # fmt: skip
"""Of the arguments for which a value other than None asks for nothing."""

_AFTER_LOADING = {
    "tokenizer", "truncation", "add_bos_token", "prefix_token_id", "logits_cache",
    "softmax_dtype", "mixed_precision_dtype", "max_length", "batch_size", "max_batch_size",
    "think_end_token", "enable_thinking", "chat_template_args",
}  # fmt: skip
"""Arguments that a model which is loaded already can still follow."""


def refuse_arguments(options: Mapping[str, Any], loaded: bool) -> None:
    """Refuse what would be dropped, and what cannot be understood.

    Args:
        options: the arguments of ``HFLM`` and of ``from_pretrained``, by name.
        loaded: whether a model was passed instead of the name of a checkpoint.

    Raises:
        UserError: at the first such argument.
    """
    given = {name: value for name, value in options.items() if is_given(name, value)}
    for name, value in given.items():
        if name in _REFUSED:
            raise UserError(f"{name}= is not supported; {_REFUSED[name]}")
        if loaded and name not in _AFTER_LOADING:
            raise UserError(f"{name}= comes too late for a model that is loaded already; leave it out")
        if name in _ONLY_PARALLEL and "parallelize" not in given:
            raise UserError(f"{name}= has an effect with parallelize=True only")
        if name in ("softmax_dtype", "mixed_precision_dtype"):
            _check_dtype(name, value)
    if "parallelize" in given and given.get("device") not in (None, "cuda", "cuda:0"):
        raise UserError(f"device={given['device']}: parallelize=True takes all CUDA devices; leave out one of the two")
    if not re.fullmatch(r"[1-9]\d*|auto(:\d+(\.\d+)?)?", str(options.get("batch_size", 1))):
        raise UserError(f"batch_size={options['batch_size']}: neither a whole number above 0 nor auto")
    if "enable_thinking" in given and "think_end_token" not in given:
        raise UserError("enable_thinking=True: it needs think_end_token=, the token that ends the reasoning")


def refuse_misspelt(names: Collection[str], known: Collection[str]) -> None:
    """Refuse a name that is nearly that of an argument; transformers would refuse it too, but after a download.

    Args:
        names: of the arguments that are given; any may be for ``from_pretrained``.
        known: those of the adapter's arguments and of the entries of the checkpoint's config, which are followed too.

    Raises:
        UserError: at the first such name.
    """
    for name in names:
        near = get_close_matches(name, known, n=1, cutoff=_NEAR)
        if name not in known and near:
            raise UserError(f"{name}=: there is no such argument; did you mean {near[0]}=?")


def is_given(name: str, value: Any) -> bool:
    """Tell whether a value asks for more than leaving the argument out."""
    return value is not None and value != _DEFAULTS.get(name)


def choose_device(device: str | None) -> str:
    """Return the device to use.

    ``cuda:0`` falls back to the CPU where there is no CUDA, as in ``HFLM``: it is the default of lm-eval's command
    line, which cannot be told from a request.

    Raises:
        UserError: if a CUDA device is asked for that is not there, or a device that PyTorch does not know.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device is None or (device == "cuda:0" and not count):
        return "cuda" if count else "cpu"
    kind, _, index = device.partition(":")
    if kind == "cuda" and (not count or (index and not (index.isdigit() and int(index) < count))):
        there = f"there are {count} CUDA devices" if count else "there is no CUDA device, or this PyTorch has no CUDA"
        raise UserError(
            f"device={device}: {there}; use device=cpu" + (f" or cuda:0 to cuda:{count - 1}" if count else "")
        )
    try:
        torch.device(device)
    except RuntimeError as error:
        # `HFLM` would take another one in its place.
        raise UserError(f"device={device}: PyTorch knows no such device; use cpu, cuda, cuda:1 or mps") from error
    return device


def choose_dtype(dtype: str | torch.dtype | None, device: str) -> str | torch.dtype:
    """Return the dtype to load the weights in: float32 for ``auto`` on a CPU, else what is asked for.

    Raises:
        UserError: if PyTorch has no such floating-point dtype.
    """
    if dtype in (None, "auto"):
        return torch.float32 if device == "cpu" else "auto"
    return _check_dtype("dtype", dtype, "auto, ")


def _check_dtype(name: str, dtype: Any, others: str = "") -> torch.dtype:
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise UserError(f"{name}={dtype}: not one of {others}float32, float16, bfloat16, float64")
    return found
