"""A fast selection of the zoo; ``make zoo`` answers with all of it."""

import pytest

from tests.model_adapters import zoo

_FAST = [
    "gpt_neox", "gpt2", "llama", "bloom", "mpt", "falcon", "mistral", "gemma3_text", "gpt_oss", "qwen3_moe", "opt",
    "deepseek_v3", "falcon_h1", "qwen3_next", "mamba2", "gptj", "gpt_neo", "phi3 with longrope",
    "big_bird in full attention",
]  # fmt: skip


@pytest.mark.parametrize("name", [name for name in _FAST if name not in zoo.NOT_YET])
def test_a_batch_with_drafts_answers_like_each_prompt_alone(name, tmp_path):
    kind = next(kind for kind in zoo.list_kinds() if kind.name == name)
    zoo.write_checkpoint(kind, tmp_path)

    finding = zoo.examine(tmp_path, zoo.make_prompts()[::3], most=20, **kind.options)

    assert finding.outcome == "equal", finding.note
    assert finding.varied > 4, "answers that are all alike would compare nothing"


def test_a_sparse_attention_that_a_short_text_turns_off_for_good_is_refused_in_one_line(tmp_path):
    kind = next(kind for kind in zoo.list_kinds() if kind.name == "big_bird")
    zoo.write_checkpoint(kind, tmp_path)

    finding = zoo.examine(tmp_path, zoo.make_prompts()[-2:], most=4)

    assert finding.outcome == "refused"
    assert "attention_type was block_sparse and is original_full" in finding.note


def test_every_model_type_of_transformers_has_a_kind_or_a_reason():
    kinds = {kind.model_type for kind in zoo.list_kinds()}
    assert kinds | zoo.CLOSED.keys() >= set(zoo.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    assert zoo.NOT_YET.keys() <= {kind.name for kind in zoo.list_kinds()}
