"""Reads weight files without running code from them, and checks them against the model before they go in."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from copy_eval.errors import UserError

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
"""Tried in this order, each whole and then in shards."""


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file or a PyTorch pickle, on the CPU.

    Raises:
        UserError: if the file is damaged, holds something else, or is a pickle that would execute code.
    """
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


def load_checked(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor], source: str, assign: bool) -> None:
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


def check_shape(source: str, name: str, found: torch.Size, wanted: torch.Size) -> None:
    """Raise the ``UserError`` for a tensor whose shape is not what the config asks for."""
    if found != wanted:
        raise UserError(
            f"{source}: {name} has shape {tuple(found)} in the weights, but its config.json asks for {tuple(wanted)}"
        )
