"""Finds and reads the files of a checkpoint: a packaged one, a folder, or a repository on the Hugging Face hub.

Weight files are read without running code from them, and checked against the model before they go in. Who only looks
for a checkpoint, as a suite does, does not load torch.
"""

import difflib
import json
import pickle
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import _CACHED_NO_EXIST, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError

from copy_eval.errors import UserError
from copy_eval.packaged import PACKAGED

if TYPE_CHECKING:
    import torch

PILE_TOKENIZER = "EleutherAI/gpt-neox-20b"
"""The tokenizer of every state-spaces checkpoint; their repositories carry none."""

_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
"""Tried in this order, each whole and then in shards."""


def resolve_checkpoint(name: str) -> str:
    """Return the folder or the hub id that ``name`` stands for; an existing folder comes before a packaged name.

    Raises:
        UserError: if ``name`` is a path to nothing, or nearly the name of a packaged checkpoint.
    """
    if Path(name).is_dir():
        return name
    packaged = sorted(config.parent.name for config in PACKAGED.glob("*/config.json"))
    if name in packaged:
        return str(PACKAGED / name)
    if name.startswith((".", "/", "~")):
        raise UserError(f"pretrained={name}: no such folder")
    if "/" not in name and (near := difflib.get_close_matches(name, packaged, n=1, cutoff=0.75)):
        raise UserError(f"pretrained={name}: no such checkpoint; did you mean {near[0]}?")
    return name


def find_file(checkpoint: str, filename: str, revision: str = "main", subfolder: str = "") -> Path | None:
    """Return the path of one file of a folder or a hub repository (then downloaded), or None if it has no such file.

    Without the hub, its cache tells what is there, and what an earlier download found to be absent.

    Raises:
        UserError: if ``checkpoint`` is no folder and the hub does not give it.
    """
    if Path(checkpoint).is_dir():
        path = Path(checkpoint, subfolder, filename)
        return path if path.is_file() else None
    try:
        return Path(hf_hub_download(checkpoint, filename, revision=revision, subfolder=subfolder or None))
    except (LocalEntryNotFoundError, OSError) as error:
        inside = f"{subfolder}/{filename}" if subfolder else filename
        if try_to_load_from_cache(checkpoint, inside, revision=revision) is _CACHED_NO_EXIST:
            return None
        raise UserError(_explain(checkpoint, revision, error)) from error
    except HFValidationError as error:
        raise UserError(f"pretrained={checkpoint}: neither a folder nor the name of a repository on the hub") from error
    except EntryNotFoundError:
        return None


def _explain(checkpoint: str, revision: str, error: Exception) -> str:
    if isinstance(error, RevisionNotFoundError):
        return f"pretrained={checkpoint}: the hub has no revision {revision} of it"
    if isinstance(error, GatedRepoError):
        return f"pretrained={checkpoint}: access to this repository must be requested on the hub first"
    if isinstance(error, RepositoryNotFoundError):
        return f"pretrained={checkpoint}: neither a folder here nor a repository on the hub"
    return f"pretrained={checkpoint}: no such folder, not in the local cache, and the Hugging Face hub is not reached"


def read_config(checkpoint: str, revision: str = "main", subfolder: str = "") -> dict[str, Any]:
    """Return the checkpoint's ``config.json``.

    Raises:
        UserError: if there is none, or it is no JSON object.
    """
    path = find_file(checkpoint, "config.json", revision, subfolder)
    if path is None:
        raise UserError(f"pretrained={checkpoint}: it has no config.json")
    return _read_json_object(path)


def _read_json_object(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds.

    Raises:
        UserError: if it is not JSON, or something else than an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_hook=_decode_float)
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a JSON object")
    return content


def _decode_float(content: dict[str, Any]) -> Any:
    """Return the number that transformers 5 writes as an object, since JSON has no infinity; else the object itself."""
    return float(content["__float__"]) if content.keys() == {"__float__"} else content


def is_state_spaces(checkpoint: str, config: dict[str, Any]) -> bool:
    """Tell the layout of state-spaces/mamba (``d_model``, ``n_layer``) from that of transformers (``model_type``).

    Raises:
        UserError: if it is neither.
    """
    if {"model_type", "auto_map"} & config.keys():
        return False
    if {"d_model", "n_layer", "vocab_size"} <= config.keys():
        return True
    raise UserError(
        f"pretrained={checkpoint}: its config.json is of neither layout, "
        "transformers' (model_type) nor state-spaces' (d_model, n_layer, vocab_size)"
    )


def check_remote_code(checkpoint: str, config: Mapping[str, Any], trusted: bool) -> None:
    """Refuse a checkpoint whose architecture is code of its own, unless that may run.

    Args:
        checkpoint: its folder or hub id, for the error line.
        config: its config.json.
        trusted: whether ``trust_remote_code=True`` was given.

    Raises:
        UserError: if transformers does not have the architecture and the code is not trusted.
    """
    from transformers import CONFIG_MAPPING

    code = config.get("auto_map", {})
    if "AutoConfig" in code and not trusted and config.get("model_type") not in CONFIG_MAPPING:
        raise _distrust(checkpoint, code.get("AutoModelForCausalLM", code["AutoConfig"]))


