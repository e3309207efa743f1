"""Times ten questions about one book beside one question, and prompts that share nothing with and without the search.

    python -m benchmarks.shared_prefix --csv shared_prefix.csv

The models have random weights: the shapes of the packaged checkpoints, with room for the book, and a hybrid of about
their size. Everything runs in one process and in turns; times are medians over the repeats, and without a GPU it is
CPU seconds that are compared.

    one         one question about a book
    ten         ten questions about it
    hf          lm-eval's ``hf`` on one question
    hf-ten      lm-eval's ``hf`` on ten questions
    unrelated   prompts that share nothing
    unsearched  the same prompts, where nobody looks for what they share
"""

import argparse
import csv
import random
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tabulate import tabulate
from transformers import AutoConfig, AutoModelForCausalLM, FalconH1Config, PretrainedConfig, PreTrainedTokenizerBase

from benchmarks.decoding import as_requests, open_ours, watch
from copy_eval.model_adapters.adapter import ExactLM

MODELS = ("random-pythia", "random-mamba", "random-falcon-h1")
CONTENDERS = ("one", "ten", "hf", "hf-ten", "unrelated", "unsearched")
QUESTIONS = 10


def main() -> None:
    """Run the benchmark that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shared_prefix", description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    parser.add_argument("--tokens", type=int, default=16384, help="of the book")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 10])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default=None)
    parser.add_argument("--csv", type=Path, help="also write the table there")
    options = parser.parse_args()

    rows: list[dict[str, Any]] = []
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            ours, hf = load(name, Path(folder), options.tokens, options.device)
            for batch_size in options.batch_sizes:
                found = measure(name, ours, hf, options.tokens, batch_size, options.repeats, options.contenders)
                print(tabulate(found, headers="keys", tablefmt="github", floatfmt=".2f"), flush=True)
                rows += found
    if options.csv is not None:
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


def load(name: str, folder: Path, tokens: int, device: str | None) -> tuple[ExactLM, HFLM]:
    """Return our adapter and lm-eval's with the same random weights and room for so many tokens."""
    packaged = open_ours("tiny-mamba" if name == "random-mamba" else "tiny-pythia", device)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(configure(name, packaged, tokens + 1024)).save_pretrained(folder)
    packaged.tokenizer.save_pretrained(folder)
    ours = open_ours(str(folder), device)
    return ours, HFLM(str(folder), dtype="float32", device=str(ours.device))


def configure(name: str, packaged: ExactLM, context: int) -> PretrainedConfig:
    """Return the config of a model with a context of so many tokens."""
    if name == "random-falcon-h1":
        return FalconH1Config(
            vocab_size=packaged.model.config.vocab_size, hidden_size=192, num_hidden_layers=4, intermediate_size=424,
            num_attention_heads=3, num_key_value_heads=3, head_dim=64, mamba_d_ssm=384, mamba_n_heads=12,
            mamba_d_head=32, mamba_d_state=16, mamba_n_groups=1, max_position_embeddings=context,
            pad_token_id=0, bos_token_id=0, eos_token_id=0,
        )  # fmt: skip
    config = AutoConfig.for_model(**packaged.model.config.to_dict())
    if name == "random-pythia":
        config.max_position_embeddings = context
    return config


def measure(
    name: str,
    ours: ExactLM,
    hf: HFLM,
    tokens: int,
    batch_size: int,
    repeats: int,
    contenders: Sequence[str] = CONTENDERS,
) -> list[dict[str, Any]]:
    """Return a row a contender; ``times`` is what it takes over what "one" takes, or "unsearched"."""
    questions, unrelated = make_questions(ours.tokenizer, tokens), make_unrelated()
    ours.batch_size_per_gpu = hf.batch_size_per_gpu = batch_size
    every: dict[str, tuple[Callable[[], Any], HFLM, str]] = {
        "one": (partial(answer, ours, questions[:1]), ours, "one"),
        "ten": (partial(answer, ours, questions), ours, "one"),
        "hf": (partial(answer, hf, questions[:1]), hf, "one"),
        "hf-ten": (partial(answer, hf, questions), hf, "one"),
        "unrelated": (partial(answer, ours, unrelated), ours, "unsearched"),
        "unsearched": (partial(answer_unsearched, ours, unrelated), ours, "unsearched"),
    }
    runs = {contender: every[contender] for contender in CONTENDERS if contender in contenders}
    seconds: dict[str, list[float]] = {contender: [] for contender in runs}
    cpu_seconds: dict[str, list[float]] = {contender: [] for contender in runs}
    passes, peaks = {}, {}
    for repeat in range(repeats):
        # What ran before leaves caches and memory in another state, so each has its turn at the beginning.
        order = deque(runs.items())
        order.rotate(repeat)
        for contender, (run, model, _) in order:
            ours._trust = ours._new_trust()
            start = time.process_time()
            _, taken, passes[contender], peaks[contender] = watch(run, model)
            seconds[contender].append(taken)
            cpu_seconds[contender].append(time.process_time() - start)
    medians = {contender: statistics.median(times) for contender, times in seconds.items()}
    # Other work on the machine counts in these much less.
    busy = {contender: statistics.median(times) for contender, times in cpu_seconds.items()}
    compared = medians if ours.device.type == "cuda" else busy
    return [
        {
            "model": name,
            "batch_size": batch_size,
            "contender": contender,
            "seconds": medians[contender],
            "cpu_seconds": busy[contender],
            "times": compared[contender] / compared.get(other, float("nan")),
            "passes": passes[contender],
            "peak_mib": peaks[contender],
        }
        for contender, (_, _, other) in runs.items()
    ]


def answer(model: HFLM, requests: list[Instance]) -> list[str]:
    """Answer the requests."""
    answers: list[str] = model.generate_until(requests, disable_tqdm=True)
    return answers


def answer_unsearched(model: ExactLM, requests: list[Instance]) -> list[str]:
    """Answer the requests without looking for what they share."""
    shares, model._shares_prefixes = model._shares_prefixes, False
    try:
        return answer(model, requests)
    finally:
        model._shares_prefixes = shares


def make_questions(tokenizer: PreTrainedTokenizerBase, tokens: int) -> list[Instance]:
    """Return questions about a book of so many tokens."""
    source = random.Random(0)
    lines = [f"{name}: {source.randrange(10**9, 10**10)}\n" for name in draw_names(source, tokens // 12)]
    book = tokenizer.decode(tokenizer.encode("".join(lines))[:tokens])
    return limit([f"{book}\n\n{line.partition(':')[0]}:" for line in lines[:: len(lines) // QUESTIONS][:QUESTIONS]])


def make_unrelated() -> list[Instance]:
    """Return prompts of some hundred tokens that begin differently."""
    source = random.Random(1)
    return limit(["".join(f"{name} " for name in draw_names(source, 50 + 5 * row)) for row in range(2 * QUESTIONS)])


def draw_names(source: random.Random, count: int) -> list[str]:
    """Draw words of lower-case letters."""
    return ["".join(source.choices("abcdefghijklmnopqrstuvwxyz", k=6)).capitalize() for _ in range(count)]


def limit(prompts: list[str]) -> list[Instance]:
    """Return requests for answers of a line."""
    return as_requests(prompts, {"until": ["\n"], "max_gen_toks": 16})


if __name__ == "__main__":
    main()
