"""What makes two runs the same measurement: what the model was, how it was loaded, and what it was shown.

Reports, comparisons, the gate and the resumption of a run all decide by this module. A measurement is the model's name
and revision with its *setup*, a flat mapping from the name of a facet to its value as text::

    {"adapter": "hf", "dtype": "float16", "load_in_8bit": "True", "chat_template": "3f0c..."}

A facet that is absent has its default. The prompts of a task, its version and its text are not part of the setup: they
stand beside it in every row of results.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

SHOWN = ("chat_template", "system_instruction", "num_fewshot", "description", "gen_prefix")
"""Facets that change the text which the model sees around a prompt; two runs are paired only if they share them."""

UNKNOWN = "unknown"
"""The weights of a run that does not say which they were, beside runs that do."""

_NAMES = ("peft", "delta", "pretrained", "model", "path", "engine")
"""Arguments that lm-eval takes a model's name from, the first that is given."""

_WITHOUT_EFFECT = {
    # Where and how fast a model runs.
    "device", "parallelize", "device_map", "device_map_option", "max_memory_per_gpu", "max_cpu_memory",
    "offload_folder",
    "batch_size", "max_batch_size", "tensor_parallel_size", "data_parallel_size", "pipeline_parallel_size", "tp_plan",
    "tp_size", "dp_size",
    "gpu_memory_utilization", "swap_space", "num_concurrent", "max_retries", "timeout", "low_cpu_mem_usage",
    # Where it is downloaded to, and by whom.
    "cache_dir", "download_dir", "token", "use_auth_token",
    # Drafts are lossless; `is_hf` is read by lm-eval's own adapter alone; lm-eval caches logits of loglikelihoods.
    "draft", "is_hf", "logits_cache",
}  # fmt: skip
"""Arguments of lm-eval's models that leave every answer as it is."""


_OFF_BY_DEFAULT = {"load_in_8bit", "load_in_4bit", "trust_remote_code", "autogptq", "gptqmodel"}
"""Arguments for which False is the same as nothing; for others, such as ``enable_thinking``, it is not."""

_WEIGHTS = ("weights_sha256", "model_sha", "peft_sha", "delta_sha")
"""What lm-eval and we log of a model's weights: a fingerprint of what lies in a folder, and commits on the hub."""


def model_of(model_args: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name and the revision of the model that lm-eval's ``--model_args`` ask for."""
    return str(model_args.get(_name_key(model_args))), str(model_args.get("revision") or "main")


def _name_key(model_args: Mapping[str, Any]) -> str:
    return next((key for key in _NAMES if model_args.get(key)), "pretrained")


def requested_setup(
    adapter: str,
    model_args: Mapping[str, Any],
    chat_template: str | None = None,
    system_instruction: str | None = None,
    gen_kwargs: Any = None,
) -> dict[str, str]:
    """Return the setup that a run asks for: the adapter, its arguments, and what stands around the prompts.

    Args:
        adapter: lm-eval's ``--model``.
        model_args: lm-eval's ``--model_args``; what names the model and its revision is left out.
        chat_template: hash of the chat template; None where none is applied.
        system_instruction: hash of the system instruction; None without one.
        gen_kwargs: lm-eval's ``--gen_kwargs``.
    """
    left_out = _WITHOUT_EFFECT | {_name_key(model_args), "revision"}
    asked = {key: value for key, value in model_args.items() if key not in left_out}
    asked |= {
        "chat_template": chat_template,
        "system_instruction": system_instruction,
        "gen_kwargs": gen_kwargs or None,
    }
    texts = {key: _as_text(value) for key, value in asked.items()}
    facets = {key: text for key, text in texts.items() if text not in ("", "None") and not _is_off(key, text)}
    if facets.get("dtype") == "auto":
        del facets["dtype"]
    return {"adapter": adapter} | facets


def _is_off(key: str, text: str) -> bool:
    """Tell whether an argument says what its absence says."""
    return key in _OFF_BY_DEFAULT and text in ("False", "0")


def setup_of(
    config: Mapping[str, Any],
    model_args: Mapping[str, Any],
    chat_template: str | None = None,
    system_instruction: str | None = None,
) -> dict[str, str]:
    """Return the setup of a run from what lm-eval logs about it: what it asked for, and what came of that.

    Args:
        config: the entry ``config`` of a result file.
        model_args: its ``model_args``, as a mapping.
        chat_template: as for ``requested_setup``.
        system_instruction: as for ``requested_setup``.
    """
    setup = requested_setup(adapter_of(config), model_args, chat_template, system_instruction, config.get("gen_kwargs"))
    if dtype := str(config.get("model_dtype") or "").removeprefix("torch."):
        setup["dtype"] = dtype  # what `auto` came to, on that machine
    if weights := "+".join(str(config[key]) for key in _WEIGHTS if config.get(key)):
        setup["weights"] = weights
        setup.pop("pretrained", None)  # where a base model or a renamed checkpoint lay
    return setup


def shown_facets(num_fewshot: int | None, description: str | None, gen_prefix: str | None) -> dict[str, str]:
    """Return the facets of one task's configuration that change the text around its prompts; ours leave all three."""
    given = {"num_fewshot": num_fewshot, "description": description, "gen_prefix": gen_prefix}
    return {facet: str(value) for facet, value in given.items() if value}


def adapter_of(config: Mapping[str, Any]) -> str:
    """Return the adapter that ran: ours by its own name, also under an alias; lm-eval's own ``mamba_ssm`` as such."""
    ours = config.get("copy_eval")
    if isinstance(ours, Mapping) and isinstance(ours.get("adapter"), str):
        return str(ours["adapter"])
    named = str(config.get("model"))
    return "lm-eval's mamba_ssm" if named == "mamba_ssm" else named


def _as_text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str) if isinstance(value, dict | list) else str(value)


def share_weights(setups: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return the setups of one model at one revision, each with the weights that its run had.

    Not every backend says which weights it loaded. A run that does not had those that all others name; where these name
    several, its own are ``UNKNOWN``.
    """
    copies = [dict(setup) for setup in setups]
    known = {setup["weights"] for setup in copies if "weights" in setup}
    if not known:
        return copies
    other = known.pop() if len(known) == 1 else UNKNOWN
    return [{"weights": other} | setup for setup in copies]


def describe_differences(setups: Iterable[Mapping[str, str]]) -> list[str]:
    """Return for each of several setups what only tells it apart from the others, in words: "hf, float16".

    A facet that all share is not named, and so a setup that differs by the absence of a facet alone has an empty text.
    """
    setups = list(setups)
    names = list(dict.fromkeys(name for setup in setups for name in setup))
    differing = [name for name in names if len({setup.get(name) for setup in setups}) > 1]
    return [", ".join(_describe(name, setup[name], setups) for name in differing if name in setup) for setup in setups]


def _describe(name: str, value: str, setups: Iterable[Mapping[str, str]]) -> str:
    if name in ("adapter", "dtype"):
        return value
    if name == "weights":
        return f"weights {value[:8]}"
    if name in ("chat_template", "system_instruction"):
        several = len({setup[name] for setup in setups if name in setup}) > 1
        return name.replace("_", " ") + (f" {value[:8]}" if several else "")
    return f"{name}={value}"
