"""Verifies an engine by the answers that lm-eval logged: those of a reference and those of the engine.

The files are those of ``lm_eval --log_samples`` and of ``copy-eval run``. Whatever lm-eval drives can have written
them, for any task that generates text.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from copy_eval.errors import UserError
from copy_eval.over_context import OVER_CONTEXT, is_over_context
from copy_eval.reports.frames.result_files import counted, keep_printable
from copy_eval.verification.comparing import Answers, Comparison, Judge, Request, Verification, compare

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM

_MOST = 256
"""Tokens of an answer where a task sets no limit, as in lm-eval."""

_LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""Under which names a task may set one; the first counts, as in lm-eval."""


@dataclass(frozen=True)
class LoggedAnswer:
    """What was asked, and what a model answered."""

    task: str
    request: Request
    text: str
    """Without the stop sequence at its end, which some servers leave there."""
    over_context: bool
    drawn: bool
    """At random, so that it need not come again."""


def verify_logged(reference: Path, engine: Path, load: "Callable[[], HFLM] | None" = None) -> Verification:
    """Compare the answers of an engine with those of a reference, task by task, where both were asked the same.

    Args:
        reference: a folder with files of samples, of one model.
        engine: another.
        load: returns the model that tells ties from divergences by its logits, once there is something to compare;
            without it each difference counts as a divergence.

    Raises:
        UserError: if a folder has no such files, holds several models, or was asked nothing that the other was.
    """
    theirs = dict(_by_request(read_logged(engine)))
    pairs: dict[str, list[tuple[LoggedAnswer, LoggedAnswer]]] = defaultdict(list)
    alone = refused = drawn = 0
    for key, answer in _by_request(read_logged(reference)):
        other = theirs.pop(key, None)
        if other is None:
            alone += 1
        elif answer.over_context or other.over_context:
            refused += 1
        elif answer.drawn or other.drawn:
            drawn += 1
        else:
            pairs[answer.task].append((answer, other))
    notes = [
        _note(alone, f"asked of {reference} alone"),
        _note(len(theirs), f"asked of {engine} alone"),
        _note(refused, "over the context of one of the two"),
        _note(drawn, "answered at random"),
    ]
    if not pairs:
        reasons = "; ".join(note for note in notes if note)
        raise UserError(f"{reference} and {engine} have no answers to the same prompts ({reasons})")
    judge = None if load is None else _judge_with(load())
    comparisons = tuple(_compare(task, of_task, judge) for task, of_task in pairs.items())
    if judge is None and any(comparison.differences for comparison in comparisons):
        notes.append(
            "texts alone cannot tell a tie, so each difference counts as diverged: --model and --pretrained name the "
            "model that judges them"
        )
    return Verification(f"{engine} against {reference}", comparisons, tuple(note for note in notes if note))


def _judge_with(model: "HFLM") -> Judge:
    from copy_eval.verification.judging import ModelJudge

    return ModelJudge(model)


def _compare(task: str, pairs: Sequence[tuple[LoggedAnswer, LoggedAnswer]], judge: Judge | None) -> Comparison:
    references, others = zip(*pairs, strict=True)
    requests = [answer.request for answer in references]
    reference = Answers("reference", [answer.text for answer in references])
    return compare(requests, reference, Answers(task, [answer.text for answer in others]), judge)


def _note(count: int, what: str) -> str:
    return f"left out: {counted(count, 'prompt')} {what}" if count else ""


def _by_request(answers: Iterable[LoggedAnswer]) -> Iterator[tuple[tuple[Any, ...], LoggedAnswer]]:
    """Give each answer with what tells its request from all others: what was asked, and how often before."""
    seen: dict[tuple[Any, ...], int] = defaultdict(int)
    for answer in answers:
        asked = (answer.task, answer.request.prompt, answer.request.until, answer.request.most)
        yield (*asked, seen[asked]), answer
        seen[asked] += 1


def read_logged(folder: Path) -> list[LoggedAnswer]:
    """Read the answers of one model; of several runs of a task, the last counts.

    Args:
        folder: holds ``samples_<task>_<date>.jsonl``, itself or in folders below it.

    Raises:
        UserError: if there are none, if they are of several models, or a file is not as lm-eval logs it.
    """
    files = sorted(folder.rglob("samples_*.jsonl"), key=lambda file: file.name)
    if not files:
        raise UserError(
            f"{folder} has no samples_*.jsonl: lm_eval writes them with --log_samples, copy-eval run always"
        )
    folders = sorted({str(file.parent) for file in files})
    if len(folders) > 1:
        raise UserError(f"{folder} holds the answers of several models: name one of {', '.join(folders)}")
    last = {_task_of(file): file for file in files}
    return [answer for task, file in last.items() for answer in _read_file(task, file)]


def _task_of(file: Path) -> str:
    return file.stem.removeprefix("samples_").rpartition("_")[0]


def _read_file(task: str, file: Path) -> list[LoggedAnswer]:
    found: list[LoggedAnswer | None] = []
    try:
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                found.append(_read_sample(task, json.loads(line)))  # noqa: PERF401 - an error names its line
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{file}, line {len(found) + 1}: not a sample as lm-eval logs it ({error!r:.100})") from error
    return [answer for answer in found if answer is not None]


def _read_sample(task: str, sample: Mapping[str, Any]) -> LoggedAnswer | None:
    """Return the answer of a sample, None where a choice was scored and nothing was generated."""
    given = sample["arguments"]["gen_args_0"]
    prompt, generation = given["arg_0"], given.get("arg_1")
    if not isinstance(generation, dict):
        return None
    if not isinstance(prompt, str):
        raise TypeError("messages of a chat instead of a prompt")
    text = sample["resps"][0][0]
    until = generation.get("until") or []
    until = tuple([until] if isinstance(until, str) else until)
    most = int(next((generation[name] for name in _LIMITS if generation.get(name) is not None), _MOST))
    if most < 1:
        raise ValueError(f"an answer of {most} tokens")
    request = Request(keep_printable(f"{task} {sample['doc_id']}"), prompt, until, most)
    scores = [sample.get(metric) for metric in sample.get("metrics", [])]
    return LoggedAnswer(
        task=keep_printable(task),
        request=request,
        text=without_stop(text, until),
        over_context=is_over_context(text) or OVER_CONTEXT in scores,
        drawn=bool(generation.get("do_sample")) or float(generation.get("temperature") or 0) > 0,
    )


def without_stop(text: str, until: Sequence[str]) -> str:
    """Return an answer without the stop sequence that ends it, and the blanks that its last token may bring along.

    Text after that is left: whoever goes on after a stop sequence has not stopped.
    """
    ends = [place for stop in until if stop and (place := text.find(stop)) >= 0]
    if not ends:
        return text
    end = min(ends)
    stops = [stop for stop in until if stop and text.startswith(stop, end)]
    return text[:end] if any(not text[end + len(stop) :].strip() for stop in stops) else text
