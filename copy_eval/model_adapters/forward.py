"""One forward pass of a causal language model over a cache, whatever the model calls its arguments."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache


class CachedModel:
    """A causal language model of transformers, called with a cache."""

    def __init__(self, model: Any, device: torch.device) -> None:
        # A compiled module says nothing of its arguments, and would be compiled anew for each length.
        self._model = getattr(model, "_orig_mod", model)
        base = self._model.get_base_model() if hasattr(self._model, "get_base_model") else self._model
        names = inspect.signature(base.forward).parameters.keys()
        # Models with relative positions (ALiBi) read them off the mask, or count slots, and take none.
        self._options = names & {"attention_mask", "position_ids", "logits_to_keep"}
        self._cache_name = "past_key_values" if "past_key_values" in names else "cache_params"
        self._head: torch.nn.Module | None = base.get_output_embeddings()
        self.config = base.config
        self.dtype: torch.dtype = base.dtype
        self.device = device

    def __call__(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        positions: torch.Tensor,
        cache: Cache | None,
        columns: Sequence[range],
    ) -> tuple[list[torch.Tensor], Cache]:
        """Return each row's logits in its columns [column, vocab], and the cache.

        Args:
            ids: [row, column].
            mask: [row, slot], of what the cache holds and the new columns.
            positions: [row, column].
            cache: of the tokens before; None lets the model make one.
            columns: of ``ids``, for each row those whose logits are wanted, at least one.
        """
        first = min(wanted.start for wanted in columns)
        options = {"attention_mask": mask, "position_ids": positions, "logits_to_keep": ids.shape[1] - first}
        if self._cache_name == "cache_params" and ids.shape[1] == 1:
            options["attention_mask"] = None  # no layer has slots, and a single token no padding
        if "logits_to_keep" not in self._options:
            first = 0
        rows = torch.tensor([row for row, wanted in enumerate(columns) for _ in wanted], device=self.device)
        places = torch.tensor([place - first for wanted in columns for place in wanted], device=self.device)
        picked = False

        def pick(_: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            nonlocal picked
            hidden, picked = inputs[0], True
            return hidden[rows.to(hidden.device), places.to(hidden.device)][None], *inputs[1:]

        # Where rows end apart, the head would compute the logits of many columns of which each row needs a few.
        hook = None if self._head is None else self._head.register_forward_pre_hook(pick)
        try:
            output = self._model(
                input_ids=ids,
                use_cache=True,
                **{self._cache_name: cache},
                **{name: options[name] for name in self._options},
            )
        finally:
            if hook is not None:
                hook.remove()
        logits = output.logits[0] if picked else output.logits[rows, places]
        return list(logits.split([len(wanted) for wanted in columns])), getattr(output, self._cache_name)

    def from_the_start(self, tokens: Sequence[int]) -> torch.Tensor:
        """Return the logits after each token of a text [token, vocab], which goes through the model as a whole."""
        return self._model(input_ids=torch.tensor([tokens], device=self.device), use_cache=False).logits[0]


def most_likely(logits: Sequence[torch.Tensor]) -> list[list[int]]:
    """Return each row's choices by its logits [choice, vocab]."""
    choices = iter(torch.cat(list(logits)).argmax(dim=-1).tolist())
    return [[next(choices) for _ in row] for row in logits]
