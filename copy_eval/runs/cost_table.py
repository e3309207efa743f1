"""The table that ``copy-eval run --dry-run`` prints."""

from collections.abc import Sequence

from tabulate import tabulate

from copy_eval.runs.cost import CellCost

_COLUMNS = ("model", "task", "prompts", "tokens", "longest", "FLOPs", "memory")
_ALIGN = ("left", "left", *["right"] * 5)


def format_costs(costs: Sequence[CellCost]) -> str:
    """Return a row a cell and the totals, then what the marks stand for and why figures are missing."""
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
