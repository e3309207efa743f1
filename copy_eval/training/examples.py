"""What the synthetic experiments learn from: fresh examples of the evaluated tasks, packed into rows.

Example i of a run depends on the run's seed and on i alone, so a run that goes on needs no state of a random source.
The seeds lie above those of any evaluation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from copy_eval.tasks.mqar import generator as mqar
from copy_eval.tasks.ngram_lookup import generator as ngram_lookup
from copy_eval.tasks.sampling import draw_below, example_rng
from copy_eval.tasks.string_copy import generator as string_copy
from copy_eval.tasks.synthetic import Example
from copy_eval.training.alphabet_tokenizer import END_OF_TEXT_ID, TOKEN_OF


@dataclass(frozen=True)
class TrainingTask:
    """A task that can be learned."""

    draw: Callable[[int, int, int], Example]
    """From the data seed, the length and the index to an example."""

    shortest: int = 1
    longest: int | None = None
    """The lengths that the task can have; None for no limit."""


TASKS = {
    "string_copy": TrainingTask(string_copy.draw_example),
    "ngram_prefix": TrainingTask(partial(ngram_lookup.draw_example, variant="prefix"), ngram_lookup.SHORTEST),
    "ngram_suffix": TrainingTask(partial(ngram_lookup.draw_example, variant="suffix"), ngram_lookup.SHORTEST),
    "mqar": TrainingTask(mqar.draw_example, longest=len(mqar.KEYS)),
}
"""By the names that experiments use."""

_FIRST_TRAINING_SEED = 10**9


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """Examples one after the other in rows, each whole; all tensors are [row, token]."""

    tokens: torch.Tensor
    answers: torch.Tensor
    """The number of the example whose answer a token is part of, -1 for the other tokens."""


def draw_examples(task: str, lengths: tuple[int, int], seed: int, start: int, count: int) -> list[Example]:
    """Draw the examples ``start`` to ``start + count - 1`` of a run; their lengths are uniform in ``lengths``."""
    shortest, longest = lengths
    data_seed = _FIRST_TRAINING_SEED + seed
    examples = []
    for index in range(start, start + count):
        length = shortest + draw_below(example_rng(data_seed, 0, index), longest - shortest + 1)
        examples.append(TASKS[task].draw(data_seed, length, index))
    return examples


def pack(examples: Sequence[Example], context: int) -> PackedBatch:
    """Put examples one after the other into rows of at most ``context`` tokens.

    A longer example has a row of its own.
    """
    rows: list[tuple[list[int], list[int]]] = []
    for number, example in enumerate(examples):
        text = example.prompt + example.answer
        if not rows or len(rows[-1][0]) + len(text) > context:
            rows.append(([], []))
        tokens, answers = rows[-1]
        tokens += [TOKEN_OF[character] for character in text]
        answers += [-1] * len(example.prompt) + [number] * len(example.answer)
    width = max(len(tokens) for tokens, _ in rows)
    return PackedBatch(
        torch.tensor([tokens + [END_OF_TEXT_ID] * (width - len(tokens)) for tokens, _ in rows]),
        torch.tensor([answers + [-1] * (width - len(answers)) for _, answers in rows]),
    )
