"""The synthetic tasks: their scores, and their YAML files, loaded and run by the real lm-eval."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

from copy_eval.errors import UserError
from copy_eval.tasks.alphabet import CHARACTERS, END, LETTERS
from copy_eval.tasks.mqar import generator as mqar
from copy_eval.tasks.ngram_lookup import generator as ngram_lookup
from copy_eval.tasks.string_copy import generator as string_copy
from copy_eval.tasks.synthetic import Example, character_accuracy, read_answer, score, teacher_forced_match
from tests.tasks.oracle import TASKS, evaluate

LENGTHS = (10, 20, 50, 100, 200, 300, 500, 1000)
DRAW: dict[str, tuple[tuple[int, ...], Callable[[int, int], Example]]] = {
    "string_copy": (LENGTHS, lambda length, index: string_copy.draw_example(1234, length, index)),
    "string_copy_duplicates": (
        tuple(range(1, 9)),
        lambda length, index: string_copy.draw_example(1234, 50, index, repeated=length),
    ),
    "ngram_prefix": (LENGTHS, lambda length, index: ngram_lookup.draw_example(1234, length, index, "prefix")),
    "ngram_suffix": (LENGTHS, lambda length, index: ngram_lookup.draw_example(1234, length, index, "suffix")),
    "mqar": ((4, 8, 16, 32, 64, 128), lambda length, index: mqar.draw_example(1234, length, index)),
}
"""The lengths of each group, and its examples by length and index."""
EVERY_TASK = [(f"{group}_{length}", group, length) for group, (lengths, _) in DRAW.items() for length in lengths]
FOLDERS = ("string_copy", "ngram_lookup", "mqar")
SHORT = ["string_copy_10", "string_copy_duplicates_2", "ngram_prefix_10", "ngram_suffix_10", "mqar_4"]
METRICS = ("exact_match", "teacher_forced_match", "character_accuracy")

GOLD = st.text(LETTERS, min_size=1, max_size=30)
RESPONSE = st.text(CHARACTERS, max_size=40)


def answer(prompt: str) -> str:
    """Return what a perfect model writes after a prompt of any of the tasks, and goes on with the next example."""
    first, *others = prompt.removeprefix("$").split("|")
    if others == [""]:  # $s|
        found = first
    elif len(first) > ngram_lookup.NGRAM and others[-1] == "":
        values = dict(re.findall("(..)(.)", first))
        found = "".join(values[key] for key in re.findall("..", others[0]))
    else:
        ngram, string = (first, others[0]) if others[-1] == "" else (others[0], first)
        found = string.split(ngram, 1)[1][:3]
    return f"{found}.$next"


def load(tasks: list[str], **metadata: Any) -> dict[str, Any]:
    """Return the loaded tasks by name, with settings as of ``--metadata``."""
    return dict(TaskManager(include_path=TASKS, include_defaults=False, metadata=metadata).load(tasks)["tasks"])


@pytest.fixture(scope="module")
def letters_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write a GPT-NeoX model of two layers with random weights whose tokens are the characters of the tasks."""
    folder = tmp_path_factory.mktemp("letters")
    vocabulary = {character: token for token, character in enumerate([*CHARACTERS, "<|endoftext|>"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<|endoftext|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(folder)
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        initializer_range=0.5,  # answers of many different letters
        bos_token_id=len(CHARACTERS),
        eos_token_id=len(CHARACTERS),
    )
    GPTNeoXForCausalLM(config).save_pretrained(folder)
    return str(folder)


@given(GOLD, st.text(CHARACTERS, max_size=10))
def test_the_right_letters_and_the_end_mark_are_an_exact_match_whatever_follows(gold: str, after: str) -> None:
    scores = score({"answer": gold}, [f"{gold}{END}{after}"])
    assert scores == dict.fromkeys(METRICS, 1.0)


@given(GOLD, st.text(LETTERS, min_size=1, max_size=10))
def test_letters_after_the_last_count_against_the_exact_match_alone(gold: str, more: str) -> None:
    scores = score({"answer": gold}, [gold + more])
    assert scores == {"exact_match": 0.0, "teacher_forced_match": 1.0, "character_accuracy": 1.0}


@given(GOLD, RESPONSE)
def test_scores_lie_between_0_and_1_and_agree_with_each_other(gold: str, response: str) -> None:
    scores = score({"answer": gold}, [response])
    assert 0.0 <= scores["exact_match"] <= scores["teacher_forced_match"] <= scores["character_accuracy"] <= 1.0
    assert (scores["exact_match"] == 1.0) == (response == gold or response.startswith(gold + END))
    assert (scores["character_accuracy"] == 1.0) == (scores["teacher_forced_match"] == 1.0)


@given(GOLD, st.data())
def test_each_wrong_letter_costs_its_share(gold: str, data: st.DataObject) -> None:
    wrong = data.draw(st.sets(st.integers(0, len(gold) - 1), min_size=1))
    given_letters = "".join("$" if place in wrong else letter for place, letter in enumerate(gold))
    assert character_accuracy(given_letters, gold) == pytest.approx(1 - len(wrong) / len(gold))
    assert teacher_forced_match(given_letters, gold) == 0.0


@given(GOLD, st.data())
def test_letters_that_are_missing_count_as_wrong(gold: str, data: st.DataObject) -> None:
    kept = data.draw(st.integers(0, len(gold) - 1))
    scores = score({"answer": gold}, [gold[:kept] + END])
    assert scores["exact_match"] == scores["teacher_forced_match"] == 0.0
    assert scores["character_accuracy"] == pytest.approx(kept / len(gold))


def test_space_is_no_letter_and_is_not_stripped() -> None:
    assert read_answer(" abc .") == " abc "
    assert score({"answer": "abc"}, [" abc."])["exact_match"] == 0.0


def test_what_teacher_forcing_finds_is_what_greedy_decoding_begins_with(letters_checkpoint: str) -> None:
    lm = HFLM(letters_checkpoint, device="cpu", dtype="float32", batch_size=4)
    prompts = [string_copy.draw_example(1234, 12, index).prompt for index in range(24)]
    options = {"until": ["<|endoftext|>"], "do_sample": False, "max_gen_toks": 13}
    written = lm.generate_until([Instance("generate_until", {}, (prompt, options), 0) for prompt in prompts])
    # Of every third, the model's own letters are the gold ones; of the others, one letter is another.
    golds = [
        text[:12] if index % 3 == 0 else text[: index % 12] + ("a" if text[index % 12] != "a" else "b") + text[:5]
        for index, text in enumerate(written)
    ]
    requests = [Instance("loglikelihood", {}, (prompt, gold), 0) for prompt, gold in zip(prompts, golds, strict=True)]
    forced = [float(is_greedy) for _, is_greedy in lm.loglikelihood(requests)]
    assert forced == [teacher_forced_match(text, gold) for text, gold in zip(written, golds, strict=True)]
    assert 0 < sum(forced) < len(forced)


def test_each_group_holds_its_lengths_and_synthetic_all_of_them() -> None:
    manager = TaskManager(include_path=TASKS, include_defaults=False, metadata={"num_samples": 1})
    for group, (lengths, _) in DRAW.items():
        assert list(manager.load([group])["tasks"]) == [f"{group}_{length}" for length in lengths]
    assert set(manager.load(["synthetic"])["tasks"]) == {name for name, _, _ in EVERY_TASK}


def test_every_task_asks_the_examples_of_its_name() -> None:
    for name, task in load(["synthetic"], num_samples=2).items():
        group, length = name.rsplit("_", 1)
        expected = [DRAW[group][1](int(length), index) for index in range(2)]
        docs = list(task.test_docs())
        assert [doc["prompt"] for doc in docs] == [example.prompt for example in expected], name
        assert [doc["answer"] + END for doc in docs] == [example.answer for example in expected], name
        assert [doc.get("depth") for doc in docs] == [example.depth for example in expected], name
        assert task.config.target_delimiter == "", name


def test_no_right_answer_is_cut_and_no_longer_one_passes_for_it() -> None:
    for name, task in load(["synthetic"], num_samples=30).items():
        most = task.config.generation_kwargs["max_gen_toks"]
        assert most == max(len(doc["answer"]) for doc in task.test_docs()) + len(END), name
        assert task.config.generation_kwargs["until"] == [END]


def test_the_prompts_of_every_task_have_the_fingerprint_in_the_readmes() -> None:
    pinned: dict[str, str] = {}
    for folder in FOLDERS:
        readme = (TASKS / folder / "README.md").read_text()
        pinned |= dict(re.findall(r"^\| `(\w+)` \| `([0-9a-f]{64})` \|$", readme, re.MULTILINE))
    tasks = load(["synthetic"])
    assert {name: task.config.metadata["prompts_sha256"] for name, task in tasks.items()} == pinned


def test_fifty_samples_are_the_first_of_two_hundred_and_another_seed_gives_others() -> None:
    for name in SHORT:
        prompts = [
            [doc["prompt"] for doc in load([name], **settings)[name].test_docs()]
            for settings in ({}, {"num_samples": "50"}, {"num_samples": 50, "data_seed": 7})
        ]
        assert len(prompts[0]) == 200
        assert prompts[0][:50] == prompts[1]
        assert not set(prompts[1]) & set(prompts[2])


def test_the_bits_that_a_task_states_are_those_of_its_generator() -> None:
    letter, three = math.log2(len(LETTERS)), ngram_lookup.FOLLOWING * math.log2(len(LETTERS))
    expected: dict[str, Callable[[int], tuple[float, float | None]]] = {
        "string_copy": lambda length: (length * letter, None),
        "string_copy_duplicates": lambda length: ((50 - length) * letter, None),
        "ngram_prefix": lambda _: (three, None),
        "ngram_suffix": lambda length: (length * letter, three),
        "mqar": lambda pairs: (pairs * math.log2(len(mqar.VALUE_LETTERS)), None),
    }
    for name, task in load(["synthetic"], num_samples=1).items():
        group, length = name.rsplit("_", 1)
        material, asked = expected[group](int(length))
        stated = task._description
        assert stated.material_bits.at(int(length)) == pytest.approx(material)
        assert (stated.asked_bits and stated.asked_bits.at(int(length))) == (asked and pytest.approx(asked))


def test_a_perfect_model_scores_one_in_every_task() -> None:
    run = evaluate(answer, ["synthetic"], {"num_samples": 5}, bootstrap_iters=10)
    results = run["results"]
    for name, _, _ in EVERY_TASK:
        assert run["configs"][name]["metadata"]["copy_eval"]["material_bits"].keys() == {"each", "besides"}
        assert {results[name][f"{metric},none"] for metric in METRICS} == {1.0}, name


def test_a_model_that_never_stops_matches_as_under_teacher_forcing_alone() -> None:
    task = evaluate(lambda prompt: answer(prompt)[:10] + "a" * 5, ["string_copy_10"], {"num_samples": 5})
    scores = task["results"]["string_copy_10"]
    assert [scores[f"{metric},none"] for metric in METRICS] == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("adapter", ["hf", "pythia"])
def test_a_model_of_letters_runs_through_every_group(adapter: str, letters_checkpoint: str) -> None:
    arguments = {"pretrained": letters_checkpoint, "dtype": "float32"}
    results = evaluate(
        adapter, SHORT, arguments | {"num_samples": 4}, model_args=arguments, device="cpu", batch_size=4,
        bootstrap_iters=10,
    )  # fmt: skip
    for name in SHORT:
        scores = results["results"][name]
        assert scores["exact_match,none"] <= scores["teacher_forced_match,none"] <= 0.25
        assert 0.0 <= scores["character_accuracy,none"] < 0.5
        assert all(set(sample["filtered_resps"][0]) <= set(CHARACTERS) for sample in results["samples"][name])


@pytest.mark.parametrize(("adapter", "checkpoint"), [("pythia", "tiny-pythia"), ("mamba_ssm", "tiny-mamba")])
def test_the_packaged_checkpoints_run_through_every_group(adapter: str, checkpoint: str) -> None:
    results = evaluate(
        adapter, SHORT, {"num_samples": 4}, model_args={"pretrained": checkpoint}, device="cpu", batch_size=4,
        bootstrap_iters=10,
    )  # fmt: skip
    for name in SHORT:
        assert 0.0 <= results["results"][name]["character_accuracy,none"] <= 1.0
        samples = results["samples"][name]
        assert len(samples) == 4
        assert not any(END in sample["filtered_resps"][0] for sample in samples)
        assert [sample["arguments"][0][0] for sample in samples] == [sample["doc"]["prompt"] for sample in samples]


@pytest.mark.parametrize(
    ("base", "kwargs", "message"),
    [
        ("string_copy", "{length: 0}", "length must be a whole number of at least 1, not 0"),
        ("string_copy", "{length: 9, variant: duplicate}", "unknown string_copy variant 'duplicate': choose one of"),
        ("string_copy", "{length: 9, variant: duplicates}", "string_length must be a whole number of at least 1, not"),
        ("string_copy", "{length: 9, variant: duplicates, string_length: 17}", "17 letters cannot hold an n-gram of 9"),
        ("ngram_lookup", "{length: 3, variant: prefix}", "length must be a whole number of at least 4, not 3"),
        ("ngram_lookup", "{length: 9, variant: infix}", "unknown ngram_lookup variant 'infix'"),
        ("mqar", "{length: 170}", "170 pairs need as many different keys, but there are 169"),
    ],
)
def test_a_users_own_length_is_checked(tmp_path: Path, base: str, kwargs: str, message: str) -> None:
    common = TASKS / base / f"_{base}_yaml"
    (tmp_path / "own.yaml").write_text(f"include: {common}\ntask: own_task\ndataset_kwargs: {kwargs}\n")
    with pytest.raises(UserError, match=re.escape(message)):
        TaskManager(include_path=tmp_path, include_defaults=False).load(["own_task"])


def test_the_examples_on_the_documentations_page_are_examples_with_their_answers() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text()
    block = next(
        block for block in re.findall(r"```text\n(.*?)```", page, re.DOTALL) if block.startswith("string_copy")
    )
    shown = {group: (prompt, answer) for group, prompt, answer in map(str.split, block.splitlines())}
    examples = {
        "string_copy": string_copy.draw_example(1234, 8, 0),
        "string_copy_duplicates": string_copy.draw_example(1234, 8, 0, repeated=3),
        "ngram_prefix": ngram_lookup.draw_example(1234, 12, 0, "prefix"),
        "ngram_suffix": ngram_lookup.draw_example(1234, 12, 0, "suffix"),
        "mqar": mqar.draw_example(1234, 4, 0),
    }
    assert shown == {group: (example.prompt, example.answer) for group, example in examples.items()}
    readmes = "".join((TASKS / folder / "README.md").read_text() for folder in FOLDERS)
    for prompt, answer in shown.values():
        assert f"\n{prompt}\n" in readmes
        assert f"`{answer.removesuffix(END)}`" in readmes or prompt == "$gkbzskbz|"
