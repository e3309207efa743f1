"""Result files and samples as lm-eval 0.4.13 writes them, cut down to what reports read."""

import hashlib
import json
from pathlib import Path

from copy_eval.runs.task_loading import describe_task, tasks_by_name

PROMPTS = 50

_REPORTED = {"title", "description", "unit", "material_bits", "asked_bits"}

_OURS = {
    about.title: about.model_dump(include=_REPORTED, exclude_none=True)
    for name, members in tasks_by_name().items()
    if members == (name,)
    for about in [describe_task(name)]
}
"""What our tasks say of themselves, by their titles."""


def write_results(
    folder: Path, scores, model="some/model", date=1.0, sha="a" * 64, task="phonebook_copy", version=1.0,
    adapter="pythia", log_samples=False, metadata=None, about=None, below=None, chat_template=None,
    system_instruction=None, **config,
) -> Path:  # fmt: skip
    """Write what an evaluation of ``model`` with these scores by length leaves behind, and return the result file.

    With ``log_samples`` the first prompts are right and the last ones wrong, every other of these with another entry's
    number and every twentieth with the right one in other words; the depth of the entries grows from the first prompt
    to the last. ``metadata`` is the task's, ``about`` what else it says of itself than one of ours of its name,
    ``below`` the upper bounds of buckets by their lengths, and ``config`` what lm-eval logs of the run, such as
    ``model_revision``.
    """
    names = {f"{task}_{length}": length for length in scores}
    stamp = f"2026-11-21T06-25-40.{round(date * 1000):06d}"
    folder = folder / model.replace("/", "__")
    folder.mkdir(parents=True, exist_ok=True)
    report = {
        # lm-eval lists groups and foreign tasks beside ours.
        "results": {
            task: {"alias": task},
            "arc_easy": {"alias": "arc_easy", "acc,none": 0.5, "acc_stderr,none": 0.1},
        },
        "configs": {"arc_easy": {"metadata": {"version": 1.0}}},
        "versions": dict.fromkeys(names, version),
        "n-samples": {name: {"original": 200, "effective": PROMPTS} for name in names},
        "config": {"model": adapter, "model_args": {"pretrained": model}} | _ours(adapter) | config,
        "model_name": model,
        "chat_template_sha": chat_template,
        "system_instruction_sha": system_instruction,
        "date": date,
        "task_hashes": {},
    }
    for name, length in names.items():
        report["results"][name] = {
            "alias": f" - {name}",
            "exact_match,none": scores[length],
            "exact_match_stderr,none": "N/A",
            "digit_accuracy,none": scores[length],
        }
        report["configs"][name] = {
            "dataset_kwargs": {"length": length} | ({"below": below[length]} if below else {}),
            "metadata": {"version": version, "prompts_sha256": sha} | (metadata or {}),
        }
        if described := _OURS.get(task, {}) | (about or {}):
            report["configs"][name]["metadata"]["copy_eval"] = described
        if log_samples:
            samples = [_sample(index, scores[length], sha) for index in range(PROMPTS)]
            report["task_hashes"][name] = _hash(
                "".join(sample[key] for sample in samples for key in ("doc_hash", "prompt_hash", "target_hash"))
            )
            report["results"][name] |= _wrong_shares(samples)
            lines = "".join(json.dumps(sample) + "\n" for sample in samples)
            (folder / f"samples_{name}_{stamp}.jsonl").write_text(lines)
    file = folder / f"results_{stamp}.json"
    file.write_text(json.dumps(report))
    return file


def write_trained(
    folder: Path, scores, architecture="rope", seed=0, step=1000, learned="string_copy", lengths=(10, 20), memory=None,
    task="string_copy", trained_anew=0, **run,
) -> Path:  # fmt: skip
    """Write the results of a checkpoint of ``copy-eval train``, which learned the task ``learned`` up to ``lengths``.

    ``trained_anew`` is how often it was, ``memory`` has the bytes that the model keeps of a prompt by length, and
    ``run`` more arguments of ``write_results``.
    """
    record = {
        "experiment": "data-efficiency", "size": "cpu", "task": learned, "architecture": architecture, "seed": seed,
        "lengths": lengths, "examples": 80_000,
    }  # fmt: skip
    ours = {"adapter": "pythia", "version": "0.1.0", "trained": record}
    ours["memory_bytes"] = {f"{task}_{length}": size for length, size in (memory or {}).items()}
    return write_results(
        folder, scores, model=f"{architecture}-seed{seed}/step{step}", task=task, copy_eval=ours,
        weights_sha256=f"{seed:08x}{step:08x}{trained_anew:048x}", **run,
    )  # fmt: skip


def _ours(adapter):
    """What our adapters say of themselves."""
    return {"copy_eval": {"adapter": adapter, "version": "0.1.0"}} if adapter in ("pythia", "mamba_ssm") else {}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _sample(index: int, score, sha):
    sample = {
        "metrics": ["exact_match", "contains", "wrong_is_other_entry", "wrong_not_in_book"],
        "doc_id": index,
        "doc": {"prompt": f"prompt {index}", "answer": "8", "index": index, "depth": index / (PROMPTS - 1)},
        "doc_hash": _hash(f"doc {index}"),
        "prompt_hash": _hash(f"prompt {index} of {sha}"),
        "target_hash": _hash("8"),
    }
    if isinstance(score, str):
        return sample | dict.fromkeys(("exact_match", "contains", "wrong_is_other_entry", "wrong_not_in_book"), score)
    right = index < round(score * PROMPTS)
    other = None if right else float(index % 2)
    contains = right or index % 20 == 8
    return sample | {
        "exact_match": float(right),
        "contains": float(contains),
        "wrong_is_other_entry": other,
        "wrong_not_in_book": None if right else float(not other and not contains),
    }


def _wrong_shares(samples):
    shares = {"contains,none": "over context"}
    if isinstance(samples[0]["contains"], float):
        shares["contains,none"] = sum(sample["contains"] for sample in samples) / len(samples)
    for metric in ("wrong_is_other_entry", "wrong_not_in_book"):
        kinds = [sample[metric] for sample in samples if sample[metric] is not None]
        refused = "over context" in kinds
        shares[f"{metric},none"] = "over context" if refused else sum(kinds) / len(kinds) if kinds else "N/A"
    return shares
