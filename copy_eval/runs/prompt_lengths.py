"""How many tokens the prompts of a task and their answers have for a model's tokenizer."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from tokenizers import Tokenizer

from copy_eval.errors import UserError
from copy_eval.model_adapters.checkpoints import find_file, is_state_spaces, read_config, resolve_checkpoint
from copy_eval.model_adapters.mamba import PILE_TOKENIZER
from copy_eval.runs.model_entries import ModelEntry
from copy_eval.runs.task_loading import load_task, read_definition

_BY_LENGTH = {
    "phonebook_copy_dashed": (12.63, 32, 0, 7),
    "phonebook_reversed": (10.31, 29, 0, 5),
    "phonebook_copy": (10.29, 28, 0, 5),
    "c4_copy": (2, 6, 1, -1),
    "squad_by_length": (1, 46, 0, 5),
}
"""Tokens of a prompt: as many for each unit of length, and so many besides; the same of its answer. Measured with the
GPT-NeoX tokenizer: right within 1 % for phonebooks and texts; within 6 % for SQuAD's buckets, whose middle is taken,
but for the first, whose paragraphs are nearer its end (21 %)."""


@dataclass(frozen=True)
class PromptLengths:
    """Tokens of each prompt and of its right answer with the token that ends it."""

    prompts: tuple[int, ...]
    answers: tuple[int, ...]
    limit: int
    """The most tokens that an answer may have."""
    estimated: str = ""
    """Why they are estimated from the length that the task is named after; empty where they were counted."""


class TokenCounter:
    """Counts the tokens of the tasks of a suite, once for each tokenizer; estimates what cannot be counted."""

    def __init__(self, settings: Mapping[str, int | str]) -> None:
        self._settings = settings
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
            return expect_tokens(name, self._settings, "the model's tokenizer cannot be had")
        data = read_definition(name)["custom_dataset"]
        if data not in self._failed:
            try:
                return count_tokens(load_task(name, self._settings), _load_tokenizer(tokenizer))
            except UserError as error:
                self._failed[data] = str(error)
        return expect_tokens(name, self._settings, self._failed[data])


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
        limit=task.config.generation_kwargs["max_gen_toks"],
    )


def expect_tokens(name: str, settings: Mapping[str, int | str], reason: str) -> PromptLengths:
    """Estimate the tokens of a task's prompts from its length, for the GPT-NeoX tokenizer; no data are needed.

    Args:
        name: of the task.
        settings: of the suite; ``num_samples`` counts.
        reason: why they cannot be counted.

    Raises:
        UserError: if the task is none of ours, so that nothing tells how many tokens a length has.
    """
    definition = read_definition(name)
    bounds = definition["dataset_kwargs"]
    # SQuAD's last bucket has no upper bound; half as many tokens again is about its mean.
    length = (bounds["length"] + bounds.get("below", 2 * bounds["length"])) / 2 if "squad" in name else bounds["length"]
    rule = next((rule for prefix, rule in _BY_LENGTH.items() if name.startswith(prefix)), None)
    if rule is None:
        raise UserError(f"{name}: its tokens cannot be counted ({reason}), and nothing tells how many a length has")
    each, besides, answer_each, answer_besides = rule
    count = int(settings.get("num_samples", definition["metadata"]["num_samples"]))
    return PromptLengths(
        prompts=(round(each * length + besides),) * count,
        answers=(round(answer_each * length + answer_besides) + 1,) * count,
        limit=definition["generation_kwargs"]["max_gen_toks"],
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
