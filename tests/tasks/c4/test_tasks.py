"""The copying task's YAML files, loaded and run by the real lm-eval."""

import logging
from pathlib import Path
from typing import Any

import pytest
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer, normalizers

import copy_eval
from copy_eval.errors import UserError
from copy_eval.tasks.length_tokenizer import load_length_tokenizer
from tests.tasks.conftest import WORDS
from tests.tasks.oracle import TASKS, evaluate
from tests.tasks.real_data import C4_SAMPLE, NEOX_TOKENIZER, needs_real_data

GRID, LONG_GRID = (25, 50, 100, 200, 300, 400, 600), (1200, 2400, 4800)
LONGEST = {"c4_copy_8k": 8192, "c4_copy_16k": 16384, "c4_copy_32k": 32768}
GROUPS = {
    "c4_copy": [f"c4_copy_{length}" for length in GRID],
    "c4_copy_long": [f"c4_copy_{length}" for length in LONG_GRID],
    "c4_copy_longest": list(LONGEST),
    "c4_copy_shuffled": [f"c4_copy_shuffled_{length}" for length in GRID],
}
EVERY_TASK = [name for names in GROUPS.values() for name in names]


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """A text of a hundred paragraphs, some 4,000 of the test tokenizer's tokens."""
    file = tmp_path / "text.txt"
    file.write_text("\n\n".join(f"{number} {WORDS}" for number in range(100)))
    return file


@pytest.fixture
def own_text(text_file: Path, tokenizer_file: Path) -> dict[str, Any]:
    """The settings for it."""
    return {"c4_path": str(text_file), "length_tokenizer": str(tokenizer_file), "num_samples": 3}


@pytest.fixture
def long_text(own_text: dict[str, Any]) -> dict[str, Any]:
    """The settings for a text that every length fits."""
    Path(own_text["c4_path"]).write_text("\n\n".join(f"{number} {WORDS}" for number in range(1500)))
    return own_text


def load(tasks: list[str], metadata: dict[str, Any]) -> dict[str, Any]:
    return dict(TaskManager(include_path=TASKS, include_defaults=False, metadata=metadata).load(tasks)["tasks"])


def copy(prompt: str) -> str:
    """Return what a perfect model writes: the rest of the text, and a blank line."""
    return " " + prompt.split("\n\n")[0].partition(" ")[2] + "\n\nNext"


