"""What both adapters share: answers that are exact in a batch, and prompts that are never cut."""

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.utils import (
    handle_stop_sequences,
    has_bos_prefix,
    normalize_gen_kwargs,
    postprocess_generated_text,
)
from tqdm import tqdm
from transformers import PreTrainedModel

from copy_eval import __version__
from copy_eval.checkpoint_fingerprint import fingerprint_model
from copy_eval.errors import UserError, first_line
from copy_eval.model_adapters.decoding import Answer, PrefixRun, Run, StopRule, decode_greedily
from copy_eval.model_adapters.drafting import Trust
from copy_eval.model_adapters.forward import OnTokens, tell_nobody
from copy_eval.model_adapters.loading import CheckedLM, stated_context
from copy_eval.model_adapters.memory import LayerCache, bytes_kept, free_memory, read_layers
from copy_eval.model_adapters.prefixes import find_families
from copy_eval.model_adapters.self_test import FAILURES
from copy_eval.over_context import refuse_over_context
from copy_eval.token_bound import TokenBound
from copy_eval.training_record import read_record

_log = logging.getLogger(__name__)

_NEUTRAL = {
    # How to sample, which greedy decoding does not.
    "do_sample", "temperature", "top_k", "top_p", "top_h", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff",
    "renormalize_logits",
    # How a beam search ends and sorts its beams; without ``num_beams`` there is none.
    "length_penalty", "early_stopping",
    # How answers are computed.
    "use_cache", "disable_compile", "compile_config", "prefill_chunk_size", "low_memory",
    "num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold",
    "prompt_lookup_num_tokens", "max_matching_ngram_size",
}  # fmt: skip
"""Generation arguments that leave plain greedy decoding whatever their value."""

_OFF: Mapping[str, tuple[Any, ...]] = {
    "cache_implementation": ("dynamic", "dynamic_full", "hybrid", "hybrid_chunked", "sliding_window", "static"),
    **dict.fromkeys(("repetition_penalty", "encoder_repetition_penalty", "guidance_scale"), (None, 1)),
    **dict.fromkeys(("num_beams", "num_beam_groups", "num_return_sequences"), (None, 1)),
}
"""Generation arguments that leave plain greedy decoding at these values."""

_PRESETS = {
    # The limit is the request's, and our stop rule knows the tokens that end a text.
    "max_length", "max_new_tokens", "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id",
    "output_attentions", "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate",
    "_from_model_config", "transformers_version", "trust_remote_code",
}  # fmt: skip
"""Entries of a checkpoint's ``generation_config.json`` that leave plain greedy decoding besides."""


_TOKENS_OF_A_PASS = 256
"""Tokens of a prompt that take about as long as another pass; what prompts share must save more than it costs."""


_SHORT = (4, 8)
"""Tokens of the texts from which what a model keeps of a text is found out; four are as many as a convolution takes."""


@dataclass
class _Prefix:
    """What the prompts of a batch and those of the next ones share."""

    size: int
    run: PrefixRun | None = None
    """Behind the shared tokens; None before the first batch."""


def _is_neutral(name: str, value: Any) -> bool:
    return name in _NEUTRAL or value in _OFF.get(name, ())


