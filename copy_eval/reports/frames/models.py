"""What kind of model a result file is about, and what to call it: short, in one line, never two models by one name."""

import json
import re
from collections.abc import Callable, Iterable

import pandas as pd

from copy_eval.measurement import describe_differences
from copy_eval.reports.frames.result_files import keep_printable

TRANSFORMER = "transformer"

STATE_SPACE = "state space"

HYBRID = "hybrid"

_MODEL_TYPES = {
    TRANSFORMER: {
        "bloom", "cohere", "cohere2", "deepseek_v2", "deepseek_v3", "falcon", "gemma", "gemma2", "gemma3",
        "gemma3_text", "glm", "glm4", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gpt_oss", "gptj", "granite",
        "granitemoe", "llama", "llama4", "llama4_text", "ministral", "mistral", "mixtral", "mpt", "nemotron", "olmo",
        "olmo2", "olmo3", "olmoe", "opt", "phi", "phi3", "phimoe", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe",
        "smollm3", "stablelm", "starcoder2", "xglm",
    },
    # The whole memory of the context is a state of fixed size.
    STATE_SPACE: {"falcon_mamba", "mamba", "mamba2", "rwkv", "xlstm"},
    # Some layers are attention, others recurrent or convolutional.
    HYBRID: {
        "bailing_hybrid", "bamba", "falcon_h1", "granitemoehybrid", "jamba", "kimi_linear", "lfm2", "lfm2_moe",
        "minimax", "nemotron_h", "olmo_hybrid", "qwen3_5", "qwen3_5_moe", "qwen3_5_moe_text", "qwen3_5_text",
        "qwen3_next", "recurrent_gemma", "state_spaces_hybrid", "zamba", "zamba2",
    },
}  # fmt: skip
"""transformers' ``model_type``; ``state_spaces_hybrid`` is our adapter's, of models that only mamba-ssm runs."""

_FAMILIES = {r"EleutherAI/pythia-": TRANSFORMER, r"state-spaces/mamba2?-\d": STATE_SPACE}
"""The two families of the paper, by the names that only they have on the hub."""


def tell_architecture(model_type: str | None, adapter: str | None, model: str) -> str | None:
    """Return ``TRANSFORMER``, ``STATE_SPACE``, ``HYBRID``, or None where that is not known.

    Args:
        model_type: transformers' name of the architecture, which our adapters log; lm-eval's own do not.
        adapter: lm-eval's ``--model``.
        model: what ``pretrained=`` said.
    """
    if model_type:
        return next((architecture for architecture, types in _MODEL_TYPES.items() if model_type in types), None)
    if adapter == "mamba_ssm":
        return STATE_SPACE
    return next((architecture for family, architecture in _FAMILIES.items() if re.match(family, model)), None)


CONTEXT_NOT_CHECKED = "context not checked"
"""Marks a model where nothing tells whether its backend cut prompts that do not fit the context, and scored them."""


def unchecked_labels(rows: pd.DataFrame) -> set[str]:
    """Return the labels of the models some of whose results may rest on prompts that were cut."""
    return set(rows.loc[~rows["context_checked"].fillna(False), "label"])


_PATH = re.compile(r"[./~]|[A-Za-z]:[\\/]|.*/.*/")
"""The beginning of a path; a hub id holds at most one slash."""


def add_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Fill the column ``label``: the model, ``@revision`` where that is not main, and what is special about its setup.

    Of a path only the last component is shown, if no other model in the frame has it; else the whole path. A model that
    was measured in several setups has what differs between them in brackets. So a label is for reading; whoever joins
    reports over time does so by ``model``, ``revision`` and ``setup``, which never change.
    """
    key = ["model", "revision", "setup"]
    models = frame[key].drop_duplicates().sort_values(key)
    shown = {model: _last_component(model) for model in models["model"].unique()}
    taken = pd.Series(shown).value_counts()
    labels: dict[tuple[str, ...], str] = {}
    for _, of_model in models.groupby(["model", "revision"]):
        model, revision = of_model[["model", "revision"]].iloc[0]
        name = shown[model] if taken[shown[model]] == 1 else model
        name = name if revision == "main" else f"{name}@{revision}"
        setups = list(of_model["setup"])
        for setup, difference in zip(setups, describe_differences(map(json.loads, setups)), strict=True):
            label = keep_printable(f"{name} ({difference})" if difference else name)
            # `m@step1` at main, and `m` at step1: as good as impossible, but two curves in one would be a wrong result.
            while label in labels.values():
                label += "'"
            labels[model, revision, setup] = label
    keys = frame[key].itertuples(index=False, name=None)
    return frame.assign(label=pd.array([labels[each] for each in keys], dtype="string"))


def _last_component(model: str) -> str:
    is_path = _PATH.match(model) is not None
    return re.split(r"[\\/]", model.rstrip("\\/"))[-1] or model if is_path else model


def shorten(labels: Iterable[str], width: int = 36) -> dict[str, str]:
    """Return a short name for each label, for legends: without its organisation, and without the middle of a long one.

    What would not stay unique is not shortened.
    """
    labels = list(labels)
    names = _while_unique(labels, lambda name: name.rsplit("/", 1)[-1])
    half = (width - 1) // 2
    names = _while_unique(names, lambda name: name if len(name) <= width else f"{name[:half]}…{name[-half:]}")
    return dict(zip(labels, names, strict=True))


def _while_unique(names: list[str], change: Callable[[str], str]) -> list[str]:
    changed = [change(name) for name in names]
    return [new if changed.count(new) == 1 else old for new, old in zip(changed, names, strict=True)]
