"""The decoding loop that every architecture shares: a batch of prompts in, each prompt's greedy answer out.

At each step a row takes in its last token and, where there is one, a draft of what follows. The draft stands as far as
it is what the model itself chooses; the choice after that is a token more. So the answer is the model's own greedy one
whatever the drafts were, and a correct copy costs one forward pass.

What an architecture must do itself stands behind ``Run``. Rows that have ended leave the batch at once.
"""

from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from transformers import PreTrainedTokenizerBase

from copy_eval.model_adapters.drafting import Drafter, Trust


class Run(Protocol):
    r"""One batch on its way through a model; it holds the model's state of each row.

    An architecture is added by writing one. This run works for any causal model of transformers. The state of a row is
    its text, which goes through the model from the start at each step:

    >>> class FromTheStart:
    ...     takes_drafts = True
    ...
    ...     def __init__(self, model):
    ...         self.model, self.texts, self.passes = model, None, 0
    ...
    ...     def feed(self, tokens, drafts):
    ...         before = self.texts or [[] for _ in tokens]
    ...         self.texts = [[*text, *new, *draft] for text, new, draft in zip(before, tokens, drafts)]
    ...         self.drafted = [len(draft) for draft in drafts]
    ...         self.passes += 1
    ...         choices = [self.model(torch.tensor([text])).logits[0].argmax(-1).tolist() for text in self.texts]
    ...         return [chosen[-1 - drafted :] for chosen, drafted in zip(choices, self.drafted)]
    ...
    ...     def keep(self, rows, accepted):
    ...         ends = [len(self.texts[row]) - self.drafted[row] + count for row, count in zip(rows, accepted)]
    ...         self.texts = [self.texts[row][:end] for row, end in zip(rows, ends)]

    The loop does the rest. A right draft gives the first answer at once; the draft of the second is wrong and left:

    >>> from transformers import AutoModelForCausalLM, AutoTokenizer
    >>> from copy_eval.packaged import PACKAGED
    >>> tokenizer = AutoTokenizer.from_pretrained(PACKAGED / "tiny-pythia")
    >>> model = AutoModelForCausalLM.from_pretrained(PACKAGED / "tiny-pythia")
    >>> book = "Mary Lopez: 8323456789\nJohn Lopez: 9275516226\n\n"
    >>> prompts = [tokenizer.encode(book + asked) for asked in ("Mary Lopez:", "To Mary Lopez:")]
    >>> line = StopRule(tokenizer, until=["\n"], end_tokens=[])
    >>> for trust in (Trust(), None):
    ...     run = FromTheStart(model)
    ...     answers = decode_greedily(run, prompts, limits=[20, 20], stop_rule=line, trust=trust)
    ...     print([tokenizer.decode(answer.tokens) for answer in answers], "in", run.passes, "passes")
    [' 8323456789\n', ' 8323456789\n'] in 6 passes
    [' 8323456789\n', ' 8323456789\n'] in 11 passes

    An adapter hands it out: a subclass of ``ExactLM`` whose ``_new_run`` returns ``FromTheStart(self.model)``.
    """

    @property
    def takes_drafts(self) -> bool:
        """Whether the next ``feed`` may come with drafts."""

    def feed(self, tokens: Sequence[Sequence[int]], drafts: Sequence[Sequence[int]]) -> list[list[int]]:
        """Take in each row's tokens (at least one) and then its draft (may be empty).

        Returns:
            The model's choice after the last of a row's tokens, and after each token of its draft; choices that follow
            one which differs from the draft may be missing, and so may those of a draft's end that was not taken in.
        """

    def keep(self, rows: Sequence[int], accepted: Sequence[int]) -> None:
        """Go on with these rows only, and of their last drafts with the first ``accepted`` tokens."""


class PrefixRun(Run, Protocol):
    """A run that takes in what several prompts share once; each batch of them goes on from there."""

    def restart(self, rows: int) -> None:
        """Go back to behind the tokens of the first ``feed``, which had one row, and go on with copies of that."""


