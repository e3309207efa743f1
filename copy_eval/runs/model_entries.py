"""The models of a suite: what an entry says, how it is read, and how it is spread over several GPUs.

One entry of the file may stand for many models: the folders that match a pattern.
"""

import glob
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from copy_eval.adapter_names import MODELS
from copy_eval.checkpoint_fingerprint import CHECKPOINT_ARGUMENTS
from copy_eval.errors import UserError
from copy_eval.runs.yaml_values import Place, Source, locate, read_name, read_path, refuse_unknown
from copy_eval.tasks.settings import read_whole_number

_KEYS = ("name", "adapter", "pretrained", "base_url", "revision", "dtype", "batch_size", "gpus", "model_args")
_DTYPES = ("auto", "float32", "bfloat16", "float16", "float64")
_MAGIC = r"[*?\[]"  # what makes a path a pattern

_BY_LAYERS = ("hf", "hf-auto", "huggingface", *MODELS)  # lm-eval's HFLM and ours: some layers on each GPU
_BY_TENSORS = {  # backends that split each matrix; the argument is the number of GPUs
    "sglang": "tp_size",
    "trtllm": "tensor_parallel_size",
    "vllm": "tensor_parallel_size",
    "vllm-vlm": "tensor_parallel_size",
}
_SPREADERS = (*_BY_LAYERS, *_BY_TENSORS)

SERVED = ("local-completions", "openai-completions", "sglang-generate")
"""lm-eval's models that ask a server for completions of plain prompts."""


@dataclass(frozen=True)
class ModelEntry:
    """A checkpoint and how to load it."""

    name: str
    """Unique in the suite; names the folder of the results, and the model in reports if it is not the checkpoint's."""

    adapter: str
    """lm-eval's ``--model``."""

    pretrained: str
    """A hub id, the absolute path of a folder, or a packaged checkpoint."""

    base_url: str | None = None
    """Where a server answers for the model: the whole address, up to ``/v1/completions``."""

    revisions: tuple[str | None, ...] = (None,)
    """Branches, tags or commits on the hub; None is the default branch."""

    dtype: str | None = None
    """Of the weights; None leaves it to the adapter."""

    batch_size: int | str = 1
    """Prompts at once, or ``auto``; results do not depend on it."""

    gpus: float | None = None
    """GPUs that Ray sets aside for it, and spreads it over if they are several; None leaves it to the runner."""

    model_args: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Further arguments of the adapter."""

    def arguments(self, revision: str | None) -> dict[str, Any]:
        """Return lm-eval's ``--model_args`` for one revision."""
        given = {
            "pretrained": self.pretrained,
            "base_url": self.base_url,
            "revision": revision,
            "dtype": self.dtype,
        }
        return {key: value for key, value in given.items() if value is not None} | dict(self.model_args)


def read_models(given: object, source: Source) -> tuple[ModelEntry, ...]:
    """Return the entries of ``models``, a pattern of folders resolved.

    Args:
        given: a list of mappings, as YAML gives it.
        source: their lines, for errors.

    Raises:
        UserError: at the first thing that is not usable, and if two entries have one name.
    """
    with source.at("models"):
        if not isinstance(given, list) or not given:
            raise UserError("models must list at least one model, with adapter and pretrained")
    entries: dict[str, ModelEntry] = {}
    for index, item in enumerate(given):
        place = ("models", index)
        for entry in _read_model(item, source, place):
            with source.at(*place):
                # The folders of the results are named after the entries, on file systems that may ignore the case.
                key = folder_name(entry.name).lower()
                if key.startswith(".") or not key:
                    raise UserError(f"no folder of results can be called {entry.name!r}: give the model another name")
                if key in entries:
                    raise UserError(f"two models are called {entry.name!r}: give one another name")
                entries[key] = entry
    return tuple(entries.values())


def folder_name(text: str) -> str:
    """Return a name or a revision as a part of the name of a folder, on any file system; between them is an ``@``."""
    return re.sub(r"[^\w.+-]+", "_", text)


