"""What holds for a model: whether rows of a batch answer as alone, and whether drafts leave answers as they are.

Neither can be read off a model's name. So a few tokens go through it in every way that decoding would use, and the
logits must be those of the whole text without a cache. Three rows have prompts of different lengths, and drafts of
which one is right, one is wrong from its third token on, and one is missing.

The test is short. What it cannot see must follow from how decoding works: the rows of a cache have no gaps, so that a
window of any length holds what it holds of a row alone. Rotary embeddings that change with the length have a module of
their own, ``rope``.
"""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch

from copy_eval.model_adapters.forward import CachedModel, LogitsRun

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

_LONGEST = 40
"""Tokens of the longest row."""

_FOLLOWING = 8
"""Tokens of each row after its prompt."""

_RIGHT_DRAFTS: Sequence[Sequence[int]] = ((4, 2, 0), (2, 2, 2), (0, 0, 0))
"""How much of each row's draft is right, in one pass after the other."""

_ROUNDING = {torch.float32: 1e-4, torch.float16: 0.01, torch.bfloat16: 0.03}
"""How much two ways of computing logits may differ by rounding alone.

The unit is the standard deviation of the logits over the vocabulary. What is broken differs by 0.05 to 2 units.
"""

_TIMES = 3
"""Where a model rounds more: how many times what it does in one place, two ways of computing may differ."""

_BROKEN = {torch.float32: 0.01, torch.float16: 0.3, torch.bfloat16: 0.3}
"""Differences from here on are never rounding."""

FAILURES = (
    AssertionError, AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError,
)  # fmt: skip
"""What a model raises where it is not made for being called so."""


@dataclass(frozen=True)
class Capabilities:
    """How a model can be decoded with the answers of one prompt at a time, token by token."""

    stepwise: bool = False
    """Whether a pass over a cache gives what the whole text gives."""

    batched: bool = False
    drafted: bool = False


@dataclass(frozen=True)
class _Row:
    prompt: list[int]
    following: list[int]


_Logits = dict[tuple[int, int], torch.Tensor]
"""By row and number of following tokens: the logits [vocab] after these."""


def note_modes(model: torch.nn.Module) -> dict[str, str]:
    """Return what says how a model computes: its config's entries, and each module's class and attributes of text.

    A forward pass may lengthen a table or move a counter. If it changes one of these, later passes compute otherwise.
    """
    modes = {f"config.{name}": str(value) for name, value in cast(Any, model.config).to_dict().items()}
    for path, module in model.named_modules():
        texts = {name: value for name, value in vars(module).items() if isinstance(value, str)}
        named = texts | {"__class__": type(module).__name__}
        modes |= {f"{path}.{name}".lstrip("."): value for name, value in named.items()}
    return modes


@torch.no_grad()
def find_capabilities(
    model: CachedModel,
    new_run: Callable[[bool], LogitsRun],
    text: Sequence[int],
    longest: int,
    batches: bool = True,
    drafts: bool = True,
) -> Capabilities:
    """Let a few tokens through a model in every way that decoding would use.

    Args:
        model: the one to test.
        new_run: returns a fresh run, told whether it gets drafts.
        text: tokens to test with.
        longest: the most tokens that a row may have.
        batches: whether to test batches at all.
        drafts: the same of drafts.

    Returns:
        What holds; nothing for a model that takes too few tokens for the test.
    """
    size = min(longest, _LONGEST) - _FOLLOWING
    made = _attempt(lambda: _make_rows(model, text, size)) if size > 0 else None
    if made is None:
        return Capabilities()
    rows, whole, rounding = made
    dtypes = (model.dtype, whole[0, 0].dtype)
    broken = max(_BROKEN.get(dtype, 0.01) for dtype in dtypes)
    tolerance = min(max(*(_ROUNDING.get(dtype, 1e-4) for dtype in dtypes), _TIMES * rounding), broken)

    def difference(test: Callable[[], _Logits], expected: _Logits) -> float:
        found = _attempt(test)
        return math.inf if found is None else _compare(found, expected)

    everyone = range(len(rows))
    alone = _attempt(lambda: {key: got for row in everyone for key, got in _step(new_run(False), rows, [row]).items()})
    # By steps is how transformers decodes; if that is not quite what the whole text gives, no draft can be exact.
    steps = math.inf if alone is None else _compare(alone, whole)
    if alone is None or not steps <= broken:
        return Capabilities()
    batched = batches and difference(lambda: _step(new_run(False), rows, everyone), alone) <= tolerance
    drafted = (
        drafts
        and steps <= tolerance
        and difference(lambda: _draft(new_run(True), rows, everyone if batched else [1]), whole) <= tolerance
    )
    return Capabilities(stepwise=True, batched=batched, drafted=drafted)


