"""How a batch goes through a state space model: with states of a fixed size, and without padding in any of them."""

from collections.abc import Sequence

import torch

from copy_eval.model_adapters.state_space_model import States, StateSpaceModel, empty_states, logits_of, take_in

_AT_ONCE = 8192
"""Rows times tokens that are taken in at once, which bounds the memory."""

_SHORTEST = 64
"""Tokens of a row that are taken in at once, however many rows there are."""


class RecurrentRun:
    """A batch in transformers' Mamba or Mamba-2.

    A draft is taken in after its row's tokens, so the states before it are at hand where the model rejects it: the part
    that stands is then taken in once more, with the next tokens. A draft that begins with another token than the
    model's choice is not run.
    """

    def __init__(self, model: StateSpaceModel, device: torch.device) -> None:
        self._model, self._device = model, device
        self._states: States = []
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
        tokens = [[*again, *row] for again, row in zip(self._again, tokens, strict=True)]
        choices = self._take_in(tokens, only_last=True)
        self._again = [[] for _ in tokens]
        self._before = self._states
        self._drafts = [
            draft if draft and draft[0] == chosen[0] else [] for draft, chosen in zip(drafts, choices, strict=True)
        ]
        after = self._take_in(self._drafts, only_last=False)
        return [first + rest for first, rest in zip(choices, after, strict=True)]

    def _take_in(self, tokens: Sequence[Sequence[int]], only_last: bool) -> list[list[int]]:
        """Take in each row's tokens, a stretch at a time; return the choices after each of them, or the last."""
        choices: list[list[int]] = [[] for _ in tokens]
        stretch = max(_SHORTEST, _AT_ONCE // len(tokens))
        for start in range(0, max(map(len, tokens)), stretch):
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