def _read_model(item: object, source: Source, place: Place) -> Iterator[ModelEntry]:
    with source.at(*place):
        if not isinstance(item, dict):
            raise UserError("a model is a mapping with adapter and pretrained")
    for key in item:
        with source.at(*place, key):
            refuse_unknown(key, _KEYS, "key", " of a model")
    with source.at(*place, "adapter"):
        adapter = read_name(item, "adapter")
        refuse_unknown(adapter, _adapters(), "adapter")
    with source.at(*place, "base_url"):
        base_url = _read_base_url(item, adapter)
    with source.at(*place, "dtype"):
        dtype = _read_optional_name(item, "dtype")
        if dtype is not None:
            refuse_unknown(dtype, _DTYPES, "dtype")
    with source.at(*place, "batch_size"):
        batch_size = _read_batch_size(item)
    with source.at(*place, "gpus"):
        gpus = _read_gpus(item, adapter)
    with source.at(*place, "model_args"):
        model_args = _read_model_args(item, source.folder)
    with source.at(*place, "name"):
        name = _read_optional_name(item, "name")
    with source.at(*place, "pretrained"):
        checkpoints = _find_checkpoints(read_path(item, "pretrained"), name, adapter, source.folder)
    with source.at(*place, "revision"):
        revisions = _read_revisions(item)
        if revisions != (None,) and any(Path(pretrained).is_dir() for pretrained in checkpoints.values()):
            raise UserError("a folder has no revisions: leave out revision")
    for each, pretrained in checkpoints.items():
        yield ModelEntry(each, adapter, pretrained, base_url, revisions, dtype, batch_size, gpus, model_args)


def _adapters() -> list[str]:
    """Return the names that lm-eval's ``--model`` takes, ours among them."""
    import lm_eval.models  # noqa: F401 - fills the registry
    from lm_eval.api.registry import model_registry

    import copy_eval

    copy_eval.register()
    return sorted(model_registry.keys())


def _read_batch_size(item: Mapping[str, Any]) -> int | str:
    given = item.get("batch_size", 1)
    if isinstance(given, str) and re.fullmatch(r"auto(:\d+)?", given):
        return given
    return read_whole_number({"batch_size": given}, "batch_size", minimum=1)


def _read_base_url(item: Mapping[str, Any], adapter: str) -> str | None:
    given = _read_optional_name(item, "base_url")
    if given is None:
        if adapter == "local-completions":
            raise UserError("local-completions needs base_url, such as http://localhost:8000/v1/completions")
        return None
    if adapter not in SERVED:
        raise UserError(f"{adapter} asks no server: base_url goes with the adapters {', '.join(SERVED)}")
    if not re.match(r"https?://\w", given):
        raise UserError(f"base_url={given}: write the whole address, such as http://localhost:8000/v1/completions")
    return given


def _read_optional_name(item: Mapping[str, Any], key: str) -> str | None:
    return None if item.get(key) is None else read_name(item, key)


def _read_gpus(item: Mapping[str, Any], adapter: str) -> float | None:
    given = item.get("gpus")
    if given is None:
        return None
    number = isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)
    if not number or given < 0 or (given > 1 and given != int(given)):
        raise UserError(f"gpus must be a share of one GPU or a whole number of at least 0, not {given!r}")
    if given > 1 and adapter not in _SPREADERS:
        raise UserError(f"gpus={given}: {adapter} loads a model on one GPU; {', '.join(_SPREADERS)} can spread it")
    return given


