"""The decoding loop that every architecture shares: a batch of prompts in, each prompt's greedy answer out.

What an architecture must do itself stands behind ``Run``: take in the prompts, then one token a row. Rows that have
ended leave the batch at once.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from transformers import PreTrainedTokenizerBase


class Run(Protocol):
    """One batch on its way through a model; it holds the model's state of each row."""

    def prefill(self, prompts: Sequence[Sequence[int]], room: int) -> torch.Tensor:
        """Take in the prompts, after which at most ``room`` tokens a row follow; return the logits [row, vocab]."""

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Take in one token a row [row]; return the next-token logits [row, vocab]."""

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only."""


class StopRule:
    """Says when an answer has ended, by the rule of lm-eval's ``hf``.

    An answer ends with an end-of-text token, or when one of the texts stands in what its last tokens decode to; two
    tokens more than the longest text has are looked at, because a model may spell it with other tokens.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, until: Sequence[str], end_tokens: Collection[int]) -> None:
        self._tokenizer = tokenizer
        # `hf` too counts the empty text as met at once.
        self._until = tuple(until)
        self._end_tokens = frozenset(end_tokens)
        lengths = [len(tokenizer.encode(text, add_special_tokens=False)) for text in until]
        self._window = max(lengths, default=0) + 2

    def ended(self, answers: Sequence[Sequence[int]]) -> list[bool]:
        """Tell for each answer (its tokens so far) whether it has ended with its last token."""
        tails = self._tokenizer.batch_decode([list(answer[-self._window :]) for answer in answers])
        return [
            answer[-1] in self._end_tokens or any(text in tail for text in self._until)
            for answer, tail in zip(answers, tails, strict=True)
        ]


@dataclass(slots=True)
class Answer:
    """The tokens of an answer, the one that ended it included; ``ended`` is False when the limit came first."""

    tokens: list[int]
    ended: bool = False


@torch.no_grad()
def decode_greedily(
    run: Run, prompts: Sequence[Sequence[int]], limits: Sequence[int], stop_rule: StopRule
) -> list[Answer]:
    """Decode a batch: at each step the most likely token.

    Args:
        run: a fresh run of the model.
        prompts: token ids, at least one a prompt.
        limits: the most tokens each answer may have, at least 1.
        stop_rule: says when an answer has ended before that.

    Returns:
        An answer a prompt, in the same order.
    """
    answers = [Answer([]) for _ in prompts]
    going = list(range(len(prompts)))
    logits = run.prefill(prompts, max(limits))
    while True:
        tokens = logits.argmax(dim=-1)
        for row, token in zip(going, tokens.tolist(), strict=True):
            answers[row].tokens.append(token)
        for row, ended in zip(going, stop_rule.ended([answers[row].tokens for row in going]), strict=True):
            answers[row].ended = ended
        places = [
            place
            for place, row in enumerate(going)
            if not answers[row].ended and len(answers[row].tokens) < limits[row]
        ]
        if not places:
            return answers
        if len(places) < len(going):
            rows = torch.tensor(places, device=tokens.device)
            run.keep(rows)
            tokens = tokens[rows]
            going = [going[place] for place in places]
        logits = run.step(tokens)
