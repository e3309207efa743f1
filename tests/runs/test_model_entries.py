"""The models of a suite: folders by a pattern, revisions, and several GPUs."""

from dataclasses import replace

import pytest

from copy_eval.errors import UserError
from copy_eval.runs.model_entries import ModelEntry, spread_over_gpus
from copy_eval.runs.suite import dump_suite, load_suite
from tests.runs.conftest import make_checkpoints


def test_a_pattern_is_a_model_for_each_folder_in_natural_order(write, tmp_path):
    make_checkpoints(tmp_path / "runs", "step1000", "step512", "step64")
    suite = load_suite(write("models: [{adapter: pythia, pretrained: runs/step*}]\ntasks: phonebook_copy"), {})
    assert [model.name for model in suite.models] == ["step64", "step512", "step1000"]
    assert suite.models[0].pretrained == str(tmp_path / "runs" / "step64")


def test_models_of_a_pattern_are_told_apart_by_all_that_it_leaves_open_and_by_the_name(write, tmp_path):
    make_checkpoints(tmp_path, "runs/a/final", "runs/b/final")
    text = "models: [{name: mine, adapter: hf, pretrained: ./runs/*/final}]\ntasks: phonebook_copy"
    assert [model.name for model in load_suite(write(text), {}).models] == ["mine-a/final", "mine-b/final"]


def test_a_folder_without_a_checkpoint_is_named(write, tmp_path):
    make_checkpoints(tmp_path, "runs/step1")
    (tmp_path / "runs" / "logs").mkdir()
    with pytest.raises(UserError, match=r"suite\.yaml:1: pretrained=runs/\*: .*/runs/logs has no config.json"):
        load_suite(write("models: [{adapter: pythia, pretrained: runs/*}]\ntasks: phonebook_copy"), {})


def test_a_folder_has_no_revisions(write, tmp_path):
    make_checkpoints(tmp_path, "mine")
    with pytest.raises(UserError, match=r"suite\.yaml:1: a folder has no revisions"):
        load_suite(write("models: [{adapter: hf, pretrained: mine, revision: step1}]\ntasks: phonebook_copy"), {})


@pytest.mark.parametrize(
    ("entry", "model_args"),
    [
        (ModelEntry("a", "pythia", "a"), {}),
        (ModelEntry("a", "pythia", "a", gpus=0.5), {}),
        (ModelEntry("a", "vllm", "a", gpus=1), {}),
        (ModelEntry("a", "pythia", "a", gpus=2), {"parallelize": True}),
        (ModelEntry("a", "hf", "a", gpus=2.0, model_args={"draft": 0}), {"parallelize": True, "draft": 0}),
        (ModelEntry("a", "vllm", "a", gpus=4.0), {"tensor_parallel_size": 4}),
        (ModelEntry("a", "sglang", "a", gpus=2, model_args={"tp_size": 1}), {"tp_size": 1}),
    ],
)
def test_a_model_with_several_gpus_is_spread_over_them(entry, model_args):
    assert spread_over_gpus(entry) == replace(entry, model_args=model_args)


SERVED = "adapter: local-completions, pretrained: gpt2"


def test_a_server_has_an_address_which_a_written_suite_keeps(write):
    text = f"models: [{{{SERVED}, base_url: 'http://localhost:8000/v1/completions'}}]\ntasks: phonebook_copy"
    suite = load_suite(write(text), {})
    [model] = suite.models
    assert model.arguments(None) == {"pretrained": "gpt2", "base_url": "http://localhost:8000/v1/completions"}
    assert load_suite(write(dump_suite(suite)), {}) == suite


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (SERVED, "1: local-completions needs base_url, such as http://localhost:8000/v1/completions"),
        (f"{SERVED}, base_url: 'localhost:8000'", "1: base_url=localhost:8000: write the whole address"),
        ("adapter: hf, pretrained: gpt2, base_url: 'http://x/v1'", "1: hf asks no server: base_url goes with"),
        (
            "adapter: hf, pretrained: gpt2, model_args: {base_url: 'http://x'}",
            "1: base_url stands beside model_args, not in it",
        ),
    ],
)
def test_an_address_that_is_missing_or_out_of_place_is_one_line(write, model, line):
    file = write(f"models: [{{{model}}}]\ntasks: phonebook_copy")
    with pytest.raises(UserError) as caught:
        load_suite(file, {})
    assert str(caught.value).startswith(f"{file}:{line}")
