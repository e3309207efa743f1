"""Verification from files: which prompts are paired, what is left out and said, and what cannot be compared."""

import json
from pathlib import Path
from typing import Any

import pytest

from copy_eval.cli import main
from copy_eval.errors import UserError
from copy_eval.over_context import OVER_CONTEXT, refuse_over_context
from copy_eval.verification.comparing import UNJUDGED
from copy_eval.verification.logged import read_logged, verify_logged, without_stop

GREEDY = {"until": ["\n"], "do_sample": False, "max_gen_toks": 8}


def log(folder: Path, texts: list[str], task: str = "book", date: str = "2026-11-21T20-00-00", **changes: Any) -> Path:
    """Write answers to the prompts "0:", "1:" and so on as lm-eval logs them."""
    given = {
        "gen_kwargs": GREEDY,
        "exact_match": 1.0,
        "prompts": [f"{index}:" for index in range(len(texts))],
    } | changes
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps(
            {
                "doc_id": index,
                "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": given["gen_kwargs"]}},
                "resps": [[text]],
                "metrics": ["exact_match"],
                "exact_match": given["exact_match"],
            }
        )
        for index, (prompt, text) in enumerate(zip(given["prompts"], texts, strict=True))
    ]
    (folder / f"samples_{task}_{date}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize(
    ("text", "until", "expected"),
    [
        (" 12\n", ["\n"], " 12"),
        (" 12\n\n", ["\n"], " 12"),
        (" 12", ["\n"], " 12"),
        (" 12\n13", ["\n"], " 12\n13"),
        ("", ["\n"], ""),
        ("\n", ["\n"], ""),
        (" 1. ", [".", "\n"], " 1"),
        (" 1.\n", ["\n", "."], " 1"),
        (" 12\n", [], " 12\n"),
        (" 12\n", [""], " 12\n"),
    ],
)
def test_a_stop_sequence_at_the_end_is_no_difference_and_text_after_it_is(
    text: str, until: list[str], expected: str
) -> None:
    assert without_stop(text, until) == expected


def test_equal_answers_are_equal_task_by_task_whatever_the_folders_are_called(tmp_path: Path) -> None:
    for side in ("reference", "engine"):
        log(tmp_path / side / "model" / side, [" 1", " 2\n"])
        log(tmp_path / side / "model" / side, [" 3"], task="copy_8k")
    found = verify_logged(tmp_path / "reference", tmp_path / "engine")
    assert [(row.way, row.total, row.equal) for row in found.comparisons] == [("book", 2, 2), ("copy_8k", 1, 1)]
    assert found.notes == ()
    assert found.exit_code == 0


def test_without_a_model_a_difference_is_unjudged_counts_as_diverged_and_says_so(tmp_path: Path) -> None:
    reference, engine = log(tmp_path / "a", [" 1", " 2"]), log(tmp_path / "b", [" 1", " 3"])
    found = verify_logged(reference, engine)
    [difference] = found.comparisons[0].differences
    assert (difference.request, difference.verdict) == ("book 1", UNJUDGED)
    assert found.exit_code == 1
    assert "--pretrained" in found.notes[0]


def test_the_last_of_several_runs_of_a_task_counts(tmp_path: Path) -> None:
    log(tmp_path / "a", [" 1"], date="2026-11-21T20-00-00")
    log(tmp_path / "a", [" 2"], date="2026-11-22T20-00-00")
    assert [answer.text for answer in read_logged(tmp_path / "a")] == [" 2"]


def test_prompts_are_paired_by_what_was_asked_and_not_by_their_place(tmp_path: Path) -> None:
    reference = log(tmp_path / "a", [" 1", " 2", " 3", " 4"], prompts=["x:", "y:", "y:", "z:"])
    engine = log(tmp_path / "b", [" 2", " 3", " 1", " 5"], prompts=["y:", "y:", "x:", "only here:"])
    found = verify_logged(reference, engine)
    assert (found.comparisons[0].total, found.comparisons[0].equal) == (3, 3)
    assert found.notes == (
        f"left out: 1 prompt asked of {reference} alone",
        f"left out: 1 prompt asked of {engine} alone",
    )


@pytest.mark.parametrize(
    ("changes", "texts", "said"),
    [
        ({"exact_match": OVER_CONTEXT}, [" 1"], "over the context"),
        ({}, [refuse_over_context(9, 8)], "over the context"),
        ({"gen_kwargs": GREEDY | {"do_sample": True}}, [" 1"], "answered at random"),
        ({"gen_kwargs": GREEDY | {"temperature": 0.7}}, [" 1"], "answered at random"),
        ({"gen_kwargs": GREEDY | {"max_gen_toks": 9}}, [" 1"], "alone"),
        ({"prompts": ["other:"]}, [" 1"], "alone"),
    ],
)
def test_where_no_prompt_is_left_nothing_passes_for_equal(
    changes: dict[str, Any], texts: list[str], said: str, tmp_path: Path
) -> None:
    reference, engine = log(tmp_path / "a", [" 1"]), log(tmp_path / "b", texts, **changes)
    with pytest.raises(UserError, match=f"no answers to the same prompts .*{said}"):
        verify_logged(reference, engine, load=pytest.fail)  # nor does it take the time to load a model


