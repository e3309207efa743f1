"""Plants faults in a server and counts how many `copy-eval verify` finds, beside runs without a fault.

    python -m benchmarks.planted_faults --csv planted_faults.csv

The server answers lm-eval's ``local-completions`` over HTTP with tiny-pythia in float32. Its engine does by itself what
serving engines do: batches padded on the left, prompts taken in by chunks, a cache that the next prompt goes on with,
and drafts looked up in the prompt. Each fault is a subclass that gets one of these things wrong. lm-eval asks for the
answers and logs them, and they are verified against those that our adapter gave to each prompt alone, which the model
judges. A run without a fault has other prompts, another batch size, another way of attending, and so on: it is a false
alarm if verification fails there.
"""

import argparse
import csv
import io
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate
from transformers import DynamicCache

from benchmarks.decoding import open_ours
from benchmarks.serving_engine import ALONE, Engine, Settings, serve
from copy_eval.runs.evaluator import run_suite
from copy_eval.runs.progress import Progress
from copy_eval.runs.suite import suite_of_options
from copy_eval.verification.comparing import Verification
from copy_eval.verification.logged import verify_logged

TASKS = ("phonebook_reversed_20", "string_copy_50", "ngram_suffix_100", "mqar_16")


class PaddingIsAttendedTo(Engine):
    """Attends to padding."""

    def _mask(self, attended: torch.Tensor) -> torch.Tensor:
        return torch.ones_like(attended)


class StaleCache(Engine):
    """Goes on with the cache of another prompt."""

    settings = ALONE

    def _shared(self, row: Sequence[int], past: Sequence[int]) -> int:
        return min(len(past), len(row) - 1, 64)


class TruncatesLeft(Engine):
    """Truncates prompts on the left."""

    def _encode(self, prompt: str) -> list[int]:
        return super()._encode(prompt)[-192:]


class DropsLastPromptToken(Engine):
    """Drops the last token of a prompt."""

    def _encode(self, prompt: str) -> list[int]:
        return super()._encode(prompt)[:-1]


class DropsLastToken(Engine):
    """Drops the last token of an answer."""

    def _deliver(self, answers: list[str]) -> list[str]:
        return [self._text(self._tokenizer(answer).input_ids[:-1]) for answer in answers]


class AddsToken(Engine):
    """Begins prompts with a token of its own."""

    def _encode(self, prompt: str) -> list[int]:
        return [self._tokenizer.eos_token_id, *super()._encode(prompt)]


class HalfPrecisionPositions(Engine):
    """Keeps positions in bfloat16."""

    def _positions(self, attended: torch.Tensor) -> torch.Tensor:
        return super()._positions(attended).bfloat16().long()


class OffByOne(Engine):
    """Is one position ahead in answers."""

    def _positions(self, attended: torch.Tensor) -> torch.Tensor:
        positions = super()._positions(attended)
        positions[:, -1] += attended.shape[1] > 1
        return positions


class EvictsCache(Engine):
    """Loses the oldest tokens from the cache."""

    def _mask(self, attended: torch.Tensor) -> torch.Tensor:
        kept = attended.clone()
        kept[:, : max(0, attended.shape[1] - 256)] = 0
        return kept


class MixesRows(Engine):
    """Swaps the caches of two rows."""

    def _settle(self, cache: DynamicCache) -> None:
        rows = list(range(cache.layers[0].keys.shape[0]))
        cache.reorder_cache(torch.tensor(rows[1:2] + rows[:1] + rows[2:]))


class AcceptsWrongDraft(Engine):
    """Accepts the first token of each draft."""

    settings = ALONE

    def _accepted(self, draft: Sequence[int], choices: Sequence[int]) -> int:
        return max(super()._accepted(draft, choices), min(1, len(draft)))


class StaleDraft(Engine):
    """Keeps what it refused of a draft."""

    settings = ALONE

    def _forget(self, length: int) -> None:
        pass


class SwapsRequests(Engine):
    """Swaps two answers of a batch."""

    def _deliver(self, answers: list[str]) -> list[str]:
        return answers[1:2] + answers[:1] + answers[2:]


class GoesOn(Engine):
    """Goes on after a stop sequence."""

    def _cut(self, text: str, stops: Sequence[str]) -> str:  # noqa: ARG002 - that is the fault
        return text


class StopsEarly(Engine):
    """Stops after 6 tokens."""

    def _has_ended(self, tokens: list[int], most: int, stops: Sequence[str]) -> bool:
        return super()._has_ended(tokens, min(most, 6), stops)


class Samples(Engine):
    """Draws tokens at random."""

    def _choose(self, logits: torch.Tensor, texts: Sequence[Sequence[int]]) -> list[int]:
        torch.manual_seed(sum(map(len, texts)))
        return torch.multinomial(logits.softmax(-1), 1)[:, 0].tolist()


