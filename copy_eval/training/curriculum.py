"""What the trainer asks of whatever a model learns from; ``examples`` and ``phonebooks_and_texts`` answer it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Tokens and what is learned of them; all tensors are [row, token]."""

    tokens: Tensor
    weights: Tensor
    """Of each token in the loss; 0 where nothing is learned."""
    answers: Tensor
    """The number of the answer that a token is part of, -1 for the other tokens; an answer is right as a whole."""


class Curriculum(Protocol):
    """What a model learns from, step by step, and how fast; it counts how far it is."""

    @property
    def unit(self) -> str:
        """What is counted: ``examples`` or ``tokens``."""

    @property
    def total(self) -> int:
        """How many there are to see."""

    @property
    def seen(self) -> int:
        """How many have been seen."""

    def learning_rate(self) -> float:
        """Return the learning rate of the next step."""

    def take_step(self) -> list[Batch]:
        """Return the batches of the next step, whose losses count alike."""

    def get_state(self) -> dict[str, Any]:
        """Return what it has to remember to go on, in types that any serializer keeps."""

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that ``get_state`` returned; other keys may stand beside it."""
