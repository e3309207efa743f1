"""Result files as lm-eval 0.4.13 writes them, cut down to what reports read."""

import json
from pathlib import Path


def write_results(folder: Path, scores, model="some/model", date=1.0, sha="a" * 64, task="phonebook_copy") -> Path:
    """Write what an evaluation of ``model`` with these scores by length leaves behind, and return the file."""
    names = {f"{task}_{length}": length for length in scores}
    report = {
        "results": {
            # lm-eval lists groups and foreign tasks beside ours.
            task: {"alias": task},
            "arc_easy": {"alias": "arc_easy", "acc,none": 0.5, "acc_stderr,none": 0.1},
        }
        | {
            name: {
                "alias": f" - {name}",
                "exact_match,none": scores[length],
                "exact_match_stderr,none": "N/A",
                "digit_accuracy,none": scores[length],
            }
            for name, length in names.items()
        },
        "configs": {"arc_easy": {"metadata": {"version": 1.0}}}
        | {
            name: {"dataset_kwargs": {"length": length}, "metadata": {"version": 1.0, "prompts_sha256": sha}}
            for name, length in names.items()
        },
        "versions": dict.fromkeys(names, 1.0),
        "n-samples": {name: {"original": 200, "effective": 50} for name in names},
        "config": {"model": "pythia", "model_args": {"pretrained": model}},
        "model_name": model,
        "date": date,
    }
    file = folder / model.replace("/", "__") / f"results_{date}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(report))
    return file