def _distrust(checkpoint: str, reference: str) -> UserError:
    """Return the error for code that may not run; an entry of ``auto_map`` is ``[repository--]module.Class``."""
    file = reference.split("--")[-1].split(".")[0] + ".py"
    return UserError(
        f"pretrained={checkpoint}: its architecture is code of its own ({file}), which transformers does not have; "
        "read it, and add trust_remote_code=True to run it"
    )


def check_causal(checkpoint: str, config: Any, trusted: bool) -> None:
    """Refuse a checkpoint that is no causal language model, or one whose greedy answers are not definite.

    Args:
        checkpoint: its folder or hub id, for the error line.
        config: as transformers reads it.
        trusted: whether ``trust_remote_code=True`` was given.

    Raises:
        UserError: if transformers can load it as something else only, or draws random numbers for each answer.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    kind = config.model_type or type(config).__name__
    architecture = ", ".join(config.architectures or []) or "no architecture named"
    if config.is_encoder_decoder:
        raise UserError(
            f"pretrained={checkpoint}: a {kind} ({architecture}) is an encoder and a decoder, not a causal language "
            "model; --model hf with backend=seq2seq runs it"
        )
    if kind == "reformer":
        # Their number also follows from the first text that the model sees, and without a later one it crashes.
        raise UserError(f"pretrained={checkpoint}: a reformer attends by random hashes, so its answers are random too")
    own = (getattr(config, "auto_map", None) or {}).get("AutoModelForCausalLM")
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING or (own and trusted):
        return
    if own:
        raise _distrust(checkpoint, own)
    raise UserError(
        f"pretrained={checkpoint}: a {kind} ({architecture}) is not a causal language model of transformers, the only "
        "kind that this adapter runs"
    )


def read_weights(checkpoint: str, revision: str, subfolder: str) -> "dict[str, torch.Tensor]":
    """Return all tensors of a checkpoint by their own names, from one file or from shards with an index.

    Raises:
        UserError: if there are no weights or they cannot be read.
    """
    find = partial(find_file, checkpoint, revision=revision, subfolder=subfolder)
    for filename in _WEIGHT_FILES:
        path = find(filename)
        if path is not None:
            return _read_file(path)
        index = find(f"{filename}.index.json")
        if index is not None:
            return _read_shards(index, find)
    raise UserError(f"pretrained={checkpoint}: it has neither {' nor '.join(_WEIGHT_FILES)}, nor shards of them")


def _read_shards(index: Path, find: Callable[[str], Path | None]) -> "dict[str, torch.Tensor]":
    """Return the tensors that an index names, each from the file that it names for it."""
    weight_map = _read_json_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise UserError(f"{index}: it has no weight_map, which says what stands in which file")
    for filename in weight_map.values():
        if not isinstance(filename, str) or filename in ("", "..") or filename != Path(filename).name:
            raise UserError(f"{index}: it names {filename!r}, and a shard is a file in the same folder")
    tensors = {}
    for filename in sorted(set(weight_map.values())):
        path = find(filename)
        if path is None:
            raise UserError(f"{index}: it names {filename}, which is not there")
        shard = _read_file(path)
        for name in (name for name, place in weight_map.items() if place == filename):
            if name not in shard:
                raise UserError(f"{index}: it places {name} in {filename}, which does not hold it")
            tensors[name] = shard[name]
    return tensors


def _read_file(path: Path) -> "dict[str, torch.Tensor]":
    """Return the tensors of a safetensors file or a PyTorch pickle, on the CPU.

    Raises:
        UserError: if the file is damaged, holds something else, or is a pickle that would execute code.
    """
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            tensors: Any = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(refuse_pickle(path)) from error
    except (SafetensorError, RuntimeError, EOFError) as error:
        raise UserError(f"{path}: damaged, or not a file of weights") from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise UserError(f"{path}: not a dictionary of tensors")
    return tensors


def refuse_pickle(where: object) -> str:
    """Return the line for a pickle that does not hold plain weights."""
    return f"{where}: refused, this pickle holds more than weights and could execute code; save them as safetensors"


def load_checked(model: "torch.nn.Module", tensors: "Mapping[str, torch.Tensor]", source: str, assign: bool) -> None:
    """Put ``tensors`` into ``model``, all of them and nothing else.

    Args:
        model: takes the tensors; may lie on the meta device if ``assign``.
        tensors: by the model's own names.
        source: the checkpoint, for the error line.
        assign: make the tensors the model's parameters instead of copying them (keeps their dtype).

    Raises:
        UserError: at the first tensor that is missing, unexpected, or of another shape than the config says.
    """
    wanted = model.state_dict()
    for name, tensor in wanted.items():
        if name not in tensors:
            raise UserError(f"{source}: the weights lack {name}, which its config.json asks for")
        check_shape(source, name, tensors[name].shape, tensor.shape)
    if extra := sorted(tensors.keys() - wanted.keys()):
        raise UserError(f"{source}: the weights hold {extra[0]}, for which its config.json has no place")
    model.load_state_dict(tensors, assign=assign)


def check_shape(source: str, name: str, found: "torch.Size", wanted: "torch.Size") -> None:
    """Raise the ``UserError`` for a tensor whose shape is not what the config asks for."""
    if found != wanted:
        raise UserError(
            f"{source}: {name} has shape {tuple(found)} in the weights, but its config.json asks for {tuple(wanted)}"
        )
