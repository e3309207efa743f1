"""The recipes of the packaged checkpoints, on the texts of conftest."""

import csv
import json
from dataclasses import replace

import pytest
import torch

from copy_eval.cli import main
from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.training import packaged_checkpoints, trainer
from copy_eval.training.packaged_checkpoints import build_mamba, build_pythia, save_checkpoint, training_of
from copy_eval.training.trainer import train_model
from tests.training.conftest import CORPUS
from tests.training.test_scan import compiles

CPU = torch.device("cpu")


@pytest.mark.parametrize(("build", "adapter"), [(build_pythia, PythiaLM), (build_mamba, MambaLM)])
def test_an_adapter_loads_what_was_trained(build, adapter, tokenizer, tmp_path):
    torch.manual_seed(0)
    model = build(len(tokenizer)).half().float().eval()
    save_checkpoint(model, tokenizer, tmp_path / "it")
    loaded = adapter(str(tmp_path / "it"), device="cpu")
    prompt = "Olga Core: 9275516226\n\nOlga Core:"
    tokens = torch.tensor([loaded.tok_encode(prompt)])
    assert tokens[0].tolist() == tokenizer(prompt).input_ids
    with torch.no_grad():
        # A fresh model of transformers' own, without the compiled scan.
        expected = type(model)(model.config).eval()
        expected.load_state_dict(model.state_dict())
        torch.testing.assert_close(loaded.model(tokens).logits, expected(tokens).logits, rtol=1e-4, atol=1e-4)


def test_both_models_have_as_many_parameters():
    pythia, mamba = (
        sum(parameter.numel() for parameter in build(2048).parameters()) for build in (build_pythia, build_mamba)
    )
    assert abs(pythia - mamba) < 0.01 * mamba


LOSSES = [
    8.2325,
    8.099,
    8.0224,
    7.9227,
    7.6987,
    7.5914,
    7.3615,
    7.2169,
    7.0364,
    6.7069,
    6.5923,
    6.3639,
    6.1584,
    6.1057,
    6.0088,
    5.6407,
    5.9391,
    6.042,
    4.6748,
]


@pytest.fixture
def short_run(tokenizer, new_curriculum):
    """Return the recipe of tiny-pythia, with other texts and fewer tokens."""

    def build(total):
        return replace(
            training_of("tiny-pythia"),
            build=lambda: build_pythia(len(tokenizer)),
            begin=lambda: new_curriculum(total=total),
            save=lambda model, folder: save_checkpoint(model, tokenizer, folder),
            checkpoints={total: "tiny-pythia"},
        )

    return build


def test_the_losses_of_a_short_run_are_those_of_the_loop_that_trained_the_packaged_checkpoints(
    short_run, tokenizer, tmp_path, monkeypatch
):
    monkeypatch.setattr(trainer, "_STEPS_A_ROW", 1)
    train_model(short_run(70_000), tmp_path, CPU)
    rows = list(csv.DictReader((tmp_path / "training.csv").open()))
    # Other processors round bfloat16 otherwise; a wrong weight, rate or setting of AdamW moves them by more.
    assert [float(row["loss"]) for row in rows] == pytest.approx(LOSSES, rel=5e-3)
    assert int(rows[-1]["tokens"]) == 70_836
    assert PythiaLM(str(tmp_path / "tiny-pythia"), device="cpu").tok_encode("a") == tokenizer("a").input_ids


def test_a_killed_run_goes_on_to_the_weights_of_one_that_was_not(short_run, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "_SECONDS_BETWEEN_SAVES", 0.0)
    train_model(short_run(6000), tmp_path / "whole", CPU)
    measure, measured = trainer.measure, []

    def measure_until_killed(*arguments, **options):
        measured.append(arguments)
        if len(measured) > 3:
            raise KeyboardInterrupt
        return measure(*arguments, **options)

    monkeypatch.setattr(trainer, "measure", measure_until_killed)
    with pytest.raises(KeyboardInterrupt):
        train_model(short_run(6000), tmp_path / "killed", CPU)
    monkeypatch.setattr(trainer, "measure", measure)
    train_model(short_run(6000), tmp_path / "killed", CPU)
    whole, killed = (tmp_path / name / "tiny-pythia" / "model.safetensors" for name in ("whole", "killed"))
    assert killed.read_bytes() == whole.read_bytes()


@compiles
def test_a_recipe_writes_a_small_checkpoint_that_is_readable_for_all_and_its_card(
    tokenizer, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(packaged_checkpoints, "_read_texts", lambda: (CORPUS, tokenizer))
    recipe = packaged_checkpoints._RECIPES["tiny-mamba"]
    monkeypatch.setitem(packaged_checkpoints._RECIPES, "tiny-mamba", replace(recipe, tokens=3000))
    assert main(["train", "tiny-mamba", "--out", str(tmp_path)]) == 0
    folder = tmp_path / "tiny-mamba"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 5e6
    assert (folder / "model.safetensors").stat().st_mode & 0o444 == 0o444
    card = (folder / "README.md").read_text()
    assert "`copy-eval train tiny-mamba --out DIR` (seed 0)" in card
    assert "{" not in card
    assert json.loads((folder / "config.json").read_text())["ssm_cfg"]["layer"] == "Mamba1"
    capsys.readouterr()
    assert main(["train", "tiny-mamba", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("trained: 0, done before: 1")
    assert main(["train", "tiny-pythia", "--out", str(tmp_path)]) == 2
    assert "another experiment, with name 'tiny-mamba' and not 'tiny-pythia'" in capsys.readouterr().err
