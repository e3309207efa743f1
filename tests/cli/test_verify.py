import json
from xml.etree import ElementTree

import pytest

from copy_eval.cli import main
from copy_eval.model_adapters import decoding
from copy_eval.verification import prompts

TINY = ["verify", "--model", "pythia", "--pretrained", "tiny-pythia", "--model-args", "device=cpu"]


@pytest.fixture(autouse=True)
def few_requests(monkeypatch):
    """Some requests only, for the time of the tests."""
    some = [each for each in prompts.make_requests() if each.name in ("phonebook 1", "string 1", "slip 1")]
    monkeypatch.setattr(prompts, "make_requests", lambda: some)


def test_a_sound_model_is_exit_code_0_with_a_table_and_the_way_at_work_on_stderr(capsys):
    assert main(TINY) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("copy-eval verify: EQUAL, the answers of 8 ways")
    assert "all together, bfloat16" in printed.out
    assert " s] drafts\n" in printed.err
    assert "Loading weights" not in printed.err


def test_a_fault_is_exit_code_1_and_stands_in_json_and_in_the_junit_file(tmp_path, monkeypatch, capsys):
    sound = decoding._Row.take
    # Whatever was drafted stands, which the test that a model runs when it is loaded cannot see.
    monkeypatch.setattr(
        decoding._Row, "take", lambda row, choices: sound(row, [*row.draft[: len(choices) - 1], choices[-1]])
    )
    junit = tmp_path / "verify.xml"
    assert main([*TINY, "--format", "json", "--junit", str(junit)]) == 1
    content = json.loads(capsys.readouterr().out)
    diverged = [way["way"] for way in content["ways"] if way["diverged"]]
    assert "drafts" in diverged
    assert "batch" not in diverged
    failed = [
        case.get("name") for case in ElementTree.parse(junit).iter("testcase") if case.find("failure") is not None
    ]
    assert failed == diverged


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "mamba_ssm"], "say what to verify: --pretrained missing"),
        (["results/reference"], "name two folders of logged samples"),
        (["--model", "vllm", "--pretrained", "x"], "--model vllm: the ways of mamba_ssm, pythia, copy_hf, "),
        ([*TINY[1:], "--batch-size", "1"], "--batch-size 1: a batch has at least 2 prompts"),
        (["--model", "pythia", "--pretrained", "./nowhere"], "pretrained=./nowhere: no such folder"),
        ([*TINY[1:], "--dtype", "float31"], "'float31'"),
        ([*TINY[1:-1], "think_end_token=5"], "think_end_token takes the reasoning out of answers"),
    ],
)
def test_what_cannot_be_run_is_one_line_and_exit_code_2(arguments, message, capsys):
    assert main(["verify", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
