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
import itertools
import json
import random
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, PreTrainedModel

import copy_eval
from benchmarks.decoding import open_ours
from copy_eval.packaged import PACKAGED
from copy_eval.verification.comparing import Verification
from copy_eval.verification.logged import verify_logged

CHECKPOINT = PACKAGED / "tiny-pythia"
TASKS = (
    "phonebook_copy_40",
    "phonebook_reversed_20",
    "string_copy_50",
    "string_copy_100",
    "ngram_suffix_100",
    "mqar_16",
)
_NGRAM, _DRAFT = 2, 6
"""Tokens that must come again for a draft, and tokens of a draft."""


@dataclass(frozen=True)
class Settings:
    """How an engine works; none of it may change an answer."""

    batch_size: int = 4
    chunk: int = 4096
    """Tokens of a prompt that go through the model at once."""
    drafts: bool = False
    """Whether each prompt of a batch is answered alone, with drafts and the cache of the one before it."""
    attention: str = "sdpa"
    threads: int = 1
    reverse: bool = False
    """Whether the last prompt of a batch stands in the first row."""
    data_seed: int = 1234


class Engine:
    """Greedy decoding with the packaged checkpoint, as a server does it."""

    settings = Settings()

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or self.settings
        self._model, self._tokenizer = load(self._settings.attention)
        self._past, self._cache = [], DynamicCache()

    @torch.inference_mode()
    def answer(self, prompts: Sequence[str], most: int, stops: Sequence[str]) -> list[str]:
        """Return the text that follows each prompt, of at most ``most`` tokens and without the stop sequence."""
        torch.set_num_threads(self._settings.threads)
        rows = [self.encode(prompt) for prompt in prompts]
        order = -1 if self._settings.reverse else 1
        if self._settings.drafts:
            answers = [self._decode_alone(row, most, stops) for row in rows]
        else:
            answers = self._decode(rows[::order], most, stops)[::order]
        return self.deliver([self.cut(self.text(tokens), stops) for tokens in answers])

    # What goes right here goes wrong in the faults.

    def encode(self, prompt: str) -> list[int]:
        return self._tokenizer(prompt).input_ids

    def text(self, tokens: list[int]) -> str:
        return self._tokenizer.decode(tokens, skip_special_tokens=True)

    def cut(self, text: str, stops: Sequence[str]) -> str:
        return text[: min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))]

    def has_ended(self, tokens: list[int], most: int, stops: Sequence[str]) -> bool:
        text = self.text(tokens)
        return len(tokens) >= most or tokens[-1] == self._tokenizer.eos_token_id or self.cut(text, stops) != text

    def deliver(self, answers: list[str]) -> list[str]:
        return answers

    def mask(self, attended: torch.Tensor) -> torch.Tensor:
        return attended

    def positions(self, attended: torch.Tensor) -> torch.Tensor:
        return (attended.cumsum(-1) - 1).clamp(min=0)

    def choose(self, logits: torch.Tensor, texts: Sequence[Sequence[int]]) -> list[int]:
        return logits.argmax(-1).tolist()

    def settle(self, cache: DynamicCache) -> None:
        """Do nothing to the cache between the prompts and the answers."""

    def shared(self, row: Sequence[int], past: Sequence[int]) -> int:
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(row, past, strict=False)))
        return min(same, len(row) - 1)

    def accepted(self, draft: Sequence[int], choices: Sequence[int]) -> int:
        return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(draft, choices, strict=False)))

    def forget(self, length: int) -> None:
        self._keep(length)

    def _keep(self, length: int) -> None:
        if (extra := self._cache.get_seq_length() - length) > 0:
            self._cache.crop(-extra)

    def _decode(self, rows: list[list[int]], most: int, stops: Sequence[str]) -> list[list[int]]:
        """Decode a batch, padded on the left; rows that have ended go on until all have."""
        width = max(map(len, rows))
        tokens = torch.tensor([[0] * (width - len(row)) + row for row in rows])
        attended = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        cache, answers, ended = DynamicCache(), [[] for _ in rows], [False] * len(rows)
        positions = self.positions(attended)
        for begin in range(0, width, self._settings.chunk):
            end = begin + self._settings.chunk
            logits = self._feed(tokens[:, begin:end], self.mask(attended[:, :end]), positions[:, begin:end], cache)
        self.settle(cache)
        while not all(ended):
            texts = [row + answer for row, answer in zip(rows, answers, strict=True)]
            chosen = self.choose(logits[:, -1], texts)
            for place, token in enumerate(chosen):
                if not ended[place]:
                    answers[place].append(token)
                    ended[place] = self.has_ended(answers[place], most, stops)
            attended = torch.cat([attended, torch.ones(len(rows), 1, dtype=torch.long)], dim=1)
            positions = self.positions(attended)[:, -1:]
            logits = self._feed(torch.tensor([[token] for token in chosen]), self.mask(attended), positions, cache)
        return answers

    def _decode_alone(self, row: list[int], most: int, stops: Sequence[str]) -> list[int]:
        """Decode one prompt, from where it parts from the one before it, with drafts."""
        shared = self.shared(row, self._past)
        if shared == 0:
            self._cache = DynamicCache()
        else:
            self._keep(shared)
        answer: list[int] = []
        new, draft = row[shared:], find_draft(row)
        while True:
            length = self._cache.get_seq_length()
            attended = torch.ones(1, length + len(new) + len(draft), dtype=torch.long)
            positions = self.positions(attended)[:, length:]
            logits = self._feed(torch.tensor([new + draft]), self.mask(attended), positions, self._cache)
            logits = logits[0, len(new) - 1 :]
            texts = [row + answer + draft[:count] for count in range(len(draft) + 1)]
            choices = self.choose(logits, texts)
            accepted = self.accepted(draft, choices)
            self.forget(length + len(new) + accepted)
            for token in [*draft[:accepted], choices[accepted]]:
                answer.append(token)
                if self.has_ended(answer, most, stops):
                    self._past = (row + answer)[: self._cache.get_seq_length()]
                    return answer
            new = answer[-1:]
            draft = find_draft(row + answer)

    def _feed(
        self, tokens: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: DynamicCache
    ) -> torch.Tensor:
        given = {"input_ids": tokens, "attention_mask": mask, "position_ids": positions, "past_key_values": cache}
        return self._model(**given).logits