class PenalisesRepetition(Engine):
    """Penalises repetition."""

    def _choose(self, logits: torch.Tensor, texts: Sequence[Sequence[int]]) -> list[int]:
        for row, text in zip(logits, texts, strict=True):
            said = torch.tensor(sorted(set(text)))
            row[said] = torch.where(row[said] > 0, row[said] / 1.3, row[said] * 1.3)
        return super()._choose(logits, texts)


FAULTS: tuple[type[Engine], ...] = tuple(Engine.__subclasses__())


class Bench:
    """References, each made once, and what verification says of engines beside them."""

    def __init__(self, folder: Path, num_samples: int, tasks: Sequence[str]) -> None:
        """Load the model that answers first and judges last.

        Args:
            folder: for what lm-eval logs.
            num_samples: prompts a task.
            tasks: of ours.
        """
        self._folder, self._num_samples, self._tasks = folder, num_samples, tasks
        self._model = open_ours("tiny-pythia", "cpu")
        self._runs = 0

    def verify(self, engine: Engine) -> Verification:
        """Serve an engine, ask it through lm-eval, and verify its answers."""
        settings = engine.settings
        reference = self._folder / f"reference-{settings.data_seed}"
        if not reference.exists():
            self._log_answers({"adapter": "pythia"}, reference, settings.data_seed)
        self._runs += 1
        out = self._folder / f"engine-{self._runs}"
        with serve(engine) as address:
            given = {"adapter": "local-completions", "base_url": address, "batch_size": settings.batch_size}
            given |= {"model_args": {"tokenized_requests": False, "tokenizer_backend": "huggingface"}}
            self._log_answers(given, out, settings.data_seed)
        return verify_logged(reference, out, lambda: self._model)

    def _log_answers(self, model: Mapping[str, Any], out: Path, data_seed: int) -> None:
        """Have lm-eval ask a model and log its answers, by ``copy-eval run``."""
        settings = {"num_samples": self._num_samples, "data_seed": data_seed}
        suite = suite_of_options({"pretrained": "tiny-pythia", **model}, list(self._tasks), settings)
        with redirect_stderr(io.StringIO()) as said, Progress() as progress:
            failures = run_suite(suite, out, progress)
        if failures:
            raise RuntimeError(said.getvalue())


def name_of(fault: type[Engine]) -> str:
    """Return what a fault does."""
    return str(fault.__doc__).rstrip(".").lower()


def clean_settings(count: int) -> list[Settings]:
    """Return so many ways to run an engine without a fault."""
    rng = random.Random(0)
    every = []
    for place in range(count):
        alone = rng.random() < 0.25
        every.append(
            Settings(
                batch_size=rng.choice((1, 2, 3, 5, 8)),
                chunk=rng.choice((17, 256, 4096)),
                drafts=alone,
                attention=rng.choice(("sdpa", "eager")),
                threads=rng.choice((1, 1, 1, 2)),
                reverse=rng.random() < 0.5,
                data_seed=1 + place % 5,
            )
        )
    return every


def main() -> None:
    """Run the benchmark that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planted_faults", description=__doc__.split("\n")[0])
    names = [fault.__name__ for fault in FAULTS]
    parser.add_argument("--faults", nargs="*", choices=names, default=names)
    parser.add_argument("--clean", type=int, default=50, help="runs without a fault")
    parser.add_argument("--num-samples", type=int, default=4, help="prompts a task")
    parser.add_argument("--csv", type=Path, help="also write the table there")
    options = parser.parse_args()

    chosen = [fault for fault in FAULTS if fault.__name__ in options.faults]
    runs = [(name_of(fault), fault()) for fault in chosen]
    runs += [("none", Engine(settings)) for settings in clean_settings(options.clean)]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.num_samples, TASKS)
        for fault, engine in runs:
            begun = time.monotonic()
            verification = bench.verify(engine)
            rows.append(describe(fault, engine.settings, verification, time.monotonic() - begun))
            print(f"{len(rows)} of {len(runs)}: {fault}, {rows[-1]['verdict']}", file=sys.stderr, flush=True)
    print(tabulate(rows, headers="keys", tablefmt="github", floatfmt=".1f"))
    faulty = [row for row in rows if row["fault"] != "none"]
    caught = sum(row["verdict"] == "diverged" for row in faulty)
    alarms = sum(row["verdict"] == "diverged" for row in rows) - caught
    print(f"\nfaults caught: {caught} of {len(faulty)}; false alarms: {alarms} of {len(rows) - len(faulty)} clean runs")
    if options.csv is not None:
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


def describe(fault: str, settings: Settings, verification: Verification, seconds: float) -> dict[str, Any]:
    """Return a row of the table."""
    comparisons = verification.comparisons
    return {
        "fault": fault,
        "verdict": "diverged" if verification.exit_code else "equal",
        "answers": sum(comparison.total for comparison in comparisons),
        "equal": sum(comparison.equal for comparison in comparisons),
        "ties": sum(comparison.ties for comparison in comparisons),
        **asdict(settings),
        "seconds": seconds,
    }


if __name__ == "__main__":
    main()