def _attempt(test: Callable[[], _Result]) -> _Result | None:
    """Return what the test returns; None if the model fails in it."""
    try:
        return test()
    except torch.OutOfMemoryError:
        raise
    except FAILURES as error:
        _log.debug("the model fails in the self-test: %s", error)
        return None


def _compare(found: _Logits, expected: _Logits) -> float:
    """Return by how much logits differ in the row in which they do most, averaged over its tokens.

    In half precision, a mixture of experts may take another one for a token; that must not decide alone.
    """
    differences: dict[int, list[float]] = {}
    for key, got in found.items():
        known = expected[key].isfinite()  # some models rule tokens out
        wanted = expected[key][known].float()
        differences.setdefault(key[0], []).append(
            float((got[known].float() - wanted).square().mean().sqrt() / wanted.std())
        )
    averages = [sum(row) / len(row) for row in differences.values()]
    return max(math.inf if math.isnan(average) else average for average in averages)


def _make_rows(model: CachedModel, text: Sequence[int], size: int) -> tuple[list[_Row], _Logits, float]:
    """Return three rows with prompts of up to ``size`` tokens, their logits without a cache, and how these are rounded.

    Each row goes on with the model's own choice, as a draft must.
    """
    tokens = list(text) * (1 + 3 * (_LONGEST + 1) // len(text))
    rows: list[_Row] = []
    whole: _Logits = {}
    rounding: _Logits = {}
    for row, length in enumerate((size, max(1, size * 7 // 8), max(1, size // 4))):
        prompt, rest = tokens[row * _LONGEST :][:length], tokens[row * _LONGEST + length :][: _FOLLOWING - 1]
        rounding[row, 0] = model.from_the_start(prompt)[-1]
        rows.append(_Row(prompt, [int(rounding[row, 0].argmax()), *rest]))
        logits = model.from_the_start([*prompt, *rows[row].following])
        whole |= {(row, fed): logits[length - 1 + fed] for fed in range(_FOLLOWING + 1)}
    return rows, whole, _compare(rounding, whole)


def _step(run: LogitsRun, rows: Sequence[_Row], batch: Sequence[int]) -> _Logits:
    """Feed a batch of the rows token by token; the second of several ends first."""
    found: _Logits = {}
    for fed in range(3):
        tokens = [rows[row].following[fed - 1 : fed] if fed else rows[row].prompt for row in batch]
        logits = run.logits(tokens, [[] for _ in batch])
        found |= {(row, fed): got[0] for row, got in zip(batch, logits, strict=True)}
        if fed == 1 and len(batch) > 1:
            run.keep([0, 2], [0, 0])
            batch = [batch[0], batch[2]]
    return found


def _draft(run: LogitsRun, rows: Sequence[_Row], batch: Sequence[int]) -> _Logits:
    """Feed a batch of the rows with drafts that are right as far as ``_RIGHT_DRAFTS`` says.

    Raises:
        ValueError: if the run takes in none of them.
    """
    found: _Logits = {}
    fed = dict.fromkeys(batch, 0)
    for step, all_right in enumerate(_RIGHT_DRAFTS):
        right = [all_right[row] for row in batch]
        tokens = [rows[row].following[fed[row] - 1 : fed[row]] if step else rows[row].prompt for row in batch]
        drafts = [rows[row].following[fed[row] :][:count] for row, count in zip(batch, right, strict=True)]
        if step == 0:  # what is right of a short draft goes on wrongly
            drafts = [
                [*draft, *rows[row].prompt[:1], *draft[:1]] if len(draft) == 2 else draft
                for row, draft in zip(batch, drafts, strict=True)
            ]
        accepted = []
        for row, count, logits in zip(batch, right, run.logits(tokens, drafts), strict=True):
            accepted.append(min(count, len(logits) - 1))
            found |= {(row, fed[row] + more): logits[more] for more in range(accepted[-1] + 1)}
        if step == 0 and not any(accepted):
            raise ValueError("no draft was taken in")
        run.keep(range(len(batch)), accepted)
        fed = {row: fed[row] + count + 1 for row, count in zip(batch, accepted, strict=True)}
    return found