def test_a_task_with_control_characters_in_its_name_is_shown_with_escapes(tmp_path: Path) -> None:
    [row] = verify_logged(*(log(tmp_path / name, [" 1"], task="\x1b[31mbook") for name in "ab")).comparisons
    assert row.way == "\\x1b[31mbook"


def test_a_single_stop_sequence_is_one_and_not_its_letters(tmp_path: Path) -> None:
    [answer] = read_logged(log(tmp_path / "a", [" 1END"], gen_kwargs=GREEDY | {"until": "END"}))
    assert (answer.request.until, answer.text) == (("END",), " 1")


def test_scored_choices_are_passed_over(tmp_path: Path) -> None:
    assert read_logged(log(tmp_path / "a", [" 1"], gen_kwargs=" a choice")) == []


@pytest.mark.parametrize(
    ("limits", "most"),
    [({}, 256), ({"max_new_tokens": 9}, 9), ({"max_tokens": 9}, 9), ({"max_gen_toks": 8, "max_tokens": 9}, 8)],
)
def test_the_limit_on_an_answer_goes_by_the_names_that_lm_eval_knows(
    limits: dict[str, int], most: int, tmp_path: Path
) -> None:
    [answer] = read_logged(log(tmp_path / "a", [" 1"], gen_kwargs={"until": ["\n"], **limits}))
    assert answer.request.most == most


@pytest.mark.parametrize(
    "changes",
    [
        {"gen_kwargs": GREEDY | {"max_gen_toks": 0}},
        {"gen_kwargs": GREEDY | {"max_gen_toks": float("inf")}},
        {"prompts": [["messages of a chat"]]},
    ],
    ids=str,
)
def test_what_cannot_have_been_asked_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 1: not a sample"):
        read_logged(log(tmp_path / "a", [""], **changes))


@pytest.mark.parametrize("line", ["{", "[]", '{"doc_id": 1}', '{"arguments": {"gen_args_0": {}}}'])
def test_a_file_that_is_not_lm_evals_is_named_with_the_line(line: str, tmp_path: Path) -> None:
    file = log(tmp_path / "a", [" 1"]) / "samples_book_2026-11-21T20-00-00.jsonl"
    with file.open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(UserError, match=r"2026-11-21T20-00-00\.jsonl, line 2: not a sample as lm-eval logs it"):
        read_logged(tmp_path / "a")


def test_what_a_file_calls_a_prompt_cannot_steer_a_terminal(tmp_path: Path) -> None:
    file = next(log(tmp_path, [" 1"]).iterdir())
    file.write_text(file.read_text().replace('"doc_id": 0', '"doc_id": "\\u001b[2J\\n"'))
    [answer] = read_logged(tmp_path)
    assert answer.request.name == r"book \x1b[2J\n"


def test_a_folder_without_samples_or_with_several_models_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="--log_samples"):
        read_logged(tmp_path / "empty")
    log(tmp_path / "two" / "a", [" 1"])
    log(tmp_path / "two" / "b", [" 1"])
    with pytest.raises(UserError, match=r"several models: name one of .*two/a, .*two/b"):
        read_logged(tmp_path / "two")


BOOK = "Ann Lee: 8123456789\nBob Ray: 7098765432\nEve Fox: 6012345678\n\nAnn Lee: 8123456789\n\nBob Ray:"
JUDGE = ["--model", "pythia", "--pretrained", "tiny-pythia", "--dtype", "float32"]


@pytest.mark.parametrize(
    ("said", "judged", "code"),
    [
        (" 7098765432", False, 0),
        (" 7098765432\n", False, 0),
        (" 7098765433", False, 1),
        (" 7098765433", True, 1),
        (" 709876543", True, 1),
        (" 7098765432\n\nAnn", True, 1),
    ],
    ids=["equal", "with its stop sequence", "unjudged", "wrong", "cut", "goes on"],
)
def test_the_command_says_what_differs_and_its_exit_code_is_the_verdict(
    said: str, judged: bool, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"prompts": [BOOK], "gen_kwargs": GREEDY | {"max_gen_toks": 32}}
    folders = [str(log(tmp_path / name, [text], **given)) for name, text in (("a", " 7098765432"), ("b", said))]
    junit = tmp_path / "verify.xml"
    arguments = ["verify", *folders, *(JUDGE if judged else []), "--format", "json", "--junit", str(junit)]
    assert main(arguments) == code
    content = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert content["verdict"] == ("diverged" if code else "equal")
    assert [difference["verdict"] for way in content["ways"] for difference in way["differences"]] == (
        [] if code == 0 else ["diverged"] if judged else ["unjudged"]
    )
    assert ("<failure" in junit.read_text()) is (code == 1)


def test_one_folder_or_three_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path)]) == 2
    assert capsys.readouterr().err.strip().endswith("those of the reference and those of the engine")
