"""How many tokens the prompts of a task and their answers have for a model's tokenizer."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

from tokenizers import Tokenizer

from copy_eval.errors import UserError
from copy_eval.model_adapters.checkpoints import (
    PILE_TOKENIZER,
    find_file,
    is_state_spaces,
    read_config,
    resolve_checkpoint,
)
from copy_eval.runs.model_entries import ModelEntry
from copy_eval.runs.task_loading import describe_task, load_task, read_definition
from copy_eval.tasks.settings import read_depths

_MOST = 256
"""Tokens of an answer where a task sets no limit, as in lm-eval."""


@dataclass(frozen=True)
class PromptLengths:
    """Tokens of each prompt and of its right answer with the token that ends it."""

    prompts: tuple[int, ...]
    answers: tuple[int, ...]
    limit: int
    """The most tokens that an answer may have."""
    estimated: str = ""
    """Why they are estimated from the task's length; empty where they were counted."""


class TokenCounter:
    """Counts the tokens of the tasks of a suite, once for each tokenizer; estimates what cannot be counted."""

    def __init__(self, settings: Mapping[str, int | str], include_path: str | None = None) -> None:
        self._settings, self._include_path = settings, include_path
        self._lengths: dict[tuple[str, str | None], PromptLengths] = {}
        self._failed: dict[str, str] = {}  # why the data of a kind of task cannot be had: it is asked for once

    def lengths(self, name: str, tokenizer: str | None) -> PromptLengths:
        """Return the lengths of a task's prompts.

        Args:
            name: of the task.
            tokenizer: the content of a tokenizer.json; None where the model's cannot be had.
        """
        key = (name, tokenizer)
        if key not in self._lengths:
            self._lengths[key] = self._count(name, tokenizer)
        return self._lengths[key]

    def _count(self, name: str, tokenizer: str | None) -> PromptLengths:
        if tokenizer is None:
            return self._expect(name, "the model's tokenizer cannot be had")
        data = read_definition(name, self._include_path).get("custom_dataset", name)
        if data not in self._failed:
            try:
                return count_tokens(load_task(name, self._settings, self._include_path), _load_tokenizer(tokenizer))
            except UserError as error:
                self._failed[data] = str(error)
        return self._expect(name, self._failed[data])

    def _expect(self, name: str, reason: str) -> PromptLengths:
        return expect_tokens(name, self._settings, reason, self._include_path)


_load_tokenizer = cache(Tokenizer.from_str)


def count_tokens(task: Any, tokenizer: Tokenizer) -> PromptLengths:
    """Count the tokens of a loaded task's prompts and answers."""
    docs = task.eval_docs
    prompts = tokenizer.encode_batch_fast(list(docs["prompt"]), add_special_tokens=False)
    # The answer follows its prompt after a space, and something must end it.
    answers = tokenizer.encode_batch_fast([f" {answer}" for answer in docs["answer"]], add_special_tokens=False)
    return PromptLengths(
        prompts=tuple(map(len, prompts)),
        answers=tuple(len(answer) + 1 for answer in answers),
        limit=task.config.generation_kwargs.get("max_gen_toks", _MOST),
    )


def expect_tokens(
    name: str, settings: Mapping[str, int | str], reason: str, include_path: str | None = None
) -> PromptLengths:
    """Estimate the tokens of a task's prompts from its length, as it describes them; no data are needed.

    Args:
        name: of the task.
        settings: of the suite; those of them count that the number of prompts follows from.
        reason: why they cannot be counted.
        include_path: the user's own folder of tasks.

    Raises:
        UserError: if the task does not say how many tokens a length has.
    """
    about, definition = describe_task(name, include_path), read_definition(name, include_path)
    bounds, answer = definition.get("dataset_kwargs", {}), about.answer_tokens
    given = {**(definition.get("metadata") or {}), **settings}
    if about.prompt_tokens is None or answer is None or not given.keys() >= {*about.prompts} or "length" not in bounds:
        raise UserError(f"{name}: its tokens cannot be counted ({reason}), and it does not say how many a length has")
    is_list = {key: about.settings.get(key) == "depths" for key in about.prompts}
    count = prod(len(read_depths(given, key)) if is_list[key] else int(given[key]) for key in about.prompts)
    length = bounds["length"]
    if "below" in bounds:
        # The middle of a bucket; of one without an upper bound, half as many again is about its mean.
        length = (length + (bounds["below"] or 2 * length)) / 2
    return PromptLengths(
        prompts=(about.prompt_tokens.at(length),) * count,
        answers=(answer.at(length) + 1,) * count,
        limit=(definition.get("generation_kwargs") or {}).get("max_gen_toks", _MOST),
        estimated=reason,
    )


def find_tokenizer(entry: ModelEntry, revision: str | None) -> str | None:
    """Return the content of the tokenizer.json that a model's adapter would load, None where it cannot be had."""
    try:
        if named := entry.model_args.get("tokenizer"):
            return _read_tokenizer(str(named), "main")
        checkpoint = resolve_checkpoint(entry.pretrained)
        found = _read_tokenizer(checkpoint, revision or "main")
        if found is None and is_state_spaces(checkpoint, read_config(checkpoint, revision or "main")):
            return _read_tokenizer(PILE_TOKENIZER, "main")
    except UserError:
        return None
    return found


def _read_tokenizer(checkpoint: str, revision: str) -> str | None:
    file = find_file(checkpoint, "tokenizer.json", revision)
    return None if file is None else file.read_text(encoding="utf-8")
