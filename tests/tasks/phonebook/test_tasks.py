"""The phonebook's YAML files, loaded and run by the real lm-eval."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

from copy_eval.errors import UserError
from copy_eval.runs.task_loading import describe_task
from copy_eval.tasks.length_tokenizer import load_length_tokenizer
from copy_eval.tasks.phonebook.filled_books import draw_filled_book
from copy_eval.tasks.phonebook.generator import draw_example
from tests.tasks.oracle import TASKS, evaluate, look_up
from tests.tasks.real_data import NEOX_TOKENIZER, needs_real_data

GRID, LONG_GRID = (10, 20, 40, 80, 120, 160), (320, 640, 1280)
GROUPS = {
    "phonebook_copy": ("phonebook_copy", GRID, "plain"),
    "phonebook_copy_long": ("phonebook_copy", LONG_GRID, "plain"),
    "phonebook_copy_dashed": ("phonebook_copy_dashed", GRID, "dashed"),
    "phonebook_reversed": ("phonebook_reversed", GRID, "reversed"),
}
EVERY_TASK = [
    (f"{prefix}_{length}", length, variant) for prefix, lengths, variant in GROUPS.values() for length in lengths
]


def load(tasks: list[str], **metadata: Any) -> dict[str, Any]:
    """Return the loaded tasks by name, with settings as of ``--metadata``."""
    manager = TaskManager(include_path=TASKS, include_defaults=False, metadata=metadata)
    return dict(manager.load(tasks)["tasks"])


def pinned_fingerprints() -> dict[str, str]:
    """Return the fingerprints that the task's README states, by task."""
    readme = (TASKS / "phonebook" / "README.md").read_text()
    return dict(re.findall(r"^\| `(phonebook_\w+)` \| `([0-9a-f]{64})` \|$", readme, re.MULTILINE))