def copy_half(prompt: str) -> str:
    right = copy(prompt).split("\n\n")[0]
    return right[: len(right) // 2]


def test_each_group_holds_its_lengths_and_nothing_else_is_listed(long_text: dict[str, Any]) -> None:
    manager = TaskManager(include_path=TASKS / "c4", include_defaults=False, metadata=long_text | {"num_samples": 1})
    assert manager.all_groups == sorted(GROUPS)
    assert manager.all_subtasks == sorted(EVERY_TASK)
    for group, tasks in GROUPS.items():
        assert set(manager.load([group])["tasks"]) == set(tasks)


def test_a_task_is_of_the_length_and_variant_that_its_name_says(long_text: dict[str, Any]) -> None:
    tokenizer = load_length_tokenizer(long_text["length_tokenizer"])
    words = set(Path(long_text["c4_path"]).read_text().split())
    for name, task in load(EVERY_TASK, long_text).items():
        length = LONGEST.get(name) or int(name.rsplit("_", 1)[1])
        docs = list(task.test_docs())
        texts = [doc["prompt"].split("\n\n")[0] for doc in docs]
        assert task.config.dataset_kwargs["length"] == length
        assert [len(tokenizer.encode(text)) for text in texts] == [length] * 3
        assert [(doc["index"], doc["tokens"]) for doc in docs] == [(index, length) for index in range(3)]
        inner_words = {word for text in texts for word in text.split()[1:-1]}
        assert ("shuffled" in name) == bool(inner_words - words)


def test_generation_is_greedy_ends_at_the_blank_line_and_fits_a_context_of_2048(long_text: dict[str, Any]) -> None:
    for task in load(EVERY_TASK, long_text).values():
        options, length = task.config.generation_kwargs, task.config.dataset_kwargs["length"]
        assert options == {"until": ["\n\n"], "do_sample": False, "max_gen_toks": length + length // 4 + 50}
        first_word = 30
        assert length > 600 or 2 * length + 2 + first_word + options["max_gen_toks"] <= 2048


def test_the_result_says_which_text_was_copied(own_text: dict[str, Any]) -> None:
    results = evaluate(copy, ["c4_copy_25"], own_text)
    metadata = results["configs"]["c4_copy_25"]["metadata"]
    assert metadata["text_source"] == metadata["c4_path"] == own_text["c4_path"]
    assert len(metadata["text_sha256"]) == len(metadata["length_tokenizer_sha256"]) == 64
    assert len(metadata["prompts_sha256"]) == 64


def test_a_perfect_copy_scores_one_and_half_a_copy_half(own_text: dict[str, Any]) -> None:
    tasks = ["c4_copy_50", "c4_copy_shuffled_100"]
    for respond, exact, expected in ((copy, 1.0, 1.0), (copy_half, 0.0, 0.5)):
        results = evaluate(respond, tasks, own_text)["results"]
        for name in tasks:
            assert results[name]["exact_match,none"] == exact
            assert results[name]["copied_before_error,none"] == pytest.approx(expected, abs=0.02)
            assert results[name]["similarity,none"] == pytest.approx(expected, abs=0.02)


def test_the_first_samples_of_more_are_those_of_fewer(own_text: dict[str, Any]) -> None:
    few, many = (
        list(load(["c4_copy_25"], own_text | {"num_samples": number})["c4_copy_25"].test_docs()) for number in (3, 9)
    )
    assert many[:3] == few
    assert len(many) == 9


def test_a_text_too_short_for_chunks_of_their_own_is_used_with_one_warning(
    own_text: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "copy_eval"):
        load(["c4_copy_25"], own_text | {"num_samples": 9})
        assert caplog.messages == []
        load(["c4_copy_600"], own_text | {"num_samples": 9})
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("9 chunks of 600 tokens from the ")
    assert caplog.messages[0].endswith("overlap: the standard errors are too small")


def test_a_length_tokenizer_that_normalises_is_named_in_one_warning_for_all_lengths(
    own_text: dict[str, Any], text_file: Path, tokenizer_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text_file.write_text(text_file.read_text() + "\n\nThe Fox and the Dog.\n\nA \N{LATIN SMALL LIGATURE FI}rst word.")
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.save(str(tmp_path / "small_letters.json"))
    settings = own_text | {"num_samples": 1}
    with caplog.at_level(logging.WARNING, "copy_eval"):
        load(["c4_copy_25", "c4_copy_50"], settings)
        assert caplog.messages == []
        load(["c4_copy_25", "c4_copy_50"], settings | {"length_tokenizer": str(tmp_path / "small_letters.json")})
    [message] = caplog.messages
    assert message.startswith(f"the length tokenizer changes 2 of the 102 documents of {text_file} ")


def test_a_group_runs_without_the_lengths_that_its_text_is_too_short_for(
    own_text: dict[str, Any], text_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy_eval.register()
    text_file.write_text(f"{WORDS} " * 3)
    with caplog.at_level(logging.WARNING, "copy_eval"):
        results = evaluate(copy, ["c4_copy"], own_text)
    assert results["group_subtasks"]["c4_copy"] == ["c4_copy_25", "c4_copy_50"]
    assert sum(message.startswith("c4_copy runs without c4_copy_") for message in caplog.messages) == 5


def test_a_text_shorter_than_one_chunk_is_refused(own_text: dict[str, Any], text_file: Path) -> None:
    text_file.write_text("The fox jumps.")
    with pytest.raises(UserError, match=r"a chunk of 600 tokens needs more text than the \d+ tokens of .*text\.txt"):
        load(["c4_copy_600"], own_text)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"c4path": "x"}, "unknown setting 'c4path' in the metadata: did you mean 'c4_path'?"),
        ({"length_tokeniser": "x"}, "unknown setting 'length_tokeniser' in the metadata: did you mean"),
        ({"num_samples": 0}, "num_samples must be a whole number of at least 1, not 0"),
        ({"c4_path": 5}, "c4_path must be a name or a path, not 5"),
        ({"length_tokenizer": None}, "length_tokenizer must be a name or a path, not None"),
    ],
)
def test_a_bad_setting_is_refused_in_one_line(own_text: dict[str, Any], metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        load(["c4_copy_25"], own_text | metadata)
    assert str(raised.value).startswith(message)


@needs_real_data
def test_real_text_gives_chunks_of_their_length_with_the_real_tokenizer() -> None:
    metadata = {"c4_path": str(C4_SAMPLE), "length_tokenizer": str(NEOX_TOKENIZER), "num_samples": 20}
    tokenizer = load_length_tokenizer(str(NEOX_TOKENIZER))
    tasks = load([*GROUPS["c4_copy"], "c4_copy_shuffled_600", "c4_copy_2400"], metadata)
    for task in tasks.values():
        texts = [doc["prompt"].split("\n\n")[0] for doc in task.test_docs()]
        assert {len(tokenizer.encode(text)) for text in texts} == {task.config.dataset_kwargs["length"]}
        assert len(set(texts)) >= 18
    pinned = "9ba630701b693fdabc35573139e73ec2bf284b44754673e5bc24e4aa8bc05af9"
    assert tasks["c4_copy_100"].config.metadata["prompts_sha256"] == pinned
