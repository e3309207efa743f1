"""The SQuAD buckets' YAML files, loaded and run by the real lm-eval."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from lm_eval.tasks import TaskManager

import copy_eval
from copy_eval.errors import UserError
from copy_eval.tasks.length_tokenizer import load_length_tokenizer
from tests.conftest import Environment
from tests.tasks.oracle import TASKS, evaluate
from tests.tasks.real_data import C4_SAMPLE, NEOX_TOKENIZER, SQUAD_PART, needs_real_data

BUCKETS = {
    "squad_by_length_0_100": (0, 100),
    "squad_by_length_100_150": (100, 150),
    "squad_by_length_150_200": (150, 200),
    "squad_by_length_200_250": (200, 250),
    "squad_by_length_250_300": (250, 300),
    "squad_by_length_300_400": (300, 400),
    "squad_by_length_400_plus": (400, None),
}


@pytest.fixture
def own_paragraphs(tmp_path: Path, tokenizer_file: Path) -> dict[str, Any]:
    """Settings for 120 paragraphs of 5 to 600 tokens whose second question asks for their number."""
    paragraphs = [
        {
            "context": f"Number {number}." + " the" * (5 * number),
            "qas": [
                {"question": "Which word is first?", "answers": [{"text": "Number"}]},
                {"question": "Which number?", "answers": [{"text": f"Number {number}"}, {"text": f"{number}"}]},
            ],
        }
        for number in range(120)
    ]
    file = tmp_path / "squad.json"
    articles = [{"title": f"Ten {ten}", "paragraphs": paragraphs[ten : ten + 10]} for ten in range(0, 120, 10)]
    file.write_text(json.dumps({"data": articles}))
    return {"squad_path": str(file), "length_tokenizer": str(tokenizer_file), "num_samples": 5}


def load(tasks: list[str], metadata: dict[str, Any]) -> dict[str, Any]:
    return dict(TaskManager(include_path=TASKS, include_defaults=False, metadata=metadata).load(tasks)["tasks"])


def answer(prompt: str) -> str:
    return f" {prompt.split('.')[0].removeprefix('Number ')}\n\nQuestion: more"


def test_the_group_holds_the_buckets_and_nothing_else_is_listed(own_paragraphs: dict[str, Any]) -> None:
    manager = TaskManager(include_path=TASKS / "squad", include_defaults=False, metadata=own_paragraphs)
    assert manager.all_groups == ["squad_by_length"]
    assert manager.all_subtasks == sorted(BUCKETS)
    assert set(manager.load(["squad_by_length"])["tasks"]) == set(BUCKETS)


def test_a_bucket_holds_paragraphs_of_the_lengths_that_its_name_says(own_paragraphs: dict[str, Any]) -> None:
    tokenizer = load_length_tokenizer(own_paragraphs["length_tokenizer"])
    for name, task in load(list(BUCKETS), own_paragraphs).items():
        fewest, below = BUCKETS[name]
        assert task.config.dataset_kwargs["length"] == fewest
        for index, doc in enumerate(task.test_docs()):
            number = int(answer(doc["prompt"]).split("\n")[0])
            assert doc["article"] == f"Ten {number // 10 * 10}"
            tokens = len(tokenizer.encode(doc["prompt"].split("\n\n")[0]))
            assert fewest <= tokens < (below or 10**6)
            assert (doc["tokens"], doc["index"]) == (tokens, index)


def test_the_experiment_can_be_told_from_the_name_and_the_length() -> None:
    for name, (fewest, _) in BUCKETS.items():
        assert re.sub(rf"_{fewest}(_[a-z0-9]+)?$", "", name) == "squad_by_length"


def test_a_right_answer_scores_one_against_any_gold_answer(own_paragraphs: dict[str, Any]) -> None:
    results = evaluate(answer, ["squad_by_length"], own_paragraphs)
    for name in BUCKETS:
        for metric in ("exact_match", "f1", "contains"):
            assert results["results"][name][f"{metric},none"] == 1.0
    sample = results["samples"]["squad_by_length_100_150"][0]
    assert len(sample["doc"]["answers"]) == 2
    assert sample["doc"]["prompt"].endswith("\n\nQuestion: Which number?\nAnswer:")
    metadata = results["configs"]["squad_by_length_100_150"]["metadata"]
    assert metadata["text_source"] == own_paragraphs["squad_path"]
    assert metadata["available"] == 10


def test_a_bucket_with_too_few_says_how_many_and_asks_them_all(
    own_paragraphs: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "copy_eval"):
        task = load(["squad_by_length_100_150"], own_paragraphs | {"num_samples": 50})["squad_by_length_100_150"]
    assert len(task.test_docs()) == 10
    assert [message.split(" in ")[0] for message in caplog.messages] == ["10 paragraphs of 100 to 149 tokens"]
    assert caplog.messages[0].endswith("all are asked, 50 were wanted")


def test_the_first_samples_of_more_are_those_of_fewer_and_the_seed_chooses_them(own_paragraphs: dict[str, Any]) -> None:
    name = "squad_by_length_400_plus"
    few, many, other = (
        list(load([name], own_paragraphs | changes)[name].test_docs())
        for changes in ({}, {"num_samples": 20}, {"data_seed": 5})
    )
    assert many[:5] == few != other
    assert len({doc["prompt"] for doc in many}) == 20


def test_an_empty_bucket_is_refused(own_paragraphs: dict[str, Any], tmp_path: Path) -> None:
    common = TASKS / "squad" / "_squad_yaml"
    (tmp_path / "own.yaml").write_text(f"include: {common}\ntask: squad_own\ndataset_kwargs: {{length: 5000}}\n")
    manager = TaskManager(include_path=tmp_path, include_defaults=False, metadata=own_paragraphs)
    with pytest.raises(UserError, match="no paragraph of 5000 or more tokens has two questions with an answer"):
        manager.load(["squad_own"])


@pytest.fixture
def short_paragraphs(own_paragraphs: dict[str, Any]) -> dict[str, Any]:
    """Settings for the first thirty paragraphs, none of 200 tokens or more."""
    file = Path(own_paragraphs["squad_path"])
    content = json.loads(file.read_text())
    file.write_text(json.dumps({"data": content["data"][:3]}))
    return own_paragraphs


def test_a_group_runs_without_its_empty_buckets_and_says_why(
    short_paragraphs: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    copy_eval.register()
    with caplog.at_level(logging.WARNING, "copy_eval"):
        results = evaluate(answer, ["squad_by_length"], short_paragraphs)
    full, empty = list(BUCKETS)[:3], list(BUCKETS)[3:]
    assert results["group_subtasks"]["squad_by_length"] == full
    assert [results["results"][name]["exact_match,none"] for name in full] == [1.0, 1.0, 1.0]
    assert not set(empty) & set(results["results"])
    skipped = [message for message in caplog.messages if "runs without" in message]
    assert [message.split(":")[0] for message in skipped] == [f"squad_by_length runs without {name}" for name in empty]
    assert skipped[-1].endswith("no paragraph of 400 or more tokens has two questions with an answer")


def test_a_group_whose_buckets_are_all_empty_is_refused_in_one_line(
    short_paragraphs: dict[str, Any], tmp_path: Path
) -> None:
    copy_eval.register()
    groups = {"long": list(BUCKETS)[3:], "both": ["long", "squad_by_length_0_100"]}
    for group, members in groups.items():
        (tmp_path / f"{group}.yaml").write_text(f"group: {group}\ntask: [{', '.join(members)}]\n")
    manager = TaskManager(include_path=[TASKS, tmp_path], include_defaults=False, metadata=short_paragraphs)
    with pytest.raises(UserError, match=r"long has no task with prompts; the last reason: .* of 400 or more") as raised:
        manager.load(["long"])
    assert "\n" not in str(raised.value)
    loaded = manager.load(["both"])
    assert (list(loaded["tasks"]), list(loaded["groups"])) == (["squad_by_length_0_100"], ["both"])


def test_a_bare_lm_eval_runs_the_group_without_its_empty_buckets(
    installed: Environment, short_paragraphs: dict[str, Any], tmp_path: Path
) -> None:
    settings = ["--metadata", json.dumps(short_paragraphs)]
    arguments = ["--model", "dummy", *settings, "--output_path", str(tmp_path / "out")]
    done = installed.run("python", "-m", "lm_eval", "run", "--tasks", "squad_by_length", *arguments)
    assert done.returncode == 0, done.stderr
    [file] = (tmp_path / "out").rglob("results_*.json")
    scored = {name for name, scores in json.loads(file.read_text())["results"].items() if "f1,none" in scores}
    assert scored == set(list(BUCKETS)[:3])
    assert done.stderr.count("squad_by_length runs without squad_by_length_") == len(BUCKETS) - 3
    alone = installed.run("python", "-m", "lm_eval", "run", "--tasks", "squad_by_length_400_plus", *arguments)
    assert alone.returncode == 2
    assert alone.stderr.splitlines()[-1].startswith("copy-eval: ")
    assert "no paragraph of 400 or more tokens" in alone.stderr
    assert "Traceback" not in alone.stderr


def test_a_misspelt_setting_is_refused(own_paragraphs: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="unknown setting 'squadpath' in the metadata: did you mean 'squad_path'"):
        load(["squad_by_length_0_100"], own_paragraphs | {"squadpath": "x"})


@needs_real_data
def test_the_whole_group_runs_all_three_experiments_on_real_text() -> None:
    metadata = {"c4_path": str(C4_SAMPLE), "squad_path": str(SQUAD_PART), "length_tokenizer": str(NEOX_TOKENIZER)}
    results = evaluate(lambda prompt: prompt.split("\n\n")[0], ["copy_eval"], metadata | {"num_samples": 20})
    pinned = "ce0bb3d5ca43273e8f0b48fb581129f0f8585abbe62262d6be9392138130fc97"
    read = results["configs"]["squad_by_length_0_100"]["metadata"]
    assert read["prompts_sha256"] == pinned
    assert read["text_sha256"] == "22c8a45d571016e4b02f12178ff86a324d4ffdfe7f94c1d5926c1891ae586276"
    names = {name for name, scores in results["results"].items() if "exact_match,none" in scores}
    assert len(names) == 6 + 7 + 7
    assert set(BUCKETS) < names
    counts = [results["n-samples"][name]["original"] for name in BUCKETS]
    assert counts == [20, 20, 20, 20, 20, 19, 14]
    for name in BUCKETS:  # the answer stands in the paragraph
        assert results["results"][name]["contains,none"] >= 0.9
