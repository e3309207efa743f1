"""A model as lm-eval loads it, and the reports that lm-eval would write about it.

``lm_eval.simple_evaluate`` does the same for a list of tasks at once. A task at a time, it would load the weights or
describe the surroundings anew for each of them, so its last part stands here again.
"""

import inspect
import subprocess
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import copy_eval
from copy_eval.runs.imports import collector_off
from copy_eval.runs.suite import ModelEntry

BOOTSTRAP_ITERATIONS = 100_000  # the default of lm-eval's command; our metrics have standard errors in closed form

DEVICE = "cuda:0"  # the default of lm-eval's command; its backends take it for the CPU where there is no CUDA


class LoadedModel:
    """A loaded model with what lm-eval's result files say about it and its surroundings."""

    def __init__(self, entry: ModelEntry, revision: str | None, weights: str | None) -> None:
        """Load a model; ``weights`` is the fingerprint of its checkpoint, None for one on the hub."""
        copy_eval.register()
        from lm_eval.api.registry import get_model

        self._entry, self._weights = entry, weights
        self._arguments = entry.arguments(revision)
        self._device = str(self._arguments.get("device", DEVICE))
        options = {"batch_size": entry.batch_size} | ({} if "device" in self._arguments else {"device": DEVICE})
        with collector_off():
            self._lm = get_model(entry.adapter).create_from_arg_obj(self._arguments, options)
        if "disable_tqdm" in inspect.signature(self._lm.generate_until).parameters:
            self._lm.generate_until = partial(self._lm.generate_until, disable_tqdm=True)
        self._surroundings: dict[str, Any] = {}

    def evaluate(self, name: str, task: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return the report and the samples of one task, with the content of lm-eval's own files."""
        from lm_eval.evaluator import evaluate
        from lm_eval.loggers.evaluation_tracker import GeneralConfigTracker
        from lm_eval.utils import hash_string

        tracker = GeneralConfigTracker()
        # Reports take a model's name from here: two entries for one checkpoint must not pass for one model.
        named = self._entry.name != Path(self._entry.pretrained).name
        tracker.log_experiment_args(
            model_source=self._entry.adapter,
            model_args={"pretrained": self._entry.name} if named else self._arguments,
            system_instruction=None,
            chat_template=None,
            fewshot_as_multiturn=False,
        )
        date = time.time()
        report = evaluate(self._lm, {"tasks": {name: task}}, bootstrap_iters=BOOTSTRAP_ITERATIONS)
        samples = report.pop("samples")[name]
        hashes = "".join(sample["doc_hash"] + sample["prompt_hash"] + sample["target_hash"] for sample in samples)
        tracker.log_end_time()
        report |= {"config": self._config(), "date": date, **self._describe_surroundings()}
        return report | {"task_hashes": {name: hash_string(hashes)}} | asdict(tracker), samples

    def _config(self) -> dict[str, Any]:
        """Return what ``lm_eval.simple_evaluate`` notes about the model; it would load the weights for each task."""
        model_info = self._lm.get_model_info() if hasattr(self._lm, "get_model_info") else {}
        return {
            "model": self._entry.adapter,
            "model_args": self._arguments,
            **model_info,
            "weights_sha256": self._weights,  # ours say it themselves
            "batch_size": self._entry.batch_size,
            "batch_sizes": list(getattr(self._lm, "batch_sizes", {}).values()),
            "device": self._device,
            "use_cache": None,
            "limit": None,
            "bootstrap_iters": BOOTSTRAP_ITERATIONS,
            "gen_kwargs": None,
        }

    def _describe_surroundings(self) -> dict[str, Any]:
        """Return the versions and the tokenizer, gathered once: lm-eval runs some ten programs."""
        if not self._surroundings:
            from lm_eval.loggers.utils import add_env_info, add_tokenizer_info

            self._surroundings["git_hash"] = _git_hash()
            add_env_info(self._surroundings)
            add_tokenizer_info(self._surroundings, self._lm)
        return self._surroundings


def _git_hash() -> str | None:
    """Return the commit of the working directory; lm-eval's own function lets git complain where there is none."""
    try:
        done = subprocess.run(["git", "describe", "--always"], capture_output=True, text=True, check=False)
    except OSError:  # no git
        return None
    return done.stdout.strip() or None
