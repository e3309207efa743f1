"""What ``copy-eval run --dry-run`` tells: prompts, tokens, FLOPs, weights and cache of each cell, before any is run.

No weights are downloaded or loaded: the figures follow from each model's config.json and from the prompts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from tabulate import tabulate

from copy_eval.errors import UserError
from copy_eval.model_adapters.arguments import choose_device, choose_dtype
from copy_eval.runs.architecture import Architecture, read_architecture
from copy_eval.runs.model_entries import ModelEntry
from copy_eval.runs.prompt_lengths import PromptLengths, TokenCounter, find_tokenizer
from copy_eval.runs.suite import Cell, Suite, group_by_model

_COLUMNS = ("model", "task", "prompts", "tokens", "longest", "FLOPs", "weights", "cache")
_ALIGN = ("left", "left", *["right"] * 6)


@dataclass(frozen=True)
class CellCost:
    """The figures of one cell; ``flops``, ``weights`` and ``cache`` are None where ``reason`` says why."""

    cell: Cell
    lengths: PromptLengths
    flops: int | None = None
    weights: int | None = None
    """Bytes."""
    cache: int | None = None
    """Bytes of the keys, values and states of a batch of the longest prompts, at its end; None also where transformers
    keeps them elsewhere than in its cache."""
    context: int | None = None
    """What the longest prompt with its answer exceeds; None if it fits."""
    reason: str = ""


def estimate_suite(suite: Suite, on_cell: Callable[[], object] = lambda: None) -> list[CellCost]:
    """Estimate every cell of a suite.

    Args:
        suite: what would be run.
        on_cell: is called after each cell.
    """
    counter = TokenCounter(suite.settings, suite.include_path)
    costs = []
    for cells in group_by_model(suite.cells()):
        entry, revision = cells[0].model, cells[0].revision
        tokenizer = find_tokenizer(entry, revision)
        try:
            model, reason = read_architecture(entry.pretrained, revision or "main", _dtype(entry)), ""
        except UserError as error:
            reason = str(error)
        for cell in cells:
            lengths = counter.lengths(cell.task, tokenizer)
            cost = CellCost(cell, lengths, reason=reason)
            costs.append(cost if reason else _estimate(cost, model))
            on_cell()
    return costs


def _dtype(entry: ModelEntry) -> torch.dtype | str:
    """Return the dtype of the weights as the adapter would load them on this machine."""
    return choose_dtype(entry.dtype, choose_device(entry.model_args.get("device")))


def _estimate(cost: CellCost, model: Architecture) -> CellCost:
    entry, lengths = cost.cell.model, cost.lengths
    pairs = list(zip(lengths.prompts, lengths.answers, strict=True))
    context = entry.model_args.get("max_length", model.context)
    # `auto` finds its own batch size; one prompt at once is the least.
    rows = min(entry.batch_size, len(pairs)) if isinstance(entry.batch_size, int) else 1
    row = model.cache_bytes(max(lengths.prompts) + lengths.limit)
    return replace(
        cost,
        # Each token goes through the model once, and logits are computed for the answer alone.
        flops=sum(model.forward_flops(prompt + answer, logits=answer) for prompt, answer in pairs),
        weights=model.weights,
        cache=None if row is None else rows * row,
        context=context if context is not None and max(map(sum, pairs)) > context else None,
    )


def format_costs(costs: Sequence[CellCost]) -> str:
    """Return the table: a row a cell and the totals, then what the marks stand for and why figures are missing."""
    flops = [cost.flops for cost in costs if cost.flops is not None]
    total = (
        "1 cell" if len(costs) == 1 else f"{len(costs)} cells",
        "",
        sum(len(cost.lengths.prompts) for cost in costs),
        _mark(costs) + format_amount(sum(_tokens(cost) for cost in costs)),
        "",
        _or_none(sum(flops) if flops else None, format_amount),
        _or_none(max((cost.weights for cost in costs if cost.weights is not None), default=None), format_bytes),
        _or_none(max((cost.cache for cost in costs if cost.cache is not None), default=None), format_bytes),
    )
    table = tabulate([*map(_row, costs), total], headers=_COLUMNS, colalign=_ALIGN, disable_numparse=True)
    return "\n".join([table, "", *_notes(costs)])


def _row(cost: CellCost) -> tuple[object, ...]:
    pairs = zip(cost.lengths.prompts, cost.lengths.answers, strict=True)
    return (
        cost.cell.label,
        cost.cell.task,
        len(cost.lengths.prompts),
        _mark([cost]) + format_amount(_tokens(cost)),
        _mark([cost]) + str(max(map(sum, pairs))) + ("!" if cost.context else ""),
        _or_none(cost.flops, format_amount),
        _or_none(cost.weights, format_bytes),
        _or_none(cost.cache, format_bytes),
    )


def _notes(costs: Sequence[CellCost]) -> list[str]:
    known = [cost for cost in costs if cost.flops is not None]
    notes = [
        "Tokens and FLOPs are those of the prompts with right answers; the cache is that of a batch of the longest.",
        "A run needs memory for more than weights and cache: for logits, and for what a layer computes.",
    ]
    if any(not isinstance(cost.cell.model.batch_size, int) for cost in known):
        notes.append("The cache with an automatic batch size is that of one prompt at once.")
    reasons = dict.fromkeys(cost.lengths.estimated for cost in costs if cost.lengths.estimated)
    notes.extend(f"~ estimated from the task's length: {reason}" for reason in reasons)
    contexts = dict.fromkeys((cost.cell.label, cost.context) for cost in costs if cost.context)
    notes.extend(f"! more than the {context} tokens of {label}: not scored" for label, context in contexts)
    failures = dict.fromkeys((cost.cell.label, cost.reason) for cost in costs if cost.reason)
    notes.extend(f"n/a {label}: {reason}" for label, reason in failures)
    return notes


def _or_none(number: int | None, write: Callable[[int], str]) -> str:
    return "n/a" if number is None else write(number)


def _tokens(cost: CellCost) -> int:
    return sum(cost.lengths.prompts) + sum(cost.lengths.answers)


def _mark(costs: Sequence[CellCost]) -> str:
    return "~" if any(cost.lengths.estimated for cost in costs) else ""


def format_amount(number: int) -> str:
    """Write a number with three digits and k, M, G, T, P or E."""
    size = float(number)
    for unit in ("", "k", "M", "G", "T", "P"):
        if size < 999.5:
            return f"{size:.3g}{unit and ' '}{unit}"
        size /= 1000
    return f"{size:.3g} E"


def format_bytes(number: int) -> str:
    """Write bytes in GiB, small numbers in MiB or KiB."""
    if number >= 2**30:
        return f"{number / 2**30:.1f} GiB"
    return f"{number / 2**20:.0f} MiB" if number >= 2**20 else f"{number / 2**10:.0f} KiB"
