"""Loads a checkpoint as lm-eval's ``HFLM`` does, with checked arguments and errors of one line.

With ``peft=``, what PEFT has trained (LoRA and its kin) goes on top of the model's weights.
"""

import inspect
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM
from transformers import PreTrainedModel
from transformers.tokenization_utils_base import VERY_LARGE_INTEGER

import copy_eval.architectures  # noqa: F401 - registers them, also where the bridge is off
from copy_eval.errors import UserError, first_line
from copy_eval.model_adapters.arguments import choose_device, choose_dtype, is_given, refuse_arguments, refuse_misspelt
from copy_eval.model_adapters.checkpoints import (
    check_causal,
    check_remote_code,
    check_shape,
    is_state_spaces,
    read_config,
    refuse_pickle,
    resolve_checkpoint,
)


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
            adapters = [kind for kind in type(self).__mro__ if issubclass(kind, HFLM)]
            known = {name for kind in adapters for name in inspect.signature(kind).parameters}
            refuse_misspelt(options, known | self._config_json.keys())
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
        _refuse_virtual_tokens(self.model)
        if self.device.type == "cpu" and hasattr(self, "accelerator"):
            # `HFLM` shares out the work of `accelerate launch` among GPUs only.
            self._rank, self._world_size = self.accelerator.process_index, self.accelerator.num_processes

    def _get_config(self, pretrained: str, **options: Any) -> None:
        trusted = bool(options.get("trust_remote_code"))
        check_remote_code(pretrained, self._config_json, trusted)
        try:
            super()._get_config(pretrained, **options)
        except (OSError, ValueError, ImportError) as error:
            kind = self._config_json.get("model_type", "model of its own")
            raise UserError(
                f"pretrained={pretrained}: this transformers cannot load a {kind} ({first_line(error)})"
            ) from error
        check_causal(pretrained, self._config, trusted)

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
            self._model = _add_peft_weights(self.model, peft, options["revision"], len(self.tokenizer))

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
        except (AttributeError, TypeError) as error:
            if "unexpected keyword argument" in str(error):
                raise UserError(
                    f"pretrained={pretrained}: transformers refuses an argument ({first_line(error)})"
                ) from error
            if "auto_map" in self._config_json:
                raise UserError(
                    f"pretrained={pretrained}: its own code fails with this transformers ({first_line(error)})"
                ) from error
            raise
        loaded: Any = self.model
        self._model, found = loaded
        for name, in_file, in_config in sorted(found["mismatched_keys"]):
            check_shape(pretrained, name, in_file, in_config)
        if missing := sorted(found["missing_keys"]):
            raise UserError(f"{pretrained}: the weights lack {missing[0]}, which its config.json asks for")
        if getattr(self.model.config, "is_decoder", True) is False and _looks_ahead(self.model):
            raise UserError(
                f"pretrained={pretrained}: a {self.model.config.model_type} that attends to later tokens, as encoders "
                "do; one that was trained as a causal language model says so by is_decoder in its config.json"
            )


@torch.no_grad()
def _looks_ahead(model: PreTrainedModel) -> bool:
    """Tell whether another last token changes what a model says before it."""
    tokens = torch.tensor([[1, 2, 3, 4, 5], [1, 2, 3, 4, 6]], device=model.device)
    first, second = model(input_ids=tokens).logits[:, :-1].float()
    return not torch.allclose(first, second, rtol=0.05, atol=0.05 * float(first.std()))


def _add_peft_weights(model: PreTrainedModel, source: str, revision: str, vocabulary: int) -> Any:
    """Return the model wrapped by PEFT; its modules are changed in place.

    Args:
        model: transformers' own.
        source: a folder or hub id, as ``PeftModel.save_pretrained`` writes it.
        revision: on the hub.
        vocabulary: tokens of the tokenizer; where some were added in training, the embedding grows to as many rows.

    Raises:
        UserError: if PEFT is not installed, or its weights are not there or not for this model.
    """
    try:
        from peft import PeftModel
    except ImportError as error:
        raise UserError(f"peft={source}: PEFT is not installed; pip install peft") from error
    if model.config.get_text_config().vocab_size < vocabulary:
        model.resize_token_embeddings(vocabulary)
    try:
        with warnings.catch_warnings():
            # PEFT would go on with weights that it draws itself.
            warnings.filterwarnings("error", message="Found missing adapter keys")
            return PeftModel.from_pretrained(model, source, revision=revision)
    except (OSError, ValueError, RuntimeError, UserWarning) as error:
        what = " ".join(str(error).split())
        raise UserError(f"peft={source}: {what[:300]}") from error


_CONTEXT_ENTRIES = (
    "n_positions", "max_position_embeddings", "n_ctx", "max_seq_len", "seq_length", "max_sequence_length",
    "model_max_length",
)  # fmt: skip
"""Under which names a config states the context."""


def stated_context(config: Any, tokenizer: Any) -> int | None:
    """Return the context that a checkpoint states, in tokens; None if it states none.

    lm-eval looks in the same places and takes 2,048 where it finds nothing.

    Args:
        config: the model's; of a composite one, that of its text model counts first.
        tokenizer: states a ``model_max_length``, a huge one if its files do not.
    """
    for part in (config.get_text_config(), config):
        for name in _CONTEXT_ENTRIES:
            length = getattr(part, name, None)
            # XLNet has -1 for no limit, and RWKV's `context_length` is that of a single pass in training.
            if isinstance(length, int) and length > 0 and part.attribute_map.get(name) != "context_length":
                return length
    length = int(tokenizer.model_max_length)
    return length if length < VERY_LARGE_INTEGER else None


def _refuse_virtual_tokens(model: Any) -> None:
    """Refuse a model that PEFT gave a prompt of its own: only weights are followed at every step.

    Raises:
        UserError: if it has one.
    """
    config = getattr(model, "active_peft_config", None)
    if config is not None and config.is_prompt_learning:
        raise UserError(
            f"peft: {config.peft_type.value} puts tokens of its own before each prompt; LoRA and its kin work"
        )
