"""A run with ``--log_samples`` whose answers are given prompt by prompt."""

import hashlib
import json
from pathlib import Path

from copy_eval.reports.frames.result_files import samples_file
from tests.reports.result_files import write_results


def write_run(folder: Path, answers: dict[int, str], task="phonebook_copy", log_samples=True, docs=None, **run) -> Path:
    """Write the results of a task by length, and their samples, and return the result file.

    ``answers`` has a character for each prompt of a length: "1" right, "0" wrong, "-" over the model's context.
    ``docs`` are what the records of every length hold besides, and ``run`` more arguments of ``write_results``.
    """
    scores = {
        length: "over context" if "-" in each else each.count("1") / len(each) for length, each in answers.items()
    }
    file = write_results(folder, scores, task=task, **run)
    report = json.loads(file.read_text())
    for length, each in answers.items():
        name = f"{task}_{length}"
        report["n-samples"][name]["effective"] = len(each)
        if log_samples:
            report["task_hashes"][name] = _write_samples(samples_file(file, name), each, docs)
    file.write_text(json.dumps(report))
    return file


def _write_samples(file: Path, answers: str, docs) -> str:
    """Write the samples, and return lm-eval's hash of them."""
    scores = {"1": 1.0, "0": 0.0, "-": "over context"}
    records = docs or [{}] * len(answers)
    hashes = [
        {"doc_hash": f"d{place}", "prompt_hash": f"p{place} {records[place]}", "target_hash": "t"}
        for place in range(len(answers))
    ]
    samples = [
        {
            "doc": {"index": place} | records[place],
            "metrics": ["exact_match"],
            "exact_match": scores[answer],
        }
        | hashes[place]
        for place, answer in enumerate(answers)
    ]
    file.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return hashlib.sha256("".join("".join(each.values()) for each in hashes).encode()).hexdigest()
