"""Rotary embeddings whose frequencies depend on the longest position in a pass, and so on the rest of a batch.

In transformers, ``longrope`` (Phi-3 with 128k tokens) has one set of frequencies up to the length of its first training
and another beyond; ``dynamic`` computes new ones for each length beyond. The text alone decides only if all rows of a
pass, drafts included, are on the same side.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ChangingRope:
    """Frequencies that change beyond a length."""

    length: int
    """The most tokens with the first frequencies."""

    changes_on: bool
    """Whether they change with each token beyond it, not once."""

    def is_settled(self, prompt: int, limit: int) -> bool:
        """Tell whether they are the same from a prompt of so many tokens to the end of its longest answer."""
        return prompt + limit <= self.length or (prompt > self.length and not self.changes_on)


def find_changing_rope(config: Any) -> ChangingRope | None:
    """Return how a model's frequencies change, None if they do not.

    Args:
        config: the model's.
    """
    config = config.get_text_config(decoder=True)
    parameters = getattr(config, "rope_parameters", None) or {}
    # Some models have several kinds of layers, each with its own.
    kinds = [parameters, *(kind for kind in parameters.values() if isinstance(kind, dict))]
    found = []
    for kind in kinds:
        name = kind.get("rope_type") or ""
        if name == "longrope":
            found.append(ChangingRope(kind["original_max_position_embeddings"], changes_on=False))
        elif "dynamic" in name:
            found.append(ChangingRope(config.max_position_embeddings, changes_on=True))
    return min(found, key=lambda rope: (rope.length, not rope.changes_on), default=None)