class StopRule:
    """Says where an answer ends, by the rule of lm-eval's ``hf``.

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

    def end_of(self, answer: Sequence[int], known: int = 0) -> int | None:
        """Return how many tokens of ``answer`` there are up to its end, None if it goes on.

        Args:
            answer: its tokens so far.
            known: the number of tokens at the beginning that are known not to end it.
        """
        start = max(0, known + 1 - self._window)
        # A text in the window before a token is also in all that stands before it, so none of the tokens before
        # `place`, where a text is first met, can be the end: a few decodings find it, not one a token.
        place = len(answer)
        if self._met(answer[start:]):
            place = bisect_left(range(place), True, lo=known, key=lambda last: self._met(answer[start : last + 1]))
        for last in range(known, len(answer)):
            tail = answer[max(0, last + 1 - self._window) : last + 1]
            if answer[last] in self._end_tokens or (last >= place and self._met(tail)):
                return last + 1
        return None

    def _met(self, tokens: Sequence[int]) -> bool:
        text = self._tokenizer.decode(list(tokens))
        return any(stop in text for stop in self._until)


@dataclass(slots=True)
class Answer:
    """The tokens of an answer, the one that ended it included; ``ended`` is False when the limit came first."""

    tokens: list[int]
    ended: bool = False


class _Row:
    """One prompt on its way to its answer."""

    def __init__(self, prompt: Sequence[int], seen: int, limit: int, stop_rule: StopRule, trust: Trust | None) -> None:
        self.answer = Answer([])
        self.unseen = prompt[seen:]
        self.draft: list[int] = []
        self._rest: list[int] = []  # what the run left out of the last draft, and still holds
        self._limit, self._stop_rule = limit, stop_rule
        self._drafter = None if trust is None else Drafter(prompt, trust)

    @property
    def going(self) -> bool:
        return not self.answer.ended and len(self.answer.tokens) < self._limit

    def make_draft(self) -> list[int]:
        if self._drafter is None:
            return []
        if self._rest:
            return self._rest
        # The model's own choice after the draft is a token of the answer too.
        draft = self._drafter.draft(self._limit - len(self.answer.tokens) - 1)
        return draft[: self._stop_rule.end_of(draft)]

    def take(self, choices: Sequence[int]) -> int:
        """Lengthen the answer by the model's choices; return how much of the draft stands."""
        both = enumerate(zip(self.draft, choices, strict=False))
        accepted = next((place for place, (token, choice) in both if choice != token), None)
        self._rest = []
        if accepted is None:
            # All that was taken in stands, and the last choice is as drafted; what is left is still a draft.
            accepted = min(len(self.draft), len(choices) - 1)
            self.draft, self._rest = self.draft[:accepted], self.draft[len(choices) :]
        known = len(self.answer.tokens)
        new = list(choices[: accepted + 1])
        self.answer.tokens += new
        if self._drafter is not None:
            self._drafter.learn(self.draft, accepted, new)
        self.unseen = new[-1:]
        end = self._stop_rule.end_of(self.answer.tokens, known)
        if end is not None:
            del self.answer.tokens[end:]
            self.answer.ended = True
        return accepted


@torch.no_grad()
def decode_greedily(
    run: Run,
    prompts: Sequence[Sequence[int]],
    limits: Sequence[int],
    stop_rule: StopRule,
    trust: Trust | None = None,
    seen: int = 0,
) -> list[Answer]:
    """Decode a batch: at each step the most likely token.

    Args:
        run: a run of the model: a fresh one, or one that has been restarted behind what the prompts share.
        prompts: token ids, at least one a prompt.
        limits: the most tokens each answer may have, at least 1.
        stop_rule: says when an answer has ended before that.
        trust: what the answers before have taught about drafts; None to decode without any.
        seen: the number of tokens at the beginning of each prompt that the run has taken in; each prompt has more.

    Returns:
        An answer a prompt, in the same order.
    """
    rows = [_Row(prompt, seen, limit, stop_rule, trust) for prompt, limit in zip(prompts, limits, strict=True)]
    answers = [row.answer for row in rows]
    while True:
        takes_drafts = run.takes_drafts
        for row in rows:
            row.draft = row.make_draft() if takes_drafts else []
        drafts = [row.draft for row in rows]
        choices = run.feed([row.unseen for row in rows], drafts)
        accepted = [row.take(chosen) for row, chosen in zip(rows, choices, strict=True)]
        going = [place for place, row in enumerate(rows) if row.going]
        if not going:
            return answers
        if len(going) < len(rows) or any(drafts):
            run.keep(going, [accepted[place] for place in going])
            rows = [rows[place] for place in going]