@pytest.fixture(scope="module")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write a GPT-NeoX model of two layers with random weights, and a byte-level tokenizer of 300 entries."""
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator([draw_example(1, 40, 0).prompt], trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(folder)
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=2048,
        bos_token_id=0,
        eos_token_id=0,
    )
    GPTNeoXForCausalLM(config).save_pretrained(folder)
    return str(folder)


def test_each_group_holds_its_lengths_and_nothing_else_is_listed() -> None:
    manager = TaskManager(include_path=TASKS / "phonebook", include_defaults=False, metadata={"num_samples": 1})
    filled = [f"phonebook_tokens_{1 << power}k" for power in range(9)]
    assert manager.all_groups == sorted([*GROUPS, "phonebook_tokens"])
    assert manager.all_subtasks == sorted([task for task, _, _ in EVERY_TASK] + filled)
    for group, (prefix, lengths, _) in GROUPS.items():
        assert set(manager.load([group])["tasks"]) == {f"{prefix}_{length}" for length in lengths}


@pytest.mark.parametrize(("name", "length", "variant"), EVERY_TASK)
def test_a_task_is_of_the_length_and_variant_that_its_name_says(name: str, length: int, variant: str) -> None:
    task = load([name], num_samples=2)[name]
    expected = [draw_example(1234, length, index, variant) for index in range(2)]
    docs = list(task.test_docs())
    assert [doc["prompt"] for doc in docs] == [example.prompt for example in expected]
    assert [doc["answer"] for doc in docs] == [example.answer for example in expected]
    assert [(doc["index"], doc["entries"], doc["depth"]) for doc in docs] == [
        (index, length, example.depth) for index, example in enumerate(expected)
    ]


def test_a_prompt_ends_at_the_colon_and_the_target_follows_a_space() -> None:
    task = load(["phonebook_copy_10"], num_samples=1)["phonebook_copy_10"]
    doc = task.test_docs()[0]
    assert re.search(r"\n\n[A-Z][a-z]+ [A-Z][a-z]+:\Z", task.doc_to_text(doc))
    assert task.config.target_delimiter + task.doc_to_target(doc) == look_up(doc["prompt"])


def test_generation_is_greedy_and_ends_at_the_line() -> None:
    options = load(["phonebook_copy_dashed_10"], num_samples=1)["phonebook_copy_dashed_10"].config.generation_kwargs
    assert options["until"] == ["\n"]
    assert options["do_sample"] is False
    assert options["max_gen_toks"] >= len(b" 609-323-7777\n")


def test_the_prompts_of_every_task_have_the_fingerprint_in_the_readme() -> None:
    tasks = load(list(GROUPS))
    pinned = {name: sha256 for name, sha256 in pinned_fingerprints().items() if "tokens" not in name}
    assert {name: task.config.metadata["prompts_sha256"] for name, task in tasks.items()} == pinned


def test_fifty_samples_are_the_first_of_two_hundred() -> None:
    name = "phonebook_reversed_20"
    fifty, all_samples = load([name], num_samples="50")[name], load([name])[name]
    assert len(all_samples.test_docs()) == 200
    assert list(fifty.test_docs()) == list(all_samples.test_docs())[:50]
    assert fifty.config.metadata["prompts_sha256"] != all_samples.config.metadata["prompts_sha256"]


def test_another_data_seed_gives_other_prompts() -> None:
    name = "phonebook_copy_10"
    tasks = [load([name], num_samples=5, data_seed=seed)[name] for seed in (1234, 1235)]
    assert not {doc["prompt"] for doc in tasks[0].test_docs()} & {doc["prompt"] for doc in tasks[1].test_docs()}


@pytest.mark.parametrize(("name", "numbers"), [("phonebook_copy_1280", 1280), ("phonebook_copy_dashed_40", 40)])
def test_the_bits_of_a_book_are_those_of_its_numbers(name: str, numbers: int) -> None:
    description = describe_task(name)
    without_repetition = sum(math.log2(4 * 10**9 - place) for place in range(numbers))
    assert description.material_bits.at(numbers) == pytest.approx(without_repetition, abs=0.0003)
    assert description.asked_bits.at(numbers) == pytest.approx(math.log2(4 * 10**9))


@needs_real_data
def test_the_bits_of_a_book_that_fills_a_number_of_tokens_are_near_those_of_its_entries() -> None:
    tokenizer = load_length_tokenizer(str(NEOX_TOKENIZER))
    for thousands in (1, 4, 16):
        entries = draw_filled_book(1234, 1024 * thousands, 0, [0, 1], tokenizer).entries
        description = describe_task(f"phonebook_tokens_{thousands}k")
        assert description.material_bits.at(1024 * thousands) == pytest.approx(entries * math.log2(4e9), rel=0.03)
        assert description.asked_bits.at(1024 * thousands) == pytest.approx(math.log2(4e9))


def test_of_a_book_that_comes_after_the_question_one_number_is_kept() -> None:
    assert describe_task("phonebook_reversed_40").material_bits.at(40) == pytest.approx(math.log2(4 * 10**9))


def test_a_perfect_model_scores_one_and_its_samples_hold_the_depth() -> None:
    results = evaluate(look_up, ["phonebook_copy_10", "phonebook_copy_dashed_10"], {"num_samples": 20})
    for name in ("phonebook_copy_10", "phonebook_copy_dashed_10"):
        task = results["results"][name]
        assert task["exact_match,none"] == task["contains,none"] == task["digit_accuracy,none"] == 1.0
        assert task["wrong_is_other_entry,none"] == task["wrong_not_in_book,none"] == "N/A"
        depths = [sample["doc"]["depth"] for sample in results["samples"][name]]
        assert len(set(depths)) > 3
    assert results["configs"]["phonebook_copy_10"]["dataset_kwargs"] == {"length": 10}


def test_a_model_that_always_reads_the_first_line_answers_with_another_entry() -> None:
    def first_line(prompt: str) -> str:
        return prompt.split("\n", 1)[0].split(":")[1]

    results = evaluate(first_line, ["phonebook_copy_10"], {"num_samples": 100}, bootstrap_iters=10)
    task, samples = results["results"]["phonebook_copy_10"], results["samples"]["phonebook_copy_10"]
    right = [sample["doc"]["depth"] == 0.0 for sample in samples]
    share = sum(right) / 100
    assert [sample["exact_match"] == 1.0 for sample in samples] == right
    assert 0 < share < 0.5
    assert task["exact_match,none"] == share
    assert task["exact_match_stderr,none"] == pytest.approx(math.sqrt(share * (1 - share) / 99))
    assert task["wrong_is_other_entry,none"] == 1.0
    assert task["wrong_not_in_book,none"] == 0.0


def test_a_chat_model_that_answers_in_a_sentence_shows_in_contains_and_in_no_other_score() -> None:
    def chat(prompt: str) -> str:
        number = look_up(prompt).strip().replace("-", "")
        return f"The number is ({number[:3]}) {number[3:6]}-{number[6:]}."

    names = ["phonebook_copy_10", "phonebook_copy_dashed_10", "phonebook_reversed_10"]
    results = evaluate(chat, names, {"num_samples": 10}, bootstrap_iters=10)["results"]
    for name in names:
        assert (results[name]["exact_match,none"], results[name]["contains,none"]) == (0.0, 1.0)
        assert results[name]["wrong_is_other_entry,none"] == results[name]["wrong_not_in_book,none"] == 0.0


@needs_real_data
def test_the_longest_sentence_of_a_chat_model_is_not_cut_before_its_number() -> None:
    tokenizer = load_length_tokenizer(str(NEOX_TOKENIZER))
    task = load(["phonebook_copy_dashed_40"])["phonebook_copy_dashed_40"]
    for doc in task.test_docs():
        name = doc["prompt"].rsplit("\n", 1)[-1].removesuffix(":")
        answer = f" According to the phonebook, the phone number for {name} is {doc['answer']}."
        assert len(tokenizer.encode(answer)) <= task.config.generation_kwargs["max_gen_toks"]


def test_a_model_that_invents_numbers_answers_with_what_is_not_in_the_book() -> None:
    task = evaluate(lambda _: " 5555555555", ["phonebook_reversed_10"], {"num_samples": 5})["results"]
    assert task["phonebook_reversed_10"]["exact_match,none"] == 0.0
    assert task["phonebook_reversed_10"]["wrong_is_other_entry,none"] == 0.0
    assert task["phonebook_reversed_10"]["wrong_not_in_book,none"] == 1.0


def test_a_transformers_checkpoint_runs_through_every_group(tiny_checkpoint: str) -> None:
    tasks = ["phonebook_copy_10", "phonebook_copy_dashed_20", "phonebook_reversed_10"]
    arguments = {"pretrained": tiny_checkpoint, "dtype": "float32"}
    results = evaluate(
        "hf",
        tasks,
        arguments | {"num_samples": 3},
        model_args=arguments,
        device="cpu",
        batch_size=3,
        bootstrap_iters=10,
    )
    for name in tasks:
        assert results["results"][name]["exact_match,none"] == 0.0
        assert 0.0 <= results["results"][name]["digit_accuracy,none"] < 0.5
        assert results["n-samples"][name] == {"original": 3, "effective": 3}
        assert all("\n" not in sample["filtered_resps"][0] for sample in results["samples"][name])


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"num_sample": 5}, "unknown setting 'num_sample' in the metadata: did you mean 'num_samples'?"),
        ({"data_sed": 5}, "unknown setting 'data_sed' in the metadata: did you mean 'data_seed'?"),
        ({"num_samples": 0}, "num_samples must be a whole number of at least 1, not 0"),
        ({"num_samples": "many"}, "num_samples must be a whole number of at least 1, not 'many'"),
        ({"data_seed": 1.5}, "data_seed must be a whole number, not 1.5"),
    ],
)
def test_a_bad_setting_ends_the_run_with_one_line(metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        evaluate(look_up, ["phonebook_copy_10"], metadata)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ("{length: 2}", "length must be a whole number of at least 3, not 2"),
        (
            "{length: 1000000000}",
            "1000000000 entries need as many different names, but the census lists form 458469237",
        ),
        ("{length: 10, variant: upside_down}", "unknown phonebook variant 'upside_down': choose one of plain, dashed"),
    ],
)
def test_a_users_own_length_is_checked(tmp_path: Path, kwargs: str, message: str) -> None:
    common = TASKS / "phonebook" / "_phonebook_yaml"
    (tmp_path / "own.yaml").write_text(f"include: {common}\ntask: phonebook_own\ndataset_kwargs: {kwargs}\n")
    with pytest.raises(UserError, match=re.escape(message)):
        TaskManager(include_path=tmp_path, include_defaults=False).load(["phonebook_own"])