def _read_model_args(item: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    given = item.get("model_args")
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(isinstance(key, str) for key in given):
        raise UserError("model_args must be a mapping: the further arguments of the adapter")
    if misplaced := sorted(given.keys() & set(_KEYS)):
        raise UserError(f"{misplaced[0]} stands beside model_args, not in it")
    try:
        json.dumps(given, allow_nan=False)
    except (TypeError, ValueError) as error:  # a date, binary data, not a number, an alias of itself
        raise UserError(f"model_args must be text, numbers, lists and mappings ({error})") from error
    if given.get("max_length") is not None:
        given = given | {"max_length": read_whole_number(given, "max_length", minimum=1)}
    named = {key: read_path(given, key) for key in CHECKPOINT_ARGUMENTS if given.get(key) is not None}
    return given | {key: str(locate(name, key, folder) or name) for key, name in named.items()}


def _read_revisions(item: Mapping[str, Any]) -> tuple[str | None, ...]:
    given = item.get("revision")
    if given is None:
        return (None,)
    revisions = []
    for revision in given if isinstance(given, list) else [given]:
        if not isinstance(revision, str) or not revision:
            raise UserError(f"revision must be text or a list of texts; put {revision!r} in quotes")
        revisions.append(read_path({"revision": revision}, "revision"))
    if not revisions or len({folder_name(revision).lower() for revision in revisions}) < len(revisions):
        raise UserError("revision must list at least one revision, and none twice")
    return tuple(revisions)


def _find_checkpoints(given: str, name: str | None, adapter: str, folder: Path) -> dict[str, str]:
    """Return what ``pretrained`` names, by the names of the entries; folders are absolute."""
    if re.search(_MAGIC, given):
        return _match_folders(given, name, folder)
    path = locate(given, "pretrained", folder)
    if path is not None and path.is_dir():
        pretrained = str(path)
        if adapter in MODELS and not (path / "config.json").is_file():
            raise UserError(f"pretrained={given}: this folder has no config.json")
    elif given.startswith((".", "/", "~")):
        raise UserError(f"pretrained={given}: no such folder")
    else:
        pretrained = given
        if adapter in MODELS:
            from copy_eval.model_adapters.checkpoints import resolve_checkpoint

            resolve_checkpoint(given)
    return {name or Path(pretrained).name: pretrained}


def _match_folders(pattern: str, name: str | None, folder: Path) -> dict[str, str]:
    """Return the folders that match, by what the pattern left open of their names, in natural order."""
    parts = Path(pattern).parts
    matches = [Path(match) for match in glob.glob(str(Path(*parts)), root_dir=folder) if (folder / match).is_dir()]  # noqa: PTH207 - root_dir
    if not matches:
        raise UserError(f"pretrained={pattern}: no folder matches")
    fixed = next(index for index, part in enumerate(parts) if re.search(_MAGIC, part))
    found = {}
    for match in sorted(matches, key=lambda path: _natural(str(path))):
        if not (folder / match / "config.json").is_file():
            raise UserError(f"pretrained={pattern}: {folder / match} has no config.json; narrow the pattern")
        label = "/".join(match.parts[fixed:])
        found[f"{name}-{label}" if name else label] = str((folder / match).resolve())
    return found


def _natural(text: str) -> list[str | int]:
    """Return a sort key that puts step512 before step1000."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def dump_model(model: ModelEntry) -> dict[str, Any]:
    """Return an entry as the mapping that ``read_models`` reads; what has its default is left out."""
    given: dict[str, Any] = {
        "name": model.name,
        "adapter": model.adapter,
        "pretrained": model.pretrained,
        "base_url": model.base_url,
        "revision": [revision for revision in model.revisions if revision is not None],
        "dtype": model.dtype,
        "batch_size": model.batch_size,
        "gpus": model.gpus,
        "model_args": dict(model.model_args),
    }
    return {key: value for key, value in given.items() if value not in (None, [], {})}


def spread_over_gpus(model: ModelEntry) -> ModelEntry:
    """Return the entry with the argument that spreads it over its GPUs, if they are several and it has none itself."""
    if model.gpus is None or model.gpus <= 1:
        return model
    by_tensors = _BY_TENSORS.get(model.adapter)
    spreading = {"parallelize": True} if by_tensors is None else {by_tensors: int(model.gpus)}
    return replace(model, model_args={**spreading, **model.model_args})
