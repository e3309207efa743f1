"""The task class, in real lm-eval runs of phonebook tasks with models that answer from the prompt."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lm_eval.caching.cache
import pytest
from lm_eval import simple_evaluate
from lm_eval.api.metrics import mean, mean_stderr, stderr_for_metric
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager
from lm_eval.utils import make_table

import copy_eval
from benchmarks.completions_server import CompletionsHandler, serve_completions
from copy_eval.checkpoint_fingerprint import fingerprint_checkpoint
from copy_eval.errors import UserError
from copy_eval.over_context import OVER_CONTEXT, refuse_over_context
from copy_eval.packaged import PACKAGED
from copy_eval.tasks.copy_task import UnlessOverContext, _tell_once
from copy_eval.tasks.phonebook.scoring import share_of_wrong
from tests.tasks.oracle import TASKS, Respond, evaluate, look_up

METRICS = ("exact_match", "contains", "digit_accuracy", "wrong_is_other_entry", "wrong_not_in_book")


def with_context(characters: int) -> Callable[[str], str]:
    """Return a perfect model that refuses a prompt of more characters."""

    def respond(prompt: str) -> str:
        return look_up(prompt) if len(prompt) <= characters else refuse_over_context(len(prompt), characters)

    return respond


def refuse_constants(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def test_an_aggregation_without_refusal_is_lm_evals_own_with_its_standard_error() -> None:
    aggregation = UnlessOverContext(mean)
    values = [1.0, 0.0, 1.0, 1.0]
    assert aggregation(values) == 0.75
    stderr = stderr_for_metric(metric=aggregation, bootstrap_iters=100)
    assert stderr is mean_stderr
    assert stderr(values) == pytest.approx(math.sqrt(0.75 * 0.25 / 3))


def test_one_refusal_among_many_leaves_neither_score_nor_standard_error() -> None:
    aggregation = UnlessOverContext(mean)
    assert aggregation([1.0] * 199 + [OVER_CONTEXT]) == OVER_CONTEXT
    assert stderr_for_metric(metric=aggregation, bootstrap_iters=100) is None


def test_an_aggregation_of_ours_has_no_standard_error() -> None:
    aggregation = UnlessOverContext(share_of_wrong)
    assert aggregation([None, 1.0]) == 1.0
    assert stderr_for_metric(metric=aggregation, bootstrap_iters=100) is None


def test_a_length_over_context_has_no_score_while_the_others_run() -> None:
    metadata = {"num_samples": 8}
    results = evaluate(with_context(1500), ["phonebook_copy"], metadata, bootstrap_iters=100)["results"]
    for entries in (10, 20, 40):
        task = results[f"phonebook_copy_{entries}"]
        assert (task["exact_match,none"], task["exact_match_stderr,none"]) == (1.0, 0.0)
    for entries in (80, 120, 160):
        task = results[f"phonebook_copy_{entries}"]
        assert {task[f"{metric},none"] for metric in METRICS} == {OVER_CONTEXT}
        assert {task[f"{metric}_stderr,none"] for metric in METRICS} == {"N/A"}


def test_one_prompt_over_context_takes_the_score_of_the_whole_length() -> None:
    lengths: list[int] = []

    def measure(prompt: str) -> str:
        lengths.append(len(prompt))
        return look_up(prompt)

    evaluate(measure, ["phonebook_copy_10"], {"num_samples": 8})
    all_but_the_longest = sorted(lengths)[-2]
    results = evaluate(with_context(all_but_the_longest), ["phonebook_copy_10"], {"num_samples": 8})
    assert results["results"]["phonebook_copy_10"]["exact_match,none"] == OVER_CONTEXT
    exact_matches = [sample["exact_match"] for sample in results["samples"]["phonebook_copy_10"]]
    assert exact_matches.count(OVER_CONTEXT) >= 1
    assert exact_matches.count(1.0) >= 1


def test_lm_evals_table_and_files_survive_a_length_over_context(tmp_path: Path) -> None:
    results = evaluate(with_context(1500), ["phonebook_copy", "phonebook_reversed"], {"num_samples": 3}, limit=2)
    assert OVER_CONTEXT in make_table(results)
    samples = results.pop("samples")
    tracker = EvaluationTracker(output_path=str(tmp_path))
    tracker.general_config_tracker.model_name_sanitized = "oracle"
    tracker.save_results_aggregated(results=results, samples=samples)
    for task, rows in samples.items():
        tracker.save_results_samples(task_name=task, samples=rows)

    written = json.loads(next(tmp_path.rglob("results_*.json")).read_text(), parse_constant=refuse_constants)
    assert written["results"]["phonebook_copy_160"]["exact_match,none"] == OVER_CONTEXT
    assert written["n-samples"]["phonebook_copy_160"] == {"original": 3, "effective": 2}
    assert len(written["configs"]["phonebook_copy_160"]["metadata"]["prompts_sha256"]) == 64
    sample_files = list(tmp_path.rglob("samples_*.jsonl"))
    assert len(sample_files) == 12
    for file in sample_files:
        rows = [json.loads(line, parse_constant=refuse_constants) for line in file.read_text().splitlines()]
        assert [set(METRICS) <= set(row) for row in rows] == [True, True]


def test_the_group_averages_no_score_over_its_lengths() -> None:
    results = evaluate(look_up, ["phonebook_copy"], {"num_samples": 2})
    assert "groups" not in results
    assert not any("exact_match" in key for key in results["results"].get("phonebook_copy", {}))


def test_predict_only_skips_the_scores() -> None:
    results = evaluate(look_up, ["phonebook_copy_10"], {"num_samples": 2}, predict_only=True)
    sample = results["samples"]["phonebook_copy_10"][0]
    assert "exact_match" not in sample
    assert sample["filtered_resps"] == [look_up(sample["doc"]["prompt"])]


def test_a_request_cache_of_other_settings_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm_eval.caching.cache, "PATH", str(tmp_path))
    cached: dict[str, Any] = {"cache_requests": True, "tasks": ["phonebook_copy_10"]}
    for _ in range(2):  # written, then read
        results = evaluate(look_up, metadata={"num_samples": 4}, **cached)
        assert results["results"]["phonebook_copy_10"]["exact_match,none"] == 1.0
    for other in ({"num_samples": 4, "data_seed": 5}, {"num_samples": 2}):
        with pytest.raises(UserError, match="request cache is of other settings of phonebook_copy_10"):
            evaluate(look_up, metadata=other, **cached)


def context_of(results: dict[str, Any], task: str) -> Any:
    return results["configs"][task]["metadata"]["context_checked"]


def test_prompts_that_lm_evals_own_backend_cuts_have_no_score(caplog: pytest.LogCaptureFixture) -> None:
    copy_eval.register()
    model_args = {"pretrained": str(PACKAGED / "tiny-pythia"), "max_length": 300, "dtype": "float32"}
    tasks = ["phonebook_copy_10", "phonebook_copy_20"]
    results = evaluate("hf", tasks, {"num_samples": 2}, model_args=model_args, device="cpu", limit=2)
    assert results["results"]["phonebook_copy_10"]["exact_match,none"] == 1.0
    assert results["results"]["phonebook_copy_20"]["exact_match,none"] == OVER_CONTEXT
    assert [context_of(results, task) for task in tasks] == [True, True]
    assert "phonebook_copy_20: 2 prompts exceed the model's context, and its backend cuts them" in caplog.text


def test_the_weights_in_a_folder_are_noted_whatever_the_backend() -> None:
    folder = PACKAGED / "tiny-pythia"
    metadata = {"num_samples": 2, "pretrained": str(folder)}  # as lm-eval's command mixes in the model's arguments
    results = evaluate(look_up, ["phonebook_copy_10"], metadata)
    noted = results["configs"]["phonebook_copy_10"]["metadata"]["weights_sha256"]
    assert noted == fingerprint_checkpoint(folder)


def test_our_own_adapters_refuse_prompts_themselves() -> None:
    copy_eval.register()
    model_args = {"pretrained": "tiny-pythia", "max_length": 300}
    results = evaluate("pythia", ["phonebook_copy_20"], {"num_samples": 2}, model_args=model_args, device="cpu")
    assert results["results"]["phonebook_copy_20"]["exact_match,none"] == OVER_CONTEXT
    assert context_of(results, "phonebook_copy_20") is True


def test_of_a_model_that_shows_no_tokens_nothing_is_known() -> None:
    copy_eval.register()
    results = evaluate(look_up, ["phonebook_copy_10"], {"num_samples": 2})
    assert context_of(results, "phonebook_copy_10") is False


class _Characters:
    """A tokenizer with the methods of transformers', a token for every so many characters."""

    all_special_ids = ()

    def __init__(self, step: int) -> None:
        self._step = step

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:  # noqa: ARG002
        return [ord(character) for character in text[:: self._step]]

    def decode(self, tokens: list[int]) -> str:
        return "".join(map(chr, tokens))


