"""What the synthetic experiments learn from: fresh examples of the evaluated tasks, packed into rows.

Example i of a run depends on the run's seed and on i alone, so a run that goes on needs no state of a random source.
The seeds lie above those of any evaluation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from copy_eval.tasks.mqar import generator as mqar
from copy_eval.tasks.ngram_lookup import generator as ngram_lookup
from copy_eval.tasks.sampling import draw_below, example_rng
from copy_eval.tasks.string_copy import generator as string_copy
from copy_eval.tasks.synthetic import Example
from copy_eval.training.alphabet_tokenizer import END_OF_TEXT_ID, TOKEN_OF
from copy_eval.training.curriculum import Batch
from copy_eval.training.experiment import TrainingRun


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
_WARM_UP = 0.05  # of the run; then the rate falls linearly to zero


def draw_examples(task: str, lengths: tuple[int, int], seed: int, start: int, count: int) -> list[Example]:
    """Draw the examples ``start`` to ``start + count - 1`` of a run; their lengths are uniform in ``lengths``."""
    shortest, longest = lengths
    data_seed = _FIRST_TRAINING_SEED + seed
    examples = []
    for index in range(start, start + count):
        length = shortest + draw_below(example_rng(data_seed, 0, index), longest - shortest + 1)
        examples.append(TASKS[task].draw(data_seed, length, index))
    return examples


def pack(examples: Sequence[Example], context: int) -> Batch:
    """Put examples one after the other into rows of at most ``context`` tokens; the answers alone are learned.

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
    tokens_of_rows = torch.tensor([tokens + [END_OF_TEXT_ID] * (width - len(tokens)) for tokens, _ in rows])
    answers_of_rows = torch.tensor([answers + [-1] * (width - len(answers)) for _, answers in rows])
    return Batch(tokens_of_rows, (answers_of_rows >= 0).float(), answers_of_rows)


class FreshExamples:
    """The curriculum of an experiment: each example once, all steps alike but for the learning rate."""

    unit = "examples"

    def __init__(self, run: TrainingRun) -> None:
        self._run, self._scale = run, run.scale
        self.total, self.seen = run.scale.examples, 0

    def learning_rate(self) -> float:
        """Return the learning rate of the next step."""
        return self._scale.learning_rate * schedule(self.seen / self.total)

    def take_step(self) -> list[Batch]:
        """Return one batch."""
        scale = self._scale
        lengths = (scale.lengths[0], scale.lengths[1])
        examples = draw_examples(self._run.task, lengths, self._run.seed, self.seen, scale.batch)
        self.seen += scale.batch
        return [pack(examples, scale.context)]

    def get_state(self) -> dict[str, Any]:
        """Return how many examples have been seen."""
        return {"examples": self.seen}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that ``get_state`` returned."""
        self.seen = state["examples"]


def schedule(progress: float) -> float:
    """Return the share of the learning rate at a share of the run: a linear warm-up, then a linear decay to zero."""
    if progress < _WARM_UP:
        return (progress + 1e-3) / (_WARM_UP + 1e-3)
    return (1.0 - progress) / (1.0 - _WARM_UP)
