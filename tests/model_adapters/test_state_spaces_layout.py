import json

import pytest
import torch
from transformers import Mamba2Config, MambaConfig

from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.state_spaces_layout import translate_back, translate_config, write_state_spaces
from tests.model_adapters.support import PROMPTS, logits_after_each


def test_the_config_of_a_published_mamba2_is_translated():
    published = {
        "d_model": 768, "d_intermediate": 0, "n_layer": 24, "vocab_size": 50277, "ssm_cfg": {"layer": "Mamba2"},
        "attn_layer_idx": [], "attn_cfg": {}, "rms_norm": True, "residual_in_fp32": True, "fused_add_norm": True,
        "pad_vocab_size_multiple": 16, "tie_embeddings": True,
    }  # fmt: skip
    config = json.loads(translate_config(published, "x").to_json_string())
    expected = {
        "vocab_size": 50288,
        "num_heads": 24,
        "head_dim": 64,
        "n_groups": 1,
        "state_size": 128,
        "chunk_size": 256,
    }
    assert {key: config[key] for key in expected} == expected


def test_a_model_that_is_written_in_the_layout_is_the_same_when_it_is_loaded(mamba_folder, tmp_path):
    loaded = MambaLM(pretrained=str(mamba_folder), device="cpu")
    write_state_spaces(loaded.model, tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)

    again = MambaLM(pretrained=str(tmp_path), device="cpu")

    config = json.loads((tmp_path / "config.json").read_text())
    assert translate_back(translate_config(config, "x")) == config
    assert torch.equal(logits_after_each(again, PROMPTS[0]), logits_after_each(loaded, PROMPTS[0]))


@pytest.mark.parametrize(
    "config",
    [MambaConfig(layer_norm_epsilon=1e-6), MambaConfig(hidden_act="gelu"), Mamba2Config(time_step_limit=(0.0, 0.1))],
)
def test_what_mamba_ssm_cannot_express_stays_in_transformers(config):
    assert translate_back(config) is None