class _SendsTokens(Respond):
    """What our tasks see of lm-eval's API models: a default context of 2,048 tokens, whatever the server's is."""

    max_length = 2047

    def __init__(self, tokenized_requests: bool, characters: int = 1) -> None:
        super().__init__(look_up)
        self.tokenized_requests = tokenized_requests
        self.tokenizer: Any = _Characters(characters)

    def tok_encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text)


@pytest.mark.parametrize(("sends_tokens", "checked", "score"), [(True, True, OVER_CONTEXT), (False, False, 1.0)])
def test_an_api_model_cuts_what_it_sends_as_tokens_alone(sends_tokens: bool, checked: bool, score: object) -> None:
    copy_eval.register()
    task_manager = TaskManager(include_path=TASKS, include_defaults=False, metadata={"num_samples": 2})
    results = simple_evaluate(_SendsTokens(sends_tokens), tasks=["phonebook_copy_160"], task_manager=task_manager)
    assert results["results"]["phonebook_copy_160"]["exact_match,none"] == score
    assert context_of(results, "phonebook_copy_160") is checked


def test_a_tokenizer_that_cannot_write_the_answers_is_named(caplog: pytest.LogCaptureFixture) -> None:
    copy_eval.register()
    task_manager = TaskManager(include_path=TASKS, include_defaults=False, metadata={"num_samples": 2})
    # Every other character is lost, as letters are with a tokenizer that normalises.
    simple_evaluate(_SendsTokens(True, characters=2), tasks=["phonebook_copy_10"], task_manager=task_manager)
    assert "phonebook_copy_10: the model's tokenizer cannot write 2 of 2 answers" in caplog.text


