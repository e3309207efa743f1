"""What ``copy-eval run --dry-run`` tells: prompts, tokens, forward FLOPs and memory of each cell, before any is run.

No weights are downloaded or loaded: the figures follow from each model's config.json and from the prompts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from tabulate import tabulate

from copy_eval.errors import UserError
from copy_eval.model_adapters.arguments import choose_device, choose_dtype
from copy_eval.model_adapters.mamba_run import TOKENS_AT_ONCE
from copy_eval.runs.architecture import Architecture, read_architecture
from copy_eval.runs.model_entries import ModelEntry
from copy_eval.runs.prompt_lengths import PromptLengths, TokenCounter, find_tokenizer
from copy_eval.runs.suite import Cell, Suite, group_by_model

_FLOAT32 = 4
_COLUMNS = ("model", "task", "prompts", "tokens", "longest", "FLOPs", "memory")
_ALIGN = ("left", "left", *["right"] * 5)


@dataclass(frozen=True)
class CellCost:
    """The estimate for one cell; ``flops`` and ``memory`` are None where ``reason`` says why."""

    cell: Cell
    lengths: PromptLengths
    flops: int | None = None
    memory: int | None = None
    """Bytes at the highest."""
    context: int | None = None
    """What the longest prompt with its answer exceeds; None if it fits."""
    reason: str = ""


def forward_flops(model: Architecture, prompt: int, answer: int) -> int:
    """Return the FLOPs of taking in a prompt and its answer, each token once.

    A token takes 2 FLOPs for each matrix entry that it goes through, and 4 for each query entry and token before it:
    2 each for scores and values (Kaplan et al. 2020, arXiv 2001.08361, section 2.1: 2 N + 2 n_layer n_ctx d_attn a
    token, with half of the context before the average token). Recurrences add theirs, see ``architecture``. Logits are
    computed for the answer alone.

    What is not in it: padding, drafts that the model rejects, normalisation and activation functions.

    Args:
        model: its architecture.
        prompt: tokens.
        answer: tokens, the one that ends it included.
    """
    tokens = prompt + answer
    a_token = 2 * model.matrices + model.scan
    attention = 4 * model.queries * (tokens * (tokens + 1) // 2)
    return a_token * tokens + attention + 2 * model.width * model.vocabulary * answer


def peak_memory(model: Architecture, lengths: PromptLengths, rows: int, bytes_a_number: int) -> int:
    """Return roughly the most bytes of a batch: weights, cache or states, logits of a drafted answer, one layer's work.

    Args:
        model: its architecture.
        lengths: of the prompts; the longest come together.
        rows: prompts at once.
        bytes_a_number: of the dtype of the weights.
    """
    longest, answer = max(lengths.prompts), max(lengths.answers)
    cache = rows * (longest + lengths.limit) * model.cached * bytes_a_number
    # The states before a draft are kept until it is accepted; they are float32 whatever the weights are.
    states = 2 * rows * model.state * _FLOAT32
    logits = rows * (answer + 1) * model.vocabulary * bytes_a_number
    tokens = rows * (longest + answer)
    work = (
        min(tokens, TOKENS_AT_ONCE) * model.alive * _FLOAT32 if model.state else tokens * model.alive * bytes_a_number
    )
    return model.parameters * bytes_a_number + cache + states + logits + work


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
            model = read_architecture(entry.pretrained, revision or "main")
            bytes_a_number, reason = _bytes_a_number(entry, model), ""
        except UserError as error:
            reason = str(error)
        for cell in cells:
            lengths = counter.lengths(cell.task, tokenizer)
            cost = CellCost(cell, lengths, reason=reason)
            costs.append(cost if reason else _estimate(cost, model, bytes_a_number))
            on_cell()
    return costs


def _estimate(cost: CellCost, model: Architecture, bytes_a_number: int) -> CellCost:
    entry, lengths = cost.cell.model, cost.lengths
    pairs = list(zip(lengths.prompts, lengths.answers, strict=True))
    context = entry.model_args.get("max_length", model.context)
    # `auto` finds its own batch size; one prompt at once is the least.
    rows = entry.batch_size if isinstance(entry.batch_size, int) else 1
    return replace(
        cost,
        flops=sum(forward_flops(model, prompt, answer) for prompt, answer in pairs),
        memory=peak_memory(model, lengths, rows, bytes_a_number),
        context=context if context is not None and max(map(sum, pairs)) > context else None,
    )


def _bytes_a_number(entry: ModelEntry, model: Architecture) -> int:
    """Return the size of a weight as the adapter would load it on this machine."""
    chosen = choose_dtype(entry.dtype, choose_device(entry.model_args.get("device")))
    if chosen == "auto":
        chosen = model.dtype or "float32"
    dtype: torch.dtype = getattr(torch, chosen) if isinstance(chosen, str) else chosen
    return dtype.itemsize


def format_costs(costs: Sequence[CellCost]) -> str:
    """Return the table: a row a cell and the totals, then what the marks stand for and why figures are missing."""
    rows = [_row(cost) for cost in costs]
    known = [cost for cost in costs if cost.flops is not None]
    total = (
        f"{len(costs)} cells",
        "",
        sum(len(cost.lengths.prompts) for cost in costs),
        _mark(costs) + format_amount(sum(_tokens(cost) for cost in costs)),
        "",
        format_amount(sum(cost.flops or 0 for cost in known)) if known else "n/a",
        format_bytes(max(cost.memory or 0 for cost in known)) if known else "n/a",
    )
    table = tabulate([*rows, total], headers=_COLUMNS, colalign=_ALIGN, disable_numparse=True)
    return "\n".join([table, "", *_notes(costs)])


def _row(cost: CellCost) -> tuple[object, ...]:
    pairs = zip(cost.lengths.prompts, cost.lengths.answers, strict=True)
    return (
        cost.cell.label,
        cost.cell.task,
        len(cost.lengths.prompts),
        _mark([cost]) + format_amount(_tokens(cost)),
        _mark([cost]) + str(max(map(sum, pairs))) + ("!" if cost.context else ""),
        "n/a" if cost.flops is None else format_amount(cost.flops),
        "n/a" if cost.memory is None else format_bytes(cost.memory),
    )


def _notes(costs: Sequence[CellCost]) -> list[str]:
    known = [cost for cost in costs if cost.flops is not None]
    notes = ["Tokens and FLOPs are those of the prompts with right answers; memory is the highest, roughly."]
    if any(cost.cell.model.batch_size != 1 and not isinstance(cost.cell.model.batch_size, int) for cost in known):
        notes.append("Memory with an automatic batch size is that of one prompt at once.")
    reasons = dict.fromkeys(cost.lengths.estimated for cost in costs if cost.lengths.estimated)
    notes.extend(f"~ estimated from the task's length: {reason}" for reason in reasons)
    contexts = dict.fromkeys((cost.cell.label, cost.context) for cost in costs if cost.context)
    notes.extend(f"! more than the {context} tokens of {label}: not scored" for label, context in contexts)
    failures = dict.fromkeys((cost.cell.label, cost.reason) for cost in costs if cost.reason)
    notes.extend(f"n/a {label}: {reason}" for label, reason in failures)
    return notes


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
    """Write bytes in GiB, small numbers in MiB."""
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"