def find_draft(text: Sequence[int]) -> list[int]:
    """Return what followed the last tokens of a text where they stood before."""
    ending = list(text[-_NGRAM:])
    for place in range(len(text) - _NGRAM - 1, -1, -1):
        if list(text[place : place + _NGRAM]) == ending:
            return list(text[place + _NGRAM : place + _NGRAM + _DRAFT])
    return []


@cache
def load(attention: str) -> tuple[PreTrainedModel, Any]:
    """Return the packaged checkpoint in float32, and its tokenizer."""
    model = AutoModelForCausalLM.from_pretrained(CHECKPOINT, dtype=torch.float32, attn_implementation=attention)
    return model.eval(), AutoTokenizer.from_pretrained(CHECKPOINT)


_ALONE = Settings(batch_size=1, drafts=True)


class PaddingIsAttendedTo(Engine):
    """attends to padding"""

    def mask(self, attended):
        return torch.ones_like(attended)


class StaleCache(Engine):
    """goes on with the cache of another prompt"""

    settings = _ALONE

    def shared(self, row, past):
        return min(len(past), len(row) - 1, 64)


class TruncatesLeft(Engine):
    """truncates prompts on the left"""

    def encode(self, prompt):
        return super().encode(prompt)[-192:]


class DropsLastPromptToken(Engine):
    """drops the last token of a prompt"""

    def encode(self, prompt):
        return super().encode(prompt)[:-1]


class DropsLastToken(Engine):
    """drops the last token of an answer"""

    def deliver(self, answers):
        return [self.text(self._tokenizer(answer).input_ids[:-1]) for answer in answers]


class AddsToken(Engine):
    """begins prompts with a token of its own"""

    def encode(self, prompt):
        return [self._tokenizer.eos_token_id, *super().encode(prompt)]


class HalfPrecisionPositions(Engine):
    """keeps positions in bfloat16"""

    def positions(self, attended):
        return super().positions(attended).bfloat16().long()


class OffByOne(Engine):
    """is one position ahead in answers"""

    def positions(self, attended):
        positions = super().positions(attended)
        positions[:, -1] += attended.shape[1] > 1
        return positions


class EvictsCache(Engine):
    """loses the oldest tokens from the cache"""

    def mask(self, attended):
        kept = attended.clone()
        kept[:, : max(0, attended.shape[1] - 256)] = 0
        return kept


class MixesRows(Engine):
    """swaps the caches of two rows"""

    def settle(self, cache):
        rows = list(range(cache.layers[0].keys.shape[0]))
        cache.reorder_cache(torch.tensor(rows[1:2] + rows[:1] + rows[2:]))


class AcceptsWrongDraft(Engine):
    """accepts the first token of each draft"""

    settings = _ALONE

    def accepted(self, draft, choices):
        return max(super().accepted(draft, choices), min(1, len(draft)))


class StaleDraft(Engine):
    """keeps what it refused of a draft"""

    settings = _ALONE

    def forget(self, length):
        pass


class SwapsRequests(Engine):
    """swaps two answers of a batch"""

    def deliver(self, answers):
        return answers[1:2] + answers[:1] + answers[2:]


class GoesOn(Engine):
    """goes on after a stop sequence"""

    def cut(self, text, stops):
        return text


