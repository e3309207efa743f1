"""Times our decoding beside lm-eval's ``hf`` and beside the floor, in one process and in turns; prints a table.

    python -m benchmarks.decoding --c4 c4.jsonl --tokenizer tiny-pythia --csv decoding.csv

The contenders, on the same checkpoint and the same prompts:

    drafted     ours
    undrafted   ours with ``draft=0``
    hf          lm-eval's ``hf`` (a Mamba in the state-spaces layout is converted for it)
    floor       one teacher-forced forward pass over prompts and answers: ``hf``'s loglikelihood of our texts

Times are medians over the repeats, in each of which every contender runs once. ``random-pythia`` and ``random-mamba``
have the shape of the packaged checkpoints and random weights, for a model that never copies. ``benchmarks.model_sizes``
does the same at the sizes of published models.
"""

import argparse
import csv
import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tabulate import tabulate
from transformers import AutoModelForCausalLM

from copy_eval.model_adapters.adapter import ExactLM
from copy_eval.model_adapters.checkpoints import is_state_spaces, read_config, resolve_checkpoint
from copy_eval.model_adapters.drafting import Trust
from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.tasks.c4.dataset import build_dataset as build_c4
from copy_eval.tasks.phonebook.dataset import build_dataset as build_phonebook
from copy_eval.tasks.string_copy.dataset import build_dataset as build_string_copy

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
    faster_than_hf: float = 0.0
    tokens_per_second: float = 0.0
    passes_per_answer: float = 0.0
    peak_mib: float = 0.0
    same_as_hf: str = ""
    times: list[float] = field(default_factory=list, repr=False)


