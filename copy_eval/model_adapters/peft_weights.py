"""``peft=``: what PEFT has trained (LoRA and its kin), on top of a model's weights."""

import warnings
from typing import Any

from transformers import PreTrainedModel

from copy_eval.errors import UserError


def add_peft_weights(model: PreTrainedModel, source: str, revision: str, vocabulary: int) -> Any:
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


def refuse_virtual_tokens(model: Any) -> None:
    """Refuse a model that PEFT gave a prompt of its own: only weights are followed at every step.

    Raises:
        UserError: if it has one.
    """
    config = getattr(model, "active_peft_config", None)
    if config is not None and config.is_prompt_learning:
        raise UserError(
            f"peft: {config.peft_type.value} puts tokens of its own before each prompt; LoRA and its kin work"
        )
