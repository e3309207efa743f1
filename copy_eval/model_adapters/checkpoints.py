"""Finds what ``pretrained=`` names: a packaged checkpoint, a folder, or a repository on the Hugging Face hub."""

import difflib
import json
from pathlib import Path
from typing import Any

from huggingface_hub import _CACHED_NO_EXIST, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from copy_eval.errors import UserError
from copy_eval.packaged import PACKAGED


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
    return read_json_object(path)


def read_json_object(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds.

    Raises:
        UserError: if it is not JSON, or something else than an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a JSON object")
    return content


def is_state_spaces(checkpoint: str, config: dict[str, Any]) -> bool:
    """Tell the layout of state-spaces/mamba (``d_model``, ``n_layer``) from that of transformers (``model_type``).

    Raises:
        UserError: if it is neither.
    """
    if "model_type" in config:
        return False
    if {"d_model", "n_layer", "vocab_size"} <= config.keys():
        return True
    raise UserError(
        f"pretrained={checkpoint}: its config.json is of neither layout, "
        "transformers' (model_type) nor state-spaces' (d_model, n_layer, vocab_size)"
    )
