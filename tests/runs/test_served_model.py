"""`copy-eval run` on a server: what is sent, what is refused, what is kept when the server dies, what errors say."""

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from copy_eval.over_context import OVER_CONTEXT
from copy_eval.packaged import PACKAGED
from copy_eval.runs.evaluator import run_suite
from copy_eval.runs.model_entries import ModelEntry
from copy_eval.runs.progress import CellEvent, Progress
from copy_eval.runs.served_model import arguments_for_server
from copy_eval.runs.suite import Suite
from tests.completions_server import Book, serve
from tests.runs.test_evaluator import reports, sample_lines

TASKS = ("phonebook_copy_10", "phonebook_copy_20")


def suite_at(address: str, tasks: tuple[str, ...] = TASKS, batch_size: int = 1, **model_args: Any) -> Suite:
    given = {"tokenized_requests": False, "max_retries": 1, **model_args}
    entry = ModelEntry(
        "tiny", "local-completions", "tiny-pythia", base_url=address, batch_size=batch_size, model_args=given
    )
    return Suite("served", (entry,), tasks, {"num_samples": 4})


def accuracies(out: Path) -> dict[str, float | str]:
    return {task: report["results"][task]["exact_match,none"] for task, report in reports(out / "tiny").items()}


def failures(suite: Suite, out: Path, told: list[CellEvent] | None = None) -> list[CellEvent]:
    """Run a suite; ``told`` gets what is told of its cells while they run."""

    class Heard(Progress):
        def on_event(self, event: CellEvent) -> None:
            if told is not None and event.state == "running":
                told.append(event)
            super().on_event(event)

    with Heard() as progress:
        return run_suite(suite, out, progress)


@pytest.mark.parametrize("given", [{}, {"num_concurrent": 3}, {"batch_size": 3}], ids=str)
def test_a_server_answers_for_a_packaged_checkpoint(given: Mapping[str, int], tmp_path: Path) -> None:
    book = Book()
    with serve(book) as address:
        assert failures(suite_at(address, **given), tmp_path / "out") == []
    assert accuracies(tmp_path / "out") == dict.fromkeys(TASKS, 1.0)
    assert {asked["model"] for asked in book.asked} == {str(PACKAGED / "tiny-pythia")}
    assert not (tmp_path / "out" / ".answers" / "tiny" / "phonebook_copy_10.jsonl").exists()


@pytest.mark.parametrize(
    ("pretrained", "named"),
    [("tiny-pythia", str(PACKAGED / "tiny-pythia")), (".", "."), ("..", ".."), ("served-name", None)],
)
def test_the_tokenizer_is_that_of_the_checkpoint_where_it_is_on_this_machine(
    pretrained: str, named: str | None
) -> None:
    arguments = arguments_for_server("local-completions", {"pretrained": pretrained})
    assert arguments.get("tokenizer") == named


def test_the_name_that_the_server_knows_a_model_by_may_be_another(tmp_path: Path) -> None:
    book = Book()
    with serve(book) as address:
        assert failures(suite_at(address, TASKS[:1], model="served-name"), tmp_path / "out") == []
    assert {asked["model"] for asked in book.asked} == {"served-name"}


