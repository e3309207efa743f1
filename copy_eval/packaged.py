"""Where the checkpoints stand that the package carries."""

from pathlib import Path

PACKAGED = Path(__file__).resolve().parent / "checkpoints"
"""A folder each: weights, config.json, tokenizer.json and a model card."""


def packaged_checkpoints() -> list[str]:
    """Return the names of the packaged checkpoints."""
    return sorted(folder.name for folder in PACKAGED.iterdir())
