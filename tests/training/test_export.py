import pytest
import torch

from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.training.export import export_checkpoint
from copy_eval.training.models import build_mamba, build_pythia


@pytest.mark.parametrize(("build", "adapter"), [(build_pythia, PythiaLM), (build_mamba, MambaLM)])
def test_an_adapter_loads_what_was_trained(build, adapter, tokenizer, tmp_path):
    torch.manual_seed(0)
    model = build(len(tokenizer)).half().float().eval()
    export_checkpoint(model, tokenizer, tmp_path)
    loaded = adapter(str(tmp_path), device="cpu")
    prompt = "Olga Core: 9275516226\n\nOlga Core:"
    tokens = torch.tensor([loaded.tok_encode(prompt)])
    assert tokens[0].tolist() == tokenizer(prompt).input_ids
    with torch.no_grad():
        # A fresh model of transformers' own, without the compiled scan.
        expected = type(model)(model.config).eval()
        expected.load_state_dict(model.state_dict())
        torch.testing.assert_close(loaded.model(tokens).logits, expected(tokens).logits, rtol=1e-4, atol=1e-4)


def test_a_checkpoint_stays_small_and_readable_for_all(tokenizer, tmp_path):
    export_checkpoint(build_mamba(len(tokenizer)), tokenizer, tmp_path)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 5e6
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o444 == 0o444
