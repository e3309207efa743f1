"""Loads a checkpoint as lm-eval's ``HFLM`` does, with checked arguments and errors of one line."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM
from transformers import PreTrainedModel

from copy_eval.errors import UserError, first_line
from copy_eval.model_adapters.arguments import choose_device, choose_dtype, is_given, refuse_arguments
from copy_eval.model_adapters.checkpoints import is_state_spaces, read_config, resolve_checkpoint
from copy_eval.model_adapters.peft_weights import add_peft_weights, refuse_virtual_tokens
from copy_eval.model_adapters.weights import check_shape, refuse_pickle


class CheckedLM(HFLM):
    """An ``HFLM`` that refuses what it cannot load as asked."""

    _config_json: Mapping[str, Any] = MappingProxyType({})
    """The checkpoint's own; empty where a loaded model was passed."""

    _state_spaces = False
    """Whether the checkpoint has the state-spaces layout."""

    def __init__(
        self,
        pretrained: str | PreTrainedModel,
        *,
        revision: str | None = "main",
        subfolder: str = "",
        device: str | None = None,
        dtype: str | torch.dtype | None = "auto",
        backend: str = "causal",
        **options: Any,
    ) -> None:
        """Load a checkpoint.

        Args:
            pretrained: a folder, a hub id, or a packaged checkpoint (``tiny-pythia``, ``tiny-mamba``), or a model.
            revision: branch, tag or commit on the hub.
            subfolder: of the hub repository or folder.
            device: ``cpu``, ``cuda``, ``cuda:1`` …; by default CUDA where there is one.
            dtype: of the weights; ``auto`` is as stored on an accelerator and float32 on a CPU, where half precision is
                slow and rounds each step differently from one batch size to the next.
            backend: only ``causal``.
            options: the other arguments of ``HFLM``.

        Raises:
            UserError: if an argument or the checkpoint is not usable.
        """
        if backend not in ("causal", "default"):
            raise UserError(f"backend={backend}: only causal language models copy from their context here")
        named = {"revision": revision, "subfolder": subfolder, "device": device, "dtype": dtype}
        refuse_arguments(options | named, loaded=not isinstance(pretrained, str))
        device = choose_device(device)
        if isinstance(pretrained, str):
            pretrained = resolve_checkpoint(pretrained)
            if is_given("revision", revision) and Path(pretrained).is_dir():
                raise UserError(f"revision={revision}: a folder has no revisions; leave revision out")
            self._config_json = read_config(pretrained, str(revision), subfolder)
            self._state_spaces = is_state_spaces(pretrained, self._config_json)
        super().__init__(
            pretrained=pretrained,
            revision=revision,
            subfolder=subfolder,
            device=device,
            dtype=choose_dtype(dtype, device),
            backend="causal",
            **options,
        )
        refuse_virtual_tokens(self.model)
        if self.device.type == "cpu" and hasattr(self, "accelerator"):
            # `HFLM` shares out the work of `accelerate launch` among GPUs only.
            self._rank, self._world_size = self.accelerator.process_index, self.accelerator.num_processes

    def _get_config(self, pretrained: str, **options: Any) -> None:
        try:
            super()._get_config(pretrained, **options)
        except ValueError as error:
            kind = self._config_json["model_type"]
            raise UserError(
                f"pretrained={pretrained}: this transformers cannot load a {kind} ({first_line(error)})"
            ) from error

    def _create_tokenizer(self, pretrained: Any, tokenizer: Any, **options: Any) -> None:
        if tokenizer and tokenizer != pretrained:
            # `revision` is the model's; another repository has none of that name.
            options |= {"revision": "main", "subfolder": ""}
        try:
            super()._create_tokenizer(pretrained, tokenizer, **options)
        except (OSError, ValueError) as error:
            wanted = tokenizer or pretrained
            raise UserError(
                f"no tokenizer at {wanted}; name a folder or hub id with tokenizer= ({first_line(error)})"
            ) from error

    def _create_model(self, pretrained: str, *, peft: str | None = None, **options: Any) -> None:
        self._load_weights(pretrained, **options)
        if peft:
            self._model = add_peft_weights(self.model, peft, options["revision"], len(self.tokenizer))

    def _load_weights(self, pretrained: str, **options: Any) -> None:
        """Load the model as ``HFLM`` does, with all its weights."""
        # transformers only warns of missing tensors and fills them with random numbers.
        options |= {"output_loading_info": True, "ignore_mismatched_sizes": True}
        try:
            super()._create_model(pretrained, **options)
        except pickle.UnpicklingError as error:
            raise UserError(refuse_pickle(f"pretrained={pretrained}")) from error
        except (OSError, ValueError, ImportError) as error:
            raise UserError(f"pretrained={pretrained}: {first_line(error)}") from error
        except TypeError as error:
            if "unexpected keyword argument" not in str(error):
                raise
            raise UserError(
                f"pretrained={pretrained}: transformers refuses an argument ({first_line(error)})"
            ) from error
        loaded: Any = self.model
        self._model, found = loaded
        for name, in_file, in_config in sorted(found["mismatched_keys"]):
            check_shape(pretrained, name, in_file, in_config)
        if missing := sorted(found["missing_keys"]):
            raise UserError(f"{pretrained}: the weights lack {missing[0]}, which its config.json asks for")
