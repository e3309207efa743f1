"""How a batch goes through transformers' Mamba or Mamba-2: with states of a fixed size, and no padding."""

from collections.abc import Sequence

import torch

from copy_eval.model_adapters.drafting import width_filled
from copy_eval.model_adapters.forward import TOKENS_AT_ONCE, OnTokens, tell_nobody
from copy_eval.model_adapters.mamba_forward import States, StateSpaceModel, empty_states, logits_of, take_in

_SHORTEST = 64
"""Tokens of a row that are taken in at once, however many rows there are."""

_PADDING = 16
"""Padded tokens that cost less than another pass."""

_WORTH = 4
"""Tokens of a draft below which a pass for it does not pay."""

_SHARE = 0.75
"""Of the rows, those that must have a draft: a pass for it costs a step or more, and all rows wait for the slowest."""

_FIRST_STRETCH = 32
"""Tokens of a draft that are taken in before the choices are looked at; each further stretch is twice as long."""


class MambaRun:
    """A batch in transformers' Mamba or Mamba-2.

    A draft is taken in after its row's tokens, so the states before it are at hand where the model rejects it: the part
    that stands is then taken in once more, with the next tokens. A draft is taken in no further than the model agrees
    with it, and only together with most of the other rows'.
    """

    def __init__(self, model: StateSpaceModel, device: torch.device, on_tokens: OnTokens = tell_nobody) -> None:
        """Begin a batch; ``on_tokens`` is told after each stretch of a long text."""
        self._model, self._device, self._on_tokens = model, device, on_tokens
        self._states: States = []
        self._prefix: States = []
        self._again: list[Sequence[int]] = []  # each row's tokens that stand and are not in its state

    @property
    def takes_drafts(self) -> bool:
        """Always."""
        return True

    def feed(self, tokens: Sequence[Sequence[int]], drafts: Sequence[Sequence[int]]) -> list[list[int]]:
        """Take in each row's tokens and its draft; return the choices after the last token and each drafted one."""
        if not self._states:
            self._states = empty_states(self._model, len(tokens))
            self._again = [[] for _ in tokens]
        tokens = self._catch_up(tokens)
        choices = self._take_in(tokens, only_last=True)
        return self._check(choices, drafts)

    def _check(self, choices: list[list[int]], drafts: Sequence[Sequence[int]]) -> list[list[int]]:
        """Take in the drafts as far as they are the model's choices, at first a short stretch; return all choices."""
        self._before = self._states
        self._drafts: list[Sequence[int]] = [[] for _ in drafts]
        start, stretch = 0, _FIRST_STRETCH
        while True:
            rest = [
                draft[start:] if chosen == draft[: start + 1] else []
                for draft, chosen in zip(drafts, choices, strict=True)
            ]
            width = width_filled([len(draft) for draft in rest], _SHARE)
            if width < _WORTH:
                return choices
            parts = [draft[: min(width, stretch)] for draft in rest]
            after = self._take_in(parts, only_last=False)
            choices = [first + more for first, more in zip(choices, after, strict=True)]
            self._drafts = [[*taken, *part] for taken, part in zip(self._drafts, parts, strict=True)]
            start, stretch = start + stretch, 2 * stretch

    def _catch_up(self, tokens: Sequence[Sequence[int]]) -> list[list[int]]:
        """Return each row's tokens with what its state lacks before them, unless that has been taken in by itself."""
        again, self._again = self._again, [[] for _ in tokens]
        if max(map(len, again)) * len(again) - sum(map(len, again)) > _PADDING:
            self._take_in(again, only_last=True)
            again = self._again
        return [[*part, *row] for part, row in zip(again, tokens, strict=True)]

    def _take_in(self, tokens: Sequence[Sequence[int]], only_last: bool) -> list[list[int]]:
        """Take in each row's tokens, a stretch at a time; return the choices after each of them, or the last."""
        choices: list[list[int]] = [[] for _ in tokens]
        stretch = max(_SHORTEST, TOKENS_AT_ONCE // len(tokens))
        longest = max(map(len, tokens))
        for start in range(0, longest, stretch):
            rows = [row for row, all_tokens in enumerate(tokens) if len(all_tokens) > start]
            parts = [tokens[row][start : start + stretch] for row in rows]
            hidden = self._forward(rows, parts)
            places = [
                (index, place)
                for index, (row, part) in enumerate(zip(rows, parts, strict=True))
                for place in range(len(part))
                if not only_last or start + place == len(tokens[row]) - 1
            ]
            if places:
                index, place = torch.tensor(places, device=self._device).T
                best = logits_of(self._model, hidden[index, place]).argmax(dim=-1).tolist()
                for (at, _), token in zip(places, best, strict=True):
                    choices[rows[at]].append(token)
            if longest > stretch:
                self._on_tokens(min(start + stretch, longest), longest)
        return choices

    def _forward(self, rows: Sequence[int], tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        """Move on the states of these rows; return what the head reads [row, token, width]."""
        lengths = [len(part) for part in tokens]
        padded = [[*part, *[0] * (max(lengths) - len(part))] for part in tokens]
        ids = torch.tensor(padded, device=self._device)
        if len(rows) == len(self._states[0][0]):
            hidden, self._states = take_in(self._model, ids, self._states, lengths)
            return hidden
        index = torch.tensor(rows, device=self._device)
        hidden, after = take_in(self._model, ids, _rows_of(self._states, index), lengths)
        self._states = _put_rows(self._states, index, after)
        return hidden

    def restart(self, rows: int) -> None:
        """Go back to behind the tokens of the first ``feed``, which had one row, and go on with copies of that."""
        self._prefix = self._prefix or self._states
        self._states = _rows_of(self._prefix, torch.zeros(rows, dtype=torch.long, device=self._device))
        self._again = [[] for _ in range(rows)]

    def keep(self, rows: Sequence[int], accepted: Sequence[int]) -> None:
        """Go on with these rows only, and of their last drafts with the first ``accepted`` tokens."""
        drafts = [self._drafts[row] for row in rows]
        if len(rows) < len(self._drafts):
            index = torch.tensor(rows, device=self._device)
            self._states, self._before = _rows_of(self._states, index), _rows_of(self._before, index)
        self._again = [[] for _ in rows]
        wrong = [row for row, draft in enumerate(drafts) if accepted[row] < len(draft)]
        if wrong:
            index = torch.tensor(wrong, device=self._device)
            self._states = _put_rows(self._states, index, _rows_of(self._before, index))
            for row in wrong:
                self._again[row] = drafts[row][: accepted[row]]


def _rows_of(states: States, index: torch.Tensor) -> States:
    return [(conv[index], state[index]) for conv, state in states]


def _put_rows(states: States, index: torch.Tensor, rows: States) -> States:
    return [
        (conv.index_copy(0, index, new_conv), state.index_copy(0, index, new_state))
        for (conv, state), (new_conv, new_state) in zip(states, rows, strict=True)
    ]
