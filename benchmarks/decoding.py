"""Times our decoding beside lm-eval's ``hf`` and beside the floor, in one process and in turns; prints a table.

    python -m benchmarks.decoding --c4 c4.jsonl --tokenizer tokenizer.json --csv decoding.csv

The contenders, on the same checkpoint and the same prompts:

    drafted     ours
    undrafted   ours with ``draft=0``
    hf          lm-eval's ``hf`` (a Mamba in the state-spaces layout is converted for it)
    floor       one teacher-forced forward pass over prompts and answers: ``hf``'s loglikelihood of our texts

Times are medians over the repeats, in each of which every contender runs once. "random" is a GPT-NeoX of tiny-pythia's
shape with random weights, for a model that never copies.
"""

import argparse
import csv
import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tabulate import tabulate
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from copy_eval.model_adapters.adapter import ExactLM
from copy_eval.model_adapters.checkpoints import is_state_spaces, read_config, resolve_checkpoint
from copy_eval.model_adapters.drafting import Trust
from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.tasks.c4.dataset import build_dataset as build_c4
from copy_eval.tasks.phonebook.dataset import build_dataset as build_phonebook

CONTENDERS = ("drafted", "undrafted", "hf", "floor")


@dataclass
class Row:
    """One line of the table: a contender on one task."""

    model: str
    task: str
    batch_size: int
    contender: str
    seconds: float = 0.0
    times_floor: float = 0.0
    tokens_per_second: float = 0.0
    passes_per_answer: float = 0.0
    peak_mib: float = 0.0
    same_as_hf: str = ""
    times: list[float] = field(default_factory=list, repr=False)


def main() -> None:
    """Run the benchmark that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoding", description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", default=["tiny-pythia", "tiny-mamba", "random"])
    parser.add_argument("--entries", nargs="*", type=int, default=[20, 80, 160], help="of phonebook_copy")
    parser.add_argument("--tokens", nargs="*", type=int, default=[50, 200, 400], help="of c4_copy")
    parser.add_argument("--samples", type=int, default=32, help="prompts a task")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default=None)
    parser.add_argument("--c4", help="JSON lines of C4; without it, it is streamed from the hub")
    parser.add_argument("--tokenizer", default="EleutherAI/gpt-neox-20b", help="measures the length of C4's texts")
    parser.add_argument("--csv", type=Path, help="also write the table there")
    options = parser.parse_args()

    tasks = dict(build_tasks(options))
    rows: list[Row] = []
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            ours, hf = load(name, Path(folder), options.device)
            for task, requests in tasks.items():
                for batch_size in options.batch_sizes:
                    ours.batch_size_per_gpu = hf.batch_size_per_gpu = batch_size
                    new = [Row(name, task, batch_size, contender) for contender in CONTENDERS]
                    measure(new, ours, hf, requests, options.repeats)
                    rows += new
                    print(render(new), flush=True)
    if options.csv:
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns())
            writer.writeheader()
            writer.writerows({name: asdict(row)[name] for name in columns()} for row in rows)


def build_tasks(options: argparse.Namespace) -> Iterator[tuple[str, list[Instance]]]:
    """Yield each task's name and requests, as lm-eval would make them."""
    settings = {"num_samples": options.samples, "data_seed": 1234}
    for entries in options.entries:
        until = {"until": ["\n"], "max_gen_toks": 16}
        yield f"phonebook_copy_{entries}", as_requests(build_phonebook(settings, entries), until)
    settings |= {"c4_path": options.c4, "length_tokenizer": options.tokenizer}
    for tokens in options.tokens:
        until = {"until": ["\n\n"], "max_gen_toks": tokens * 5 // 4 + 50}
        yield f"c4_copy_{tokens}", as_requests(build_c4(settings, tokens), until)


def as_requests(dataset: Any, until: dict[str, Any]) -> list[Instance]:
    """Return a request a record."""
    return [
        Instance("generate_until", {}, (record["prompt"], until | {"do_sample": False}), index)
        for index, record in enumerate(dataset["test"])
    ]


def load(name: str, folder: Path, device: str | None) -> tuple[ExactLM, HFLM]:
    """Return our adapter and lm-eval's with the same weights; ``folder`` takes a converted or a random checkpoint."""
    source = resolve_checkpoint("tiny-pythia" if name == "random" else name)
    config = read_config(source, "main", "")
    state_space = is_state_spaces(source, config) or config["model_type"] in ("mamba", "mamba2")
    if name == "random":
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(source)).save_pretrained(folder)
        AutoTokenizer.from_pretrained(source).save_pretrained(folder)
        source = str(folder)
    # In float32 all contenders must give the same texts.
    if state_space:
        ours: ExactLM = MambaLM(source, dtype="float32", device=device, use_kernels=False)
    else:
        ours = PythiaLM(source, dtype="float32", device=device)
    ours.model.save_pretrained(folder)
    ours.tokenizer.save_pretrained(folder)
    return ours, HFLM(str(folder), dtype="float32", device=str(ours.device))