@pytest.mark.parametrize("given", [{}, {"num_concurrent": 2}], ids=str)
def test_a_server_that_dies_takes_no_answer_along_and_the_next_run_goes_on(
    given: Mapping[str, int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    dying = Book(fails_after=6)  # in the midst of the second task
    with serve(dying) as address:
        suite = suite_at(address, **given)
        failed = failures(suite, out)
        assert [event.cell.task for event in failed] == ["phonebook_copy_20"]
        [line] = [line for line in capfd.readouterr().err.splitlines() if "FAILED" in line or "xception" in line]
        assert "cannot be reached" in line
        assert "the same command goes on" in line
        [answers] = (out / ".answers" / "tiny").iterdir()
        kept = len(answers.read_text().splitlines())
        with answers.open("a") as stream:
            stream.write('{"request": "what a kill leav')
        assert kept == 2 if not given else 1 <= kept <= 2  # the other one may be under way when the connection breaks
        dying.fails_after = None
        before = dying.prompts
        assert failures(suite, out, told := []) == []
    assert [event.answered for event in told] == [0, *range(kept, 5)]
    assert dying.prompts - before == 4 - kept
    assert accuracies(out) == dict.fromkeys(TASKS, 1.0)
    assert [json.loads(line)["doc_id"] for line in sample_lines(out / "tiny", "phonebook_copy_20")] == [0, 1, 2, 3]


def test_kept_answers_are_those_of_the_same_model_alone(tmp_path: Path) -> None:
    dying = Book(fails_after=2)
    with serve(dying) as address:
        assert failures(suite_at(address, TASKS[:1]), tmp_path / "out")
        dying.fails_after = None
        assert failures(suite_at(address, TASKS[:1], model="another"), tmp_path / "out") == []
    assert dying.prompts == 2 + 4


def test_a_server_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    book = Book()
    book.answers.clear()
    with serve(book) as address:
        failed = failures(suite_at(address, num_concurrent=2, timeout=1), tmp_path / "out")
        book.answers.set()
    assert [event.whole_model for event in failed] == [True, True]
    assert failed[0].reason.startswith(f"the server at {address} took too long; its answers so far are kept")


@pytest.mark.parametrize("given", [{}, {"num_concurrent": 2}], ids=str)
def test_answers_that_cannot_be_kept_are_one_line(given: Mapping[str, int], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".answers").touch()
    with serve(Book()) as address:
        [failed] = failures(suite_at(address, TASKS[:1], **given), tmp_path / "out")
    assert failed.reason == f"cannot write {tmp_path}/out/.answers/tiny/{TASKS[0]}.jsonl: Not a directory"
    assert not failed.details


def test_a_server_that_is_not_there_is_told_of_once_for_all_its_tasks(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:  # so that no other server takes the port meanwhile
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/v1/completions"
        failed = failures(suite_at(address), tmp_path / "out")
    assert [(event.cell.task, event.whole_model) for event in failed] == [(task, True) for task in TASKS]
    [line] = [line for line in capfd.readouterr().err.splitlines() if "FAILED" in line]
    assert f"the server at {address} cannot be reached" in line


@pytest.mark.parametrize("tokens", [True, False])
@pytest.mark.parametrize("given", [{}, {"num_concurrent": 2}], ids=str)
def test_what_exceeds_max_length_is_refused_and_not_sent(
    tokens: bool, given: Mapping[str, int], tmp_path: Path
) -> None:
    book = Book(said=json.dumps({"choices": [{"index": 0, "text": " 1"}]}))
    tasks = ("phonebook_copy_10", "phonebook_copy_80")
    with serve(book) as address:
        suite = suite_at(address, tasks, tokenized_requests=tokens, max_length=700, **given)
        assert failures(suite, tmp_path / "out") == []
    assert accuracies(tmp_path / "out") == {"phonebook_copy_10": 0.0, "phonebook_copy_80": OVER_CONTEXT}
    assert len(book.asked) == 4
    report = reports(tmp_path / "out" / "tiny")["phonebook_copy_80"]
    assert report["configs"]["phonebook_copy_80"]["metadata"]["context_checked"] is True
    for line in sample_lines(tmp_path / "out" / "tiny", "phonebook_copy_80"):
        assert "the model takes 699" in json.loads(line)["resps"][0][0]


def test_without_max_length_a_text_is_left_to_the_server(tmp_path: Path) -> None:
    book = Book()
    with serve(book) as address:
        assert failures(suite_at(address, ("phonebook_copy_160",)), tmp_path / "out") == []
    assert len(book.asked) == 4
    [report] = reports(tmp_path / "out" / "tiny").values()
    assert report["configs"]["phonebook_copy_160"]["metadata"]["context_checked"] is False


@pytest.mark.parametrize(
    ("book", "said"),
    [
        (Book(status=400, said="no room for\n9 tokens"), "answered with status 400: no room for 9 tokens"),
        (Book(status=404, said="Not Found"), "base_url is the whole address"),
        (Book(said="<html>"), "did not answer with a completion for each prompt"),
        (Book(said='{"error": "busy"}'), "did not answer with a completion for each prompt"),
        (Book(choices=0), "did not answer with a completion for each prompt"),
    ],
)
@pytest.mark.parametrize("given", [{}, {"num_concurrent": 2}], ids=str)
def test_what_a_server_refuses_is_told_in_one_line(
    book: Book, said: str, given: Mapping[str, int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with serve(book) as address:
        failed = failures(suite_at(address, **given), tmp_path / "out")
    assert [event.cell.task for event in failed] == list(TASKS)  # another task may go through
    for event in failed:
        assert said in event.reason
        assert not event.details
    lines = capfd.readouterr().err.splitlines()
    assert len([line for line in lines if "FAILED" in line]) == 2
    assert not [line for line in lines if "retrying" in line.lower() or "Traceback" in line]


@pytest.mark.parametrize("given", [{}, {"num_concurrent": 2}], ids=str)
@pytest.mark.parametrize(
    ("choices", "batch_size"),
    [
        ([{"index": 0, "text": None}], 1),
        ([{"index": 0, "text": " 1"}, {"index": 0, "text": " 2"}], 2),
        ([{"index": 0, "text": " 1"}], 2),
    ],
    ids=["no text", "one index for two", "too few"],
)
def test_a_completion_that_is_missing_is_no_empty_answer(
    choices: list[dict[str, Any]], batch_size: int, given: Mapping[str, int], tmp_path: Path
) -> None:
    with serve(Book(said=json.dumps({"choices": choices}))) as address:
        [failed] = failures(suite_at(address, TASKS[:1], batch_size, **given), tmp_path / "out")
    assert "did not answer with a completion for each prompt" in failed.reason
    assert not failed.details
    assert not reports(tmp_path / "out" / "tiny")


def test_a_request_that_fails_is_tried_again(tmp_path: Path) -> None:
    book = Book(fails_after=2, failures=1)
    with serve(book) as address:
        assert failures(suite_at(address, TASKS[:1], max_retries=2), tmp_path / "out") == []
    assert accuracies(tmp_path / "out") == {TASKS[0]: 1.0}
    assert (len(book.asked), book.prompts) == (5, 4)