class ExactLM(CheckedLM):
    """A Hugging Face model whose batched answers are those of one prompt at a time.

    A subclass says its name and how a batch goes through its model (``_new_run``).
    """

    adapter: str
    """The name after ``--model``, whichever alias was asked for."""

    _batched = True
    """Whether prompts may share a batch."""

    _shares_prefixes = False
    """Whether runs are ``PrefixRun``."""

    on_tokens: OnTokens = staticmethod(tell_nobody)
    """Is told how far a long prompt is, besides the progress bar."""

    _progress: Any = None
    """The bar, once requests are answered."""

    refuses_over_context = True
    """Tells the tasks that no prompt is ever cut here."""

    def __init__(self, pretrained: str | PreTrainedModel, *, draft: bool = True, **options: Any) -> None:
        """Load a checkpoint.

        Args:
            pretrained: see ``CheckedLM``, as for ``options``.
            draft: guess what an answer copies and let the model check it in one forward pass; ``draft=0`` decodes every
                token by itself, with the same answers.
            options: the other arguments.

        Raises:
            UserError: if an argument or the checkpoint is not usable.
        """
        self._most_rows: int | None = None
        self._told_of_memory = False
        super().__init__(pretrained, **options)
        # The weights are read once more for it, so only the process that writes the results does it.
        self._weights_sha256 = fingerprint_model({"pretrained": pretrained, **options}) if self.rank == 0 else None
        self._trust = self._new_trust() if draft else None
        self._layer_caches: Sequence[LayerCache] | None = None
        self._memory_bytes: dict[str, float] = {}
        self._token_bound = TokenBound(self.tokenizer)
        self._record = read_record(pretrained) if isinstance(pretrained, str) else None

    @property
    def context_length(self) -> int | None:
        """The most tokens that a prompt and its answer may have together; None for no limit.

        Where neither ``max_length=`` nor the checkpoint says anything, as with most recurrent models, there is none.
        """
        return self._max_length or stated_context(self.config, self.tokenizer)

    @property
    def kernels(self) -> str | None:
        """The package whose kernels run the model, with its version; None where they are transformers' own."""
        return None

    @property
    def takes_batches(self) -> bool:
        """Whether prompts may share a batch."""
        return self._batched

    @property
    def takes_drafts(self) -> bool:
        """Whether answers are drafted."""
        return self._trust is not None

    @property
    def shares_prefixes(self) -> bool:
        """Whether what prompts share at their beginning is taken in once."""
        return self._shares_prefixes

    @contextmanager
    def restricted_to(self, rows: int, drafts: bool, prefixes: bool) -> Iterator[None]:
        """Let answers be made in one of the ways that must not change them.

        Args:
            rows: prompts in a batch at most.
            drafts: whether to draft answers, if the model takes drafts.
            prefixes: whether to take in once what prompts share, if the model can.
        """
        before: tuple[Any, ...] = (self.batch_size, self._trust, self._shares_prefixes)
        self.batch_size_per_gpu = rows
        self._trust = self._new_trust() if drafts and self.takes_drafts else None
        self._shares_prefixes = prefixes and self.shares_prefixes
        try:
            yield
        finally:
            self.batch_size_per_gpu, self._trust, self._shares_prefixes = before

    def get_model_info(self) -> dict[str, Any]:
        """Return what lm-eval logs of the model, its architecture, what the weights are, and what ran them here."""
        return super().get_model_info() | {
            # Only the hybrids that mamba-ssm alone can run have a config without a type.
            "model_architecture": self.config.model_type or "state_spaces_hybrid",
            "weights_sha256": self._weights_sha256,
            # Another adapter may have the same name; this is only in the results of ours.
            "copy_eval": {
                "adapter": self.adapter,
                "version": __version__,
                "context_length": self.context_length,
                "batched": self.takes_batches,
                "drafted": self.takes_drafts,
                # Bytes that the model keeps of a prompt (keys and values, states), the mean over each task's prompts.
                "memory_bytes": dict(self._memory_bytes),
                **({} if self._record is None else {"trained": self._record.model_dump(mode="json")}),
            },
        }

    def _new_run(self, room: int) -> Run:
        """Return a run in which at most ``room`` tokens follow each prompt."""
        raise NotImplementedError

    def _new_trust(self) -> Trust:
        return Trust()

    @torch.no_grad()
    def _find_layer_caches(self) -> Sequence[LayerCache] | None:
        """Return what each layer keeps of a text; None where nothing tells.

        A subclass calls it once its self-test is done, which looks for models that any pass changes for good.
        """
        caches = []
        for tokens in _SHORT:
            ids = torch.full((1, tokens), self.prefix_token_id, device=self.device)
            try:
                with self._autocast():
                    output = self.model(input_ids=ids, use_cache=True)
                caches.append(output.get("past_key_values", output.get("cache_params")))
            except FAILURES:
                return None
        return read_layers(caches[0], caches[1], _SHORT)

    def _note_memory(self, tasks: Sequence[str | None], prompts: Sequence[Sequence[int]]) -> None:
        """Keep what the model's memory holds after a prompt of each task, on average."""
        if self._layer_caches is None:
            return
        sizes: dict[str, list[int]] = defaultdict(list)
        for task, prompt in zip(tasks, prompts, strict=True):
            if task is not None:
                sizes[task].append(bytes_kept(self._layer_caches, len(prompt)))
        self._memory_bytes |= {task: sum(of_task) / len(of_task) for task, of_task in sizes.items()}

    def _rows_per_batch(self) -> int:
        return self._detect_batch_size() if self.batch_size == "auto" else int(self.batch_size)

    def _detect_batch_size(self, requests: Sequence[Any] | None = None, pos: int = 0) -> int:
        # A CPU out of memory raises nothing that could be caught; it swaps or kills.
        if self.device.type == "cpu":
            return min(int(self.max_batch_size), 16)
        return int(super()._detect_batch_size(requests, pos))

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Answer each request's prompt; a prompt that does not fit the context gets ``refuse_over_context``.

        Greedy decoding runs in our own loop. Anything else that transformers' ``generate`` offers (sampling, beams,
        penalties) runs there, a prompt at a time.
        """
        progress = self._progress = tqdm(
            total=len(requests), disable=disable_tqdm or self.rank != 0, desc="Running generate_until requests"
        )
        self._memory_bytes.clear()  # a result file is about the tasks of one call
        refused: Counter[str] = Counter()
        alike: dict[str, list[int]] = defaultdict(list)
        for place, request in enumerate(requests):
            alike[json.dumps(request.args[1], sort_keys=True, default=str)].append(place)
        texts = [""] * len(requests)
        most_rows = self._rows_per_batch()
        for places in alike.values():
            settings = self._settings(requests[places[0]].args[1])
            for rows, answers in self._answer_requests([requests[place] for place in places], settings, most_rows):
                for row, answer in zip(rows, answers, strict=True):
                    place = places[row]
                    if isinstance(answer, Answer):
                        texts[place] = self._text_of(answer.tokens, settings["until"])
                    else:
                        texts[place] = answer
                        refused[requests[place].task_name or "unnamed task"] += 1
                    self.cache_hook.add_partial("generate_until", requests[place].args, texts[place])
                progress.set_postfix_str("", refresh=False)
                progress.update(len(rows))
        progress.close()
        for task, count in refused.items():
            _log.warning(
                "%s: %d prompts with their answers exceed the model's context of %d tokens; they are not scored",
                task, count, self.context_length,
            )  # fmt: skip
        return texts

    def _tell_tokens(self, taken: int, tokens: int) -> None:
        """Tell how much of a long prompt has been taken in, which on a CPU may take minutes."""
        if self._progress is not None:
            self._progress.set_postfix_str(f"{taken} of {tokens} tokens of a prompt")
        self.on_tokens(taken, tokens)

    def _answer_requests(
        self, requests: Sequence[Instance], settings: dict[str, Any], most_rows: int
    ) -> Iterator[tuple[Sequence[int], list[Answer | str]]]:
        """Yield places of requests and their answers, first the refusals of those that need not even be encoded."""
        texts = [request.args[0] for request in requests]
        refusals: dict[int, Answer | str] = {}
        if self.context_length is not None and not self.truncation:
            fewest = map(self._token_bound.fewest, texts)
            refusals = {
                place: refuse_over_context(tokens + 1, self.context_length)
                for place, tokens in enumerate(fewest)
                if tokens >= self.context_length
            }
        yield list(refusals), list(refusals.values())
        read = [place for place in range(len(texts)) if place not in refusals]
        prompts = [self._encode(texts[place]) for place in read]
        self._note_memory([requests[place].task_name for place in read], prompts)
        for batch, answers in self._answer_all(prompts, settings, most_rows):
            yield [read[row] for row in batch], answers

    def _answer_all(
        self, prompts: Sequence[Sequence[int]], settings: dict[str, Any], most_rows: int
    ) -> Iterator[tuple[Sequence[int], list[Answer | str]]]:
        """Yield the places of a batch's prompts and their answers, or the refusals of those that exceed the context."""
        for prefix, members in self._find_prefixes(prompts, settings, most_rows):
            # The longest first, so that what exceeds the memory shows at once.
            left = sorted(members, key=lambda place: -len(prompts[place]))
            most_together = most_rows if prefix is None or self._batch_pays(prefix.size) else 1
            while left:
                longest = len(prompts[left[0]]) + settings["max_gen_toks"]
                rows = self._rows_within_memory(min(longest, self.context_length or longest), most_together)
                batch, left = left[:rows], left[rows:]
                yield batch, self._answer([prompts[place] for place in batch], settings, prefix)

    def _rows_within_memory(self, tokens: int, most_rows: int) -> int:
        """Return how many rows of so many tokens share a batch: their caches may take half of the free memory.

        A cache is in the memory twice while rows are selected or joined.
        """
        free, needed = free_memory(self.device), 2 * self._cache_bytes(tokens)
        if most_rows == 1 or free is None or most_rows * needed <= free:
            return most_rows
        rows = max(1, free // needed)
        if not self._told_of_memory:
            _log.warning("%d of %d prompts at once: more caches of %d tokens might not fit", rows, most_rows, tokens)
            self._told_of_memory = True
        return rows

    def _batch_pays(self, shared: int) -> bool:
        """Tell whether prompts that share so many tokens gain by going on in a batch.

        What a batch saves is reading the weights for each row. It copies the shared cache for each row, and once
        more for those that stay when others end, which on a CPU outweighs that where the cache is the larger.
        """
        weights = sum(parameter.nbytes for parameter in self.model.parameters())
        return self.device.type != "cpu" or self._cache_bytes(shared) <= weights

    def _cache_bytes(self, tokens: int) -> int:
        """Return the bytes of a row of so many tokens while its batch runs; 0 where nothing tells.

        A run also holds what has left a layer's window, as a draft that is rejected may bring it back.
        """
        return sum(layer.state + layer.token * tokens for layer in self._layer_caches or ())

    def _find_prefixes(
        self, prompts: Sequence[Sequence[int]], settings: dict[str, Any], most_rows: int
    ) -> Iterator[tuple[_Prefix | None, Sequence[int]]]:
        """Yield prefixes that are worth being taken in once, with the places of their prompts; None for the others."""
        context, most = self.context_length, settings["max_gen_toks"]

        def gain(members: int, shared: int) -> float:
            # One more pass, and the steps of the batch that is not full for it.
            passes = 1 + most * (-members % most_rows) / most_rows
            return (members - 1) * shared - _TOKENS_OF_A_PASS * passes

        if not self._shares_prefixes or not self._is_plain(settings):
            yield None, range(len(prompts))
            return
        fitting = [place for place, prompt in enumerate(prompts) if context is None or len(prompt) < context]
        others = set(range(len(prompts))).difference(fitting)
        for family in find_families([prompts[place] for place in fitting], gain):
            members = [fitting[member] for member in family.members]
            if len(members) == 1:
                others.update(members)
            else:
                yield _Prefix(family.shared), members
        yield None, sorted(others)

    def _encode(self, prompt: str) -> list[int]:
        """Return the tokens of lm-eval's ``tok_batch_encode``, without its tensors, which take ten times as long."""
        special: dict[str, bool] = {}
        if has_bos_prefix(prompt, getattr(self.tokenizer, "bos_token", None)):
            special["add_special_tokens"] = False
        elif self.add_bos_token is not None:
            special["add_special_tokens"] = self.add_bos_token
        tokens: list[int] = self.tokenizer(prompt, truncation=bool(self.truncation), **special)["input_ids"]
        # An empty prompt still needs a token to continue from, as in lm-eval's loglikelihood.
        return tokens or [self.prefix_token_id]

    def _settings(self, gen_kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the request's arguments with every default filled in; the end-of-text token is one of ``until``."""
        settings: dict[str, Any] = dict(normalize_gen_kwargs(gen_kwargs, self.max_gen_toks))
        eos = self.tok_decode([self.eot_token_id], skip_special_tokens=False)
        settings["until"] = handle_stop_sequences(settings["until"], eos=eos)
        return settings

    def _answer(
        self, prompts: Sequence[Sequence[int]], settings: dict[str, Any], prefix: _Prefix | None = None
    ) -> list[Answer | str]:
        """Return an answer a prompt, or the refusal of those that exceed the context."""
        context = self.context_length
        most = settings["max_gen_toks"]
        limits = [most if context is None else min(most, context - len(prompt)) for prompt in prompts]
        fitting = [row for row, limit in enumerate(limits) if limit > 0]
        decode: Callable[..., list[Answer]] = self._decode_with_transformers
        if self._is_plain(settings):
            decode = self._decode_greedily if prefix is None else partial(self._decode_behind, prefix=prefix)
        answers: dict[int, Answer] = {}
        if fitting:
            decoded = self._within_memory(
                partial(decode, settings=settings), [prompts[row] for row in fitting], [limits[row] for row in fitting]
            )
            answers = dict(zip(fitting, decoded, strict=True))
        outcome: list[Answer | str] = []
        for row, (prompt, limit) in enumerate(zip(prompts, limits, strict=True)):
            # The limit on the answer's length may exceed the context as long as the answer ends before it.
            if limit < most and not (row in answers and answers[row].ended):
                assert context is not None
                outcome.append(refuse_over_context(max(len(prompt), context) + 1, context))
            else:
                outcome.append(answers[row])
        return outcome

    def _within_memory(
        self,
        decode: Callable[[Sequence[Sequence[int]], Sequence[int]], list[Answer]],
        prompts: Sequence[Sequence[int]],
        limits: Sequence[int],
    ) -> list[Answer]:
        """Decode prompts, together if they fit the memory and in halves if not; batches to come begin with the half."""
        if self._most_rows is None or len(prompts) <= self._most_rows:
            try:
                return decode(prompts, limits)
            except torch.OutOfMemoryError as error:
                if len(prompts) == 1:
                    raise UserError(
                        f"out of memory with a single prompt of {len(prompts[0])} tokens ({first_line(error)})"
                    ) from error
            # Here, not above: the exception holds on to what the batch had allocated.
            self._most_rows = len(prompts) // 2
            _log.warning("out of memory with %d prompts at once; going on with %d", len(prompts), self._most_rows)
            torch.cuda.empty_cache()
        half = -(-len(prompts) // 2)
        return [
            *self._within_memory(decode, prompts[:half], limits[:half]),
            *self._within_memory(decode, prompts[half:], limits[half:]),
        ]

    def _is_plain(self, settings: dict[str, Any]) -> bool:
        if settings["do_sample"]:
            return False
        asked = {name: value for name, value in settings.items() if name not in ("until", "max_gen_toks")}
        preset = getattr(self.model, "generation_config", None)
        # Entries that are off, such as `no_repeat_ngram_size` at 0, may be listed all the same.
        presets = {name: value for name, value in preset.to_diff_dict().items() if value} if preset is not None else {}
        return all(_is_neutral(name, value) for name, value in asked.items()) and all(
            name in _PRESETS or _is_neutral(name, value) for name, value in presets.items()
        )

    def _stop_rule(self, until: Sequence[str]) -> StopRule:
        preset = getattr(self.model, "generation_config", None)
        ends = getattr(preset, "eos_token_id", None)
        ends = [] if ends is None else ends if isinstance(ends, list) else [ends]
        return StopRule(self.tokenizer, until, [*ends, self.eot_token_id])

    def _autocast(self) -> torch.autocast:
        dtype = self.mixed_precision_dtype
        return torch.autocast(device_type=self.device.type, dtype=dtype, enabled=dtype is not None)

    def _decode_greedily(
        self, prompts: Sequence[Sequence[int]], limits: Sequence[int], settings: dict[str, Any]
    ) -> list[Answer]:
        with self._autocast():
            stop_rule = self._stop_rule(settings["until"])
            return decode_greedily(self._new_run(max(limits)), prompts, limits, stop_rule, self._trust)

    def _decode_behind(
        self, prompts: Sequence[Sequence[int]], limits: Sequence[int], settings: dict[str, Any], prefix: _Prefix
    ) -> list[Answer]:
        """Decode prompts that share a prefix, which only the first batch of them takes in."""
        with self._autocast():
            if prefix.run is None:
                run = cast(PrefixRun, self._new_run(max(limits)))
                with torch.no_grad():
                    run.feed([prompts[0][: prefix.size]], [[]])
                prefix.run = run
            prefix.run.restart(len(prompts))
            stop_rule = self._stop_rule(settings["until"])
            return decode_greedily(prefix.run, prompts, limits, stop_rule, self._trust, seen=prefix.size)

    def _decode_with_transformers(
        self, prompts: Sequence[Sequence[int]], limits: Sequence[int], settings: dict[str, Any]
    ) -> list[Answer]:
        options = {name: value for name, value in settings.items() if name not in ("until", "max_gen_toks")}
        whole_length = options.pop("max_length", None)
        preset = getattr(self.model, "generation_config", None)
        if getattr(preset, "stop_strings", None):
            options["tokenizer"] = self.tokenizer
        rule = self._stop_rule(settings["until"])
        answers = []
        for prompt, limit in zip(prompts, limits, strict=True):
            context = torch.tensor([prompt], device=self.device)
            try:
                output = self._model_generate(
                    context,
                    max_length=whole_length or len(prompt) + limit,
                    stop=settings["until"],
                    attention_mask=torch.ones_like(context),
                    # The checkpoint's own would come before `max_length`, and change what is returned.
                    max_new_tokens=None,
                    return_dict_in_generate=False,
                    **options,
                )
            except ValueError as error:  # so it answers arguments that it does not know or cannot follow
                raise UserError(f"transformers' generate refuses the request ({first_line(error)})") from error
            tokens = output[0, len(prompt) :].tolist()
            answers.append(Answer(tokens, ended=len(tokens) < limit or rule.end_of(tokens) is not None))
        return answers

    def _text_of(self, tokens: Sequence[int], until: Sequence[str]) -> str:
        """Return an answer's text as lm-eval's ``hf`` does: without its reasoning, up to the first stop text."""
        end = self.think_end_token
        if isinstance(end, int) and end in tokens:
            last = len(tokens) - 1 - list(reversed(tokens)).index(end)
            tokens = tokens[last + 1 :]
        text: str = self.tok_decode(list(tokens))
        answer: str = postprocess_generated_text(
            text.lstrip() if isinstance(end, int) else text,
            stop=list(until),
            think_end_token=end if isinstance(end, str) else None,
        )
        return answer
