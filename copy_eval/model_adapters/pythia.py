"""``--model copy_hf``, also ``pythia``: any causal language model in transformers' layout, such as Pythia."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from copy_eval.errors import UserError, first_line
from copy_eval.model_adapters.adapter import ExactLM
from copy_eval.model_adapters.attention import AttentionRun
from copy_eval.model_adapters.caches import growing_cache, is_recurrent
from copy_eval.model_adapters.decoding import Answer, Run
from copy_eval.model_adapters.forward import CachedModel
from copy_eval.model_adapters.hybrid import HybridRun, shorten_chunks
from copy_eval.model_adapters.rope import find_changing_rope
from copy_eval.model_adapters.self_test import FAILURES, Capabilities, find_capabilities, note_modes

_log = logging.getLogger(__name__)

_TEST_TEXT = (
    "In 1815, the 3 sisters Ada, Beth and Carol Weber walked 27 miles from Graz to the old mill by the river; "
    "their numbers were 8323456789 and 6093237777. Why? Nobody knows, but the quick brown fox saw them: "
    "'We shall return before winter', said the youngest, and closed the green door behind her."
)
"""What the self-test takes its tokens from."""


class PythiaLM(ExactLM):
    """One model: ``lm_eval --model copy_hf --model_args pretrained=EleutherAI/pythia-410m,revision=step3000``."""

    adapter = "pythia"

    def __init__(self, pretrained: str | PreTrainedModel, **options: Any) -> None:
        """Load a checkpoint and find out how it can be decoded.

        Args:
            pretrained: see ``ExactLM``, as for ``options``.
            options: the other arguments.

        Raises:
            UserError: if an argument or the checkpoint is not usable.
        """
        super().__init__(pretrained, **options)
        # A model that was passed in stays as it is.
        if self.device.type == "cpu" and isinstance(pretrained, str):
            shorten_chunks(self.model)
        self._cached_model = CachedModel(self.model, self.device)
        self._rope = find_changing_rope(self._cached_model.config)
        modes = note_modes(self.model)
        self._capabilities = self._test_itself()
        self._refuse_changes(modes)
        self._layer_caches = self._find_layer_caches()
        self._batched = self._capabilities.batched
        # Both need a pass of several tokens behind a cache.
        self._shares_prefixes = self._capabilities.drafted and self._rope is None
        if not self._capabilities.drafted:
            self._trust = None

    def _test_itself(self) -> Capabilities:
        longest = int(self.max_length) if self._rope is None else min(int(self.max_length), self._rope.length)
        text = self._test_tokens()
        config = self._cached_model.config
        # What a cache of another kind chooses among its slots, such as a sparse attention, shows in long texts only.
        known = growing_cache(config) is not None
        # So does Llama 4's scale of queries, which changes with their slots, every 8,192 of them.
        by_slots = getattr(config.get_text_config(decoder=True), "attn_temperature_tuning", False)
        drafts = self._trust is not None
        with self._autocast():
            found = find_capabilities(
                self._cached_model, self._new_batch, text, longest, batches=known and not by_slots, drafts=known
            )
        if not found.stepwise:
            self._try_generate(text[: max(1, min(longest, 8) - 2)])
            _log.warning(
                "transformers' generate answers, one prompt at a time: the self-test failed with this model's cache"
            )
            return found
        unused = [] if found.batched else ["batches"]
        unused += [] if found.drafted or not drafts else ["drafts"]
        if unused:
            _log.warning("this model is run without %s, which would change its answers", " and ".join(unused))
        return found

    def _refuse_changes(self, before: Mapping[str, str]) -> None:
        """Refuse a model that the self-test has changed: what it answers depends on what it has answered before.

        Raises:
            UserError: if one of its modes is another one now.
        """
        after = note_modes(self.model)
        changed = next((name for name, mode in before.items() if after.get(name) != mode), None)
        if changed is not None:
            raise UserError(
                f"a forward pass changes this {self.config.model_type} for good ({changed} was {before[changed]} and "
                f"is {after.get(changed)}), so that its answers would depend on their order; its config.json must "
                "say from the start what is to hold"
            )

    def _try_generate(self, prompt: Sequence[int]) -> None:
        """Let transformers decode two tokens.

        Raises:
            UserError: if it cannot; some models have nothing that can decode them.
        """
        try:
            self._decode_with_transformers([prompt], [2], self._settings({}))
        except FAILURES as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            raise UserError(
                f"transformers' generate, which would decode here, fails with this {self.config.model_type} "
                f"({type(error).__name__}: {first_line(error)})"
            ) from error

    def _test_tokens(self) -> list[int]:
        return self.tok_encode(_TEST_TEXT, add_special_tokens=False) or [self.prefix_token_id]

    def _new_batch(self, takes_drafts: bool) -> AttentionRun | HybridRun:
        model, pad_token, told = self._cached_model, self.tokenizer.pad_token_id, self._tell_tokens
        cache, in_stretches = growing_cache(model.config), self._rope is None
        if cache is None or is_recurrent(cache):
            return HybridRun(model, pad_token, takes_drafts and cache is not None, in_stretches, told)
        return AttentionRun(model, pad_token, self.context_length, takes_drafts, in_stretches, told)

    def _get_config(self, pretrained: str, **options: Any) -> None:
        if self._state_spaces:
            raise UserError(f"pretrained={pretrained}: a checkpoint in the state-spaces layout; use --model mamba_ssm")
        super()._get_config(pretrained, **options)

    def _new_run(self, room: int) -> Run:  # noqa: ARG002
        return self._new_batch(self._capabilities.drafted)

    def _rows_per_batch(self) -> int:
        return super()._rows_per_batch() if self._batched else 1

    def _is_plain(self, settings: dict[str, Any]) -> bool:
        return self._capabilities.stepwise and super()._is_plain(settings)

    def _decode_greedily(
        self, prompts: Sequence[Sequence[int]], limits: Sequence[int], settings: dict[str, Any]
    ) -> list[Answer]:
        if self._rope is None:
            return super()._decode_greedily(prompts, limits, settings)
        settled = [self._rope.is_settled(len(prompt), limit) for prompt, limit in zip(prompts, limits, strict=True)]
        # With the first frequencies, with the later ones, and from the ones to the others.
        kinds = [
            len(prompt) <= self._rope.length if sure else None for prompt, sure in zip(prompts, settled, strict=True)
        ]
        answers: dict[int, Answer] = {}
        for kind in set(kinds):
            rows = [row for row, other in enumerate(kinds) if other == kind]
            decode = self._decode_across if kind is None else super()._decode_greedily
            some = decode([prompts[row] for row in rows], [limits[row] for row in rows], settings)
            answers |= zip(rows, some, strict=True)
        return [answers[row] for row in range(len(prompts))]

    def _decode_across(
        self, prompts: Sequence[Sequence[int]], limits: Sequence[int], settings: dict[str, Any]
    ) -> list[Answer]:
        """Decode prompts whose frequencies change on the way, as transformers does."""
        answers = []
        for prompt, limit in zip(prompts, limits, strict=True):
            # A dynamic rope keeps the frequencies of the longest text so far, and forgets them at a short one.
            self._model_call(torch.tensor([prompt[:1]], device=self.device))
            answers += self._decode_with_transformers([prompt], [limit], settings)
        return answers