def main() -> None:
    """Run the benchmark that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoding", description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", default=["tiny-pythia", "tiny-mamba", "random-pythia", "random-mamba"])
    parser.add_argument("--entries", nargs="*", type=int, default=[20, 80], help="of phonebook_copy")
    parser.add_argument("--tokens", nargs="*", type=int, default=[200], help="of c4_copy")
    parser.add_argument(
        "--letters", nargs="*", type=int, default=[], help="of string_copy, which models must have learned"
    )
    add_shared_options(parser)
    parser.add_argument("--c4", help="JSON lines of C4; without it, it is streamed from the hub")
    parser.add_argument("--tokenizer", default="EleutherAI/gpt-neox-20b", help="measures the length of C4's texts")
    options = parser.parse_args()

    rows: list[Row] = []
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            ours, hf = load(name, Path(folder), options.device)
            for batch_size in options.batch_sizes:
                for task, requests in build_tasks(options, count_samples(options, batch_size)):
                    rows += measure(name, task, ours, hf, requests, batch_size, options.repeats)
                    print(render(rows[-len(CONTENDERS) :]), flush=True)
    write_csv(rows, options.csv)


def add_shared_options(parser: argparse.ArgumentParser) -> None:
    """Add what this benchmark and that of the model sizes have in common."""
    parser.add_argument("--samples", type=int, help="prompts a task (8, or a batch if it is more)")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default=None)
    parser.add_argument("--csv", type=Path, help="also write the table there")


def count_samples(options: argparse.Namespace, batch_size: int) -> int:
    """Return how many prompts a task has at this batch size."""
    return options.samples or max(8, batch_size)


def build_tasks(options: argparse.Namespace, samples: int) -> Iterator[tuple[str, list[Instance]]]:
    """Yield each task's name and requests, as lm-eval would make them."""
    settings = {"num_samples": samples, "data_seed": 1234}
    for entries in options.entries:
        until = {"until": ["\n"], "max_gen_toks": 16}
        yield f"phonebook_copy_{entries}", as_requests(build_phonebook(settings, entries)["test"]["prompt"], until)
    for letters in options.letters:
        until = {"until": ["."], "max_gen_toks": letters + 1}
        yield f"string_copy_{letters}", as_requests(build_string_copy(settings, letters)["test"]["prompt"], until)
    settings |= {"c4_path": options.c4, "length_tokenizer": options.tokenizer}
    for tokens in options.tokens:
        until = {"until": ["\n\n"], "max_gen_toks": tokens * 5 // 4 + 50}
        yield f"c4_copy_{tokens}", as_requests(build_c4(settings, tokens)["test"]["prompt"], until)


def as_requests(prompts: Iterable[str], until: dict[str, Any]) -> list[Instance]:
    """Return a request a prompt."""
    return [
        Instance("generate_until", {}, (prompt, until | {"do_sample": False}), index)
        for index, prompt in enumerate(prompts)
    ]


def load(name: str, folder: Path, device: str | None) -> tuple[ExactLM, HFLM]:
    """Return our adapter and lm-eval's with the same weights; ``folder`` takes a converted or a random checkpoint."""
    ours = open_ours(name.replace("random", "tiny"), device)
    model = ours.model
    if name.startswith("random"):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(model.config)
    model.save_pretrained(folder)
    ours.tokenizer.save_pretrained(folder)
    if name.startswith("random"):
        ours = open_ours(str(folder), device)
    return ours, HFLM(str(folder), dtype="float32", device=str(ours.device))


def open_ours(name: str, device: str | None) -> ExactLM:
    """Return our adapter in float32, in which all contenders must give the same texts, and without mamba-ssm."""
    source = resolve_checkpoint(name)
    config = read_config(source)
    if is_state_spaces(source, config) or config["model_type"] in ("mamba", "mamba2"):
        return MambaLM(source, dtype="float32", device=device, use_kernels=False)
    return PythiaLM(source, dtype="float32", device=device)


def measure(
    model: str,
    task: str,
    ours: ExactLM,
    hf: HFLM,
    requests: list[Instance],
    batch_size: int,
    repeats: int,
    others: Mapping[str, HFLM] = MappingProxyType({}),
) -> list[Row]:
    """Return a row a contender, ``others`` included; each runs once a repeat, in turns."""
    rows = [Row(model, task, batch_size, contender) for contender in (*CONTENDERS, *others)]
    adapters = {"drafted": ours, "undrafted": ours, "hf": hf, "floor": hf} | others
    for adapter in adapters.values():
        adapter.batch_size_per_gpu = batch_size
    texts: dict[str, list[str]] = {}
    generate: dict[str, Callable[[], list[str]]] = {
        "drafted": lambda: run_ours(ours, requests, ours._new_trust()),
        "undrafted": lambda: run_ours(ours, requests, None),
    }
    for name, adapter in ({"hf": hf} | others).items():
        generate[name] = partial(adapter.generate_until, requests, disable_tqdm=True)

    def score() -> Any:
        return hf.loglikelihood(
            [
                Instance("loglikelihood", {}, (request.args[0], text or " "), index)
                for index, (request, text) in enumerate(zip(requests, texts["drafted"], strict=True))
            ],
            disable_tqdm=True,
        )

    for _ in range(repeats):
        for row in rows:
            run = generate.get(row.contender, score)
            output, seconds, passes, row.peak_mib = watch(run, adapters[row.contender])
            row.times.append(seconds)
            row.passes_per_answer = passes / len(requests)
            if run is not score:
                texts[row.contender] = output
    medians = {row.contender: statistics.median(row.times) for row in rows}
    for row in rows:
        row.seconds = medians[row.contender]
        row.times_floor = row.seconds / medians["floor"]
        row.faster_than_hf = medians["hf"] / row.seconds
        answers = texts.get(row.contender, texts["drafted"])
        row.tokens_per_second = sum(len(ours.tok_encode(text)) for text in answers) / row.seconds
        same = sum(map(str.__eq__, answers, texts["hf"]))
        row.same_as_hf = f"{same}/{len(answers)}" if row.contender in generate else ""
    return rows


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

    # Every forward pass looks up embeddings once, also one that does not go through the model's own forward; the
    # replay of a CUDA graph does not, and counts nothing.
    embeddings = next(part for part in model.model.modules() if isinstance(part, torch.nn.Embedding))
    hook = embeddings.register_forward_pre_hook(count)
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


def write_csv(rows: Sequence[Row], path: Path | None) -> None:
    """Write the table where one is asked for."""
    if path is not None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns(), extrasaction="ignore")
            writer.writeheader()
            writer.writerows(map(asdict, rows))


def columns() -> list[str]:
    """Return the names of the table's columns."""
    return [column.name for column in fields(Row) if column.name != "times"]


def render(rows: Sequence[Row]) -> str:
    """Return the rows as a table."""
    cells = [[getattr(row, name) for name in columns()] for row in rows]
    table: str = tabulate(cells, columns(), tablefmt="github", floatfmt=".2f")
    return table


if __name__ == "__main__":
    main()
