"""A run as lm-eval 0.4.13 leaves it behind with ``--log_samples``, cut down to what reports read."""

import hashlib
import json
from pathlib import Path


def write_run(
    folder: Path,
    answers: dict[int, str],
    model="some/model",
    sha="a" * 64,
    version=1.0,
    task="phonebook_copy",
    date=1763700000.0,
    log_samples=True,
    **metadata,
) -> Path:
    """Write the results of a task by length, and return their file.

    ``answers`` has a character for each prompt of a length: "1" right, "0" wrong, "-" over the model's context.
    """
    stamp = f"2026-11-21T06-00-{date % 60:09.6f}"
    names = {f"{task}_{length}": length for length in answers}
    folder = folder / model.replace("/", "__")
    folder.mkdir(parents=True, exist_ok=True)
    report = {
        "results": {name: _metrics(answers[length]) for name, length in names.items()},
        "configs": {
            name: {
                "dataset_kwargs": {"length": length},
                "metadata": {"version": version, "prompts_sha256": sha} | metadata,
            }
            for name, length in names.items()
        },
        "versions": dict.fromkeys(names, version),
        "n-samples": {
            name: {"original": len(answers[length]), "effective": len(answers[length])}
            for name, length in names.items()
        },
        "config": {"model": "pythia", "model_args": {"pretrained": model}},
        "model_name": model,
        "date": date,
    }
    if log_samples:
        report["task_hashes"] = {
            name: _write_samples(folder / f"samples_{name}_{stamp}.jsonl", answers[length])
            for name, length in names.items()
        }
    file = folder / f"results_{stamp}.json"
    file.write_text(json.dumps(report))
    return file


def _metrics(answers: str) -> dict:
    over_context = "-" in answers
    right = "over context" if over_context else answers.count("1") / len(answers)
    return {"exact_match,none": right, "exact_match_stderr,none": "N/A"}


def _write_samples(file: Path, answers: str) -> str:
    """Write the samples, and return lm-eval's hash of them."""
    scores = {"1": 1.0, "0": 0.0, "-": "over context"}
    hashes = [
        {"doc_hash": f"d{place}", "prompt_hash": f"p{place}", "target_hash": "t"} for place in range(len(answers))
    ]
    samples = [
        {"doc": {"index": place}, "exact_match": scores[answer]} | hashes[place] for place, answer in enumerate(answers)
    ]
    file.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return hashlib.sha256("".join("".join(each.values()) for each in hashes).encode()).hexdigest()