def measure(rows: Sequence[Row], ours: ExactLM, hf: HFLM, requests: list[Instance], repeats: int) -> None:
    """Fill in the rows of one task: every contender once a repeat, in turns."""
    texts: dict[str, list[str]] = {}
    generate: dict[str, Callable[[], list[str]]] = {
        "drafted": lambda: run_ours(ours, requests, Trust()),
        "undrafted": lambda: run_ours(ours, requests, None),
        "hf": lambda: hf.generate_until(requests, disable_tqdm=True),
    }
    for _ in range(repeats):
        for row in rows:
            model = hf if row.contender in ("hf", "floor") else ours
            if row.contender == "floor":
                pairs = [
                    Instance("loglikelihood", {}, (request.args[0], text or " "), index)
                    for index, (request, text) in enumerate(zip(requests, texts["drafted"], strict=True))
                ]
                run: Callable[[], Any] = lambda pairs=pairs: hf.loglikelihood(pairs, disable_tqdm=True)  # noqa: E731
            else:
                run = generate[row.contender]
            output, seconds, passes, row.peak_mib = watch(run, model)
            row.times.append(seconds)
            row.passes_per_answer = passes / len(requests)
            if row.contender in generate:
                texts[row.contender] = output
    floor = statistics.median(rows[-1].times)
    for row in rows:
        row.seconds = statistics.median(row.times)
        row.times_floor = row.seconds / floor
        answers = texts.get(row.contender, texts["drafted"])
        row.tokens_per_second = sum(len(ours.tok_encode(text)) for text in answers) / row.seconds
        same = sum(map(str.__eq__, answers, texts["hf"]))
        row.same_as_hf = f"{same}/{len(answers)}" if row.contender in generate else ""


def run_ours(model: ExactLM, requests: list[Instance], trust: Trust | None) -> list[str]:
    """Answer the requests, with drafts if there is a ``trust``."""
    model._trust = trust
    return model.generate_until(requests, disable_tqdm=True)


def watch(run: Callable[[], Any], model: HFLM) -> tuple[Any, float, int, float]:
    """Return what ``run`` returns, its seconds, the forward passes of ``model``, and the peak memory in MiB."""
    passes = 0

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1

    # Every forward pass looks up embeddings once, also one that does not go through the model's own forward.
    hook = model.model.get_input_embeddings().register_forward_pre_hook(count)
    gc.collect()
    reset_peak()
    start = time.perf_counter()
    output = run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    hook.remove()
    return output, seconds, passes, read_peak()


def reset_peak() -> None:
    """Begin a new peak of memory: the GPU's, or this process's where Linux counts it."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def read_peak() -> float:
    """Return the peak memory in MiB since ``reset_peak``; not a number where nothing counts it."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 2**10 for line in lines if line.startswith("VmHWM")), float("nan"))


def columns() -> list[str]:
    """Return the names of the table's columns."""
    return [column.name for column in fields(Row) if column.name != "times"]


def render(rows: Sequence[Row]) -> str:
    """Return the rows as a table."""
    cells = [[getattr(row, name) for name in columns()] for row in rows]
    return tabulate(cells, columns(), tablefmt="github", floatfmt=".2f")


if __name__ == "__main__":
    main()