class StopsEarly(Engine):
    """stops after 6 tokens"""

    def has_ended(self, tokens, most, stops):
        return super().has_ended(tokens, min(most, 6), stops)


class Samples(Engine):
    """draws tokens at random"""

    def choose(self, logits, texts):
        torch.manual_seed(sum(map(len, texts)))
        return torch.multinomial(logits.softmax(-1), 1)[:, 0].tolist()


class PenalisesRepetition(Engine):
    """penalises repetition"""

    def choose(self, logits, texts):
        for row, text in zip(logits, texts, strict=True):
            said = torch.tensor(sorted(set(text)))
            row[said] = torch.where(row[said] > 0, row[said] / 1.3, row[said] * 1.3)
        return super().choose(logits, texts)


FAULTS: tuple[type[Engine], ...] = tuple(Engine.__subclasses__())


@contextmanager
def serve(engine: Engine) -> Iterator[str]:
    """Serve an engine at the address that this gives."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompts = [asked["prompt"]] if isinstance(asked["prompt"], str) else asked["prompt"]
            with lock:
                texts = engine.answer(prompts, asked["max_tokens"], asked["stop"])
            body = json.dumps({"choices": [{"index": place, "text": text} for place, text in enumerate(texts)]})
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/completions"
    finally:
        server.shutdown()
        server.server_close()


def log_answers(model: str, model_args: Mapping[str, Any], out: Path, data_seed: int, batch_size: int, n: int) -> None:
    """Have lm-eval ask a model, and log its answers as ``lm_eval --log_samples`` does."""
    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    copy_eval.register()
    metadata = {"num_samples": n, "data_seed": data_seed}
    tasks = TaskManager(include_path=PACKAGED.parent / "tasks", include_defaults=False, metadata=metadata)
    tracker = EvaluationTracker(output_path=str(out))
    results = simple_evaluate(
        model, dict(model_args), list(TASKS), batch_size=batch_size, task_manager=tasks, evaluation_tracker=tracker,
        bootstrap_iters=0, verbosity="ERROR",
    )  # fmt: skip
    answers = results.pop("samples")
    tracker.save_results_aggregated(results, answers)
    for task, samples in answers.items():
        tracker.save_results_samples(task, samples)


class Bench:
    """References, each made once, and what verification says of engines beside them."""

    def __init__(self, folder: Path, num_samples: int) -> None:
        self._folder, self._num_samples, self._runs = folder, num_samples, 0
        self._model = open_ours("tiny-pythia", "cpu")

    def verify(self, engine: Engine, settings: Settings) -> Verification:
        """Serve an engine, ask it through lm-eval, and verify its answers."""
        reference = self._folder / f"reference-{settings.data_seed}"
        if not reference.exists():
            given = {"pretrained": "tiny-pythia", "device": "cpu"}
            log_answers("pythia", given, reference, settings.data_seed, 1, self._num_samples)
        self._runs += 1
        out = self._folder / f"engine-{self._runs}"
        with serve(engine) as address:
            given = {
                "model": str(CHECKPOINT), "base_url": address, "tokenized_requests": False,
                "tokenizer_backend": "huggingface", "max_length": 3072,
            }  # fmt: skip
            log_answers("local-completions", given, out, settings.data_seed, settings.batch_size, self._num_samples)
        return verify_logged(reference, out, self._model)


def clean_settings(count: int) -> list[Settings]:
    """Return so many ways to run an engine without a fault."""
    rng = random.Random(0)  # noqa: S311 - no secret
    batched = itertools.product((1, 2, 3, 5, 8), (17, 256, 4096), (False,), ("sdpa", "eager"), (1, 2), (False, True))
    alone = itertools.product((1, 4), (4096,), (True,), ("sdpa", "eager"), (1, 2), (False,))
    every = [*batched, *alone]
    rng.shuffle(every)
    return [Settings(*given, data_seed=1 + place % 10) for place, given in enumerate(every[:count])]


def main() -> None:
    """Run the benchmark that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planted_faults", description=__doc__.split("\n")[0])
    names = [fault.__name__ for fault in FAULTS]
    parser.add_argument("--faults", nargs="*", choices=names, default=names)
    parser.add_argument("--clean", type=int, default=50, help="runs without a fault, at most 128")
    parser.add_argument("--num-samples", type=int, default=4, help="prompts a task")
    parser.add_argument("--csv", type=Path, help="also write the table there")
    options = parser.parse_args()

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.num_samples)
        chosen = [fault for fault in FAULTS if fault.__name__ in options.faults]
        runs = [(fault.__doc__ or "", fault(), fault.settings) for fault in chosen]
        runs += [("none", Engine(settings), settings) for settings in clean_settings(options.clean)]
        for fault, engine, settings in runs:
            begun = time.monotonic()
            rows.append(describe(fault, settings, bench.verify(engine, settings), time.monotonic() - begun))
            print(rows[-1], flush=True)
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