def write_own(folder: Path, about: str) -> TaskManager:
    """Write a phonebook task that describes itself in its own words, and return a manager that knows it."""
    (folder / "own.yaml").write_text(
        f"include: {TASKS}/phonebook/_phonebook_yaml\ntask: own\ndataset_kwargs: {{length: 10}}\n"
        f"metadata: {{version: 1, num_samples: 2, data_seed: 1, copy_eval: {about}}}\n"
    )
    return TaskManager(include_path=[folder], include_defaults=False, metadata={"filler_wordz": 1})


def test_where_the_scores_ignore_case_no_tokenizer_is_named(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    copy_eval.register()
    task_manager = write_own(tmp_path, "{verbatim: false}")
    simple_evaluate(_SendsTokens(True, characters=2), tasks=["own"], task_manager=task_manager)
    assert "cannot write" not in caplog.text


def test_the_settings_are_those_that_the_task_describes(tmp_path: Path) -> None:
    task_manager = write_own(tmp_path, "{settings: {filler_words: count}}")
    with pytest.raises(UserError, match="unknown setting 'filler_wordz' in the metadata: did you mean 'filler_words'"):
        task_manager.load(["own"])


def test_a_result_carries_the_description_of_its_variant() -> None:
    configs = evaluate(look_up, ["phonebook_copy_10", "phonebook_reversed_10"], {"num_samples": 1})["configs"]
    about = {name: config["metadata"]["copy_eval"] for name, config in configs.items()}
    assert about["phonebook_copy_10"]["title"] == "phonebook_copy"
    assert about["phonebook_reversed_10"]["title"] == "phonebook_reversed"
    assert "first says whose number" in about["phonebook_reversed_10"]["description"]
    assert {each["unit"] for each in about.values()} == {"entries in the phonebook"}
    json.dumps(about)


class _SaysTheSame(CompletionsHandler):
    def answer(self, _: dict[str, Any], prompts: Sequence[Any]) -> None:
        self.send_texts([" 6"] * len(prompts))


@pytest.mark.parametrize(("tokens", "checked", "score"), [(True, True, OVER_CONTEXT), (False, False, 0.0)])
def test_lm_evals_own_api_model_cuts_at_2048_tokens_and_that_is_seen(
    tokens: bool, checked: bool, score: object
) -> None:
    copy_eval.register()
    with serve_completions(_SaysTheSame) as address:
        model_args = {"model": str(PACKAGED / "tiny-pythia"), "base_url": address, "tokenized_requests": tokens}
        tasks = ["phonebook_copy_10", "phonebook_copy_160"]
        results = evaluate("local-completions", tasks, {"num_samples": 2}, model_args=model_args)
    assert results["results"]["phonebook_copy_10"]["exact_match,none"] == 0.0
    assert results["results"]["phonebook_copy_160"]["exact_match,none"] == score
    assert context_of(results, "phonebook_copy_160") is checked


@pytest.mark.parametrize(
    ("names", "given", "told"),
    [
        (
            ["phonebook_tokens_1k", "phonebook_tokens_2k"],
            "num_samples",
            "on phonebook_tokens; its setting is num_books",
        ),
        (["phonebook_copy_10", "phonebook_copy_20"], "num_books", "on phonebook_copy; its setting is num_samples"),
    ],
)
def test_a_count_of_prompts_that_is_another_tasks_is_told_of_once(
    names: list[str], given: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    _tell_once.cache_clear()
    settings: dict[str, Any] = {"length_tokenizer": "tiny-pythia", "num_samples": 2, "num_books": 1}
    other = {"num_samples": "num_books", "num_books": "num_samples"}[given]

    def load(without: str) -> None:
        metadata = {key: value for key, value in settings.items() if key != without}
        TaskManager(include_path=TASKS, include_defaults=False, metadata=metadata).load(names)

    load(without=given)
    assert not caplog.records
    load(without=other)
    assert [record.message for record in caplog.records] == [f"{given} has no effect {told}"]
