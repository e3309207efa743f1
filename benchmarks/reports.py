"""How long ``copy-eval report`` takes for a thousand result files with 100,000 samples, and how much memory.

Run ``python -m benchmarks.reports``. The files are those of two models at 25 training steps each, evaluated on the
group ``copy_eval`` one length at a time: a result file for each length, 100 logged samples each, as long as real ones.
"""

import argparse
import hashlib
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tqdm import tqdm

from copy_eval.runs.task_loading import describe_task, read_definition, tasks_by_name
from copy_eval.tasks.phonebook.generator import draw_example

MODELS = {"transformer-160m": "gpt_neox", "mamba-130m": "mamba"}
BOUNDS = {name: read_definition(name)["dataset_kwargs"] for name in tasks_by_name()["copy_eval"]}
LENGTHS = {name: bounds["length"] for name, bounds in BOUNDS.items()}


def main() -> None:
    """Write the files, report on them and print time and memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=25, help="training steps of each model")
    parser.add_argument("--samples", type=int, default=100, help="of each result file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write_all(folder / "results", options.steps, options.samples)
        size = sum(file.stat().st_size for file in (folder / "results").rglob("*") if file.is_file())
        print(f"{files} result files, {files * options.samples} samples, {size / 1e6:.0f} MB")
        program = Path(sys.executable).with_name("copy-eval")
        command = [str(program), "report", str(folder / "results"), "--out", str(folder / "report")]
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wall = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"wall time {wall:.1f} s (processor time {used.ru_utime + used.ru_stime:.1f} s)")
    print(f"peak resident memory {used.ru_maxrss / 2**20:.2f} GiB")


def write_all(folder: Path, steps: int, samples: int) -> int:
    """Write a result file and its samples for each model, step and length; return how many."""
    rng = random.Random(0)
    documents = {name: [_document(name, length, index) for index in range(samples)] for name, length in LENGTHS.items()}
    runs = [(model, step, name) for model in MODELS for step in range(1, steps + 1) for name in LENGTHS]
    began = datetime(2026, 1, 1)
    for place, (model, step, name) in enumerate(tqdm(runs, desc="writing", unit="file", disable=None)):
        stamp = (began + timedelta(seconds=place, microseconds=1)).isoformat().replace(":", "-")
        home = folder / model
        home.mkdir(parents=True, exist_ok=True)
        accuracy = step / steps / (1 + LENGTHS[name] / 100)
        scored = [_score(document, rng.random() < accuracy, name) for document in documents[name]]
        (home / f"samples_{name}_{stamp}.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in scored))
        report = _report(model, f"step{1000 * step}", name, scored) | {"date": began.timestamp() + place}
        (home / f"results_{stamp}.json").write_text(json.dumps(report, indent=2))
    return len(runs)


def _document(name: str, length: int, index: int) -> dict[str, Any]:
    if name.startswith("phonebook"):
        example = draw_example(0, length, index)
        return {"prompt": example.prompt, "answer": example.answer, "index": index, "depth": example.depth}
    copies = 2 if name.startswith("c4") else 1
    text = "\n\n".join(["word " * max(length, 60)] * copies)
    article = {"article": f"article {index % 30}"} if name.startswith("squad") else {}
    return {"prompt": text, "answer": "word", "index": index} | article


def _score(document: dict[str, Any], right: bool, name: str) -> dict[str, Any]:
    scores: dict[str, float | None] = {"exact_match": float(right)}
    if name.startswith("phonebook"):
        scores |= {"contains": float(right)}
        scores |= dict.fromkeys(("wrong_is_other_entry", "wrong_not_in_book"), None if right else 0.0)
    if name.startswith("squad"):
        scores |= {"f1": float(right)}
    return {
        "doc_id": document["index"],
        "doc": document,
        "target": document["answer"],
        "arguments": {"gen_args_0": {"arg_0": document["prompt"], "arg_1": {"until": ["\n"]}}},
        "resps": [[document["answer"]]],
        "filtered_resps": [document["answer"]],
        "filter": "none",
        "metrics": list(scores),
        "doc_hash": _hash(document["prompt"]),
        "prompt_hash": _hash(document["prompt"]),
        "target_hash": _hash(document["answer"]),
    } | scores


def _report(model: str, revision: str, name: str, samples: list[dict[str, Any]]) -> dict[str, Any]:
    keys = ("doc_hash", "prompt_hash", "target_hash")
    metrics: dict[str, Any] = {}
    for metric in samples[0]["metrics"]:
        known = [sample[metric] for sample in samples if sample[metric] is not None]
        metrics[f"{metric},none"] = sum(known) / len(known) if known else "N/A"
    metadata = {"prompts_sha256": _hash(name), "copy_eval": describe_task(name).model_dump(exclude_none=True)}
    config = {"dataset_kwargs": BOUNDS[name], "metadata": metadata}
    return {
        "results": {name: metrics},
        # lm-eval adds the source of a task's functions, and a description of the machine.
        "configs": {name: config | {"process_results": "x" * 3000}},
        "pretty_env_info": "x" * 4000,
        "versions": {name: 1.0},
        "n-samples": {name: {"original": len(samples), "effective": len(samples)}},
        "config": {
            "model": "pythia", "model_args": {"pretrained": model}, "model_revision": revision,
            "model_architecture": MODELS[model], "model_num_parameters": 160_000_000,
            "copy_eval": {"adapter": "pythia"},
        },
        "model_name": model,
        "task_hashes": {name: _hash("".join(sample[key] for sample in samples for key in keys))},
    }  # fmt: skip


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    main()
