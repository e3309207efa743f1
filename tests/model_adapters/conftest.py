"""Small real checkpoints of every layout, with a tokenizer of their own, written as their libraries write them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

from tests.model_adapters.reference_mamba import draw_weights
from tests.model_adapters.support import MAMBA1, MAMBA2, PROMPTS, VOCAB


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE with single digits, like that of the packaged checkpoints; its end token is not token 0."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB - 1,
        special_tokens=["<|unused|>", "<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(
        [*PROMPTS, "the mat the cat the dog sat on the mat " * 9, "Smith Brown Weber Lopez " * 9], trainer
    )
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|endoftext|>")


@pytest.fixture(scope="session")
def neox_folder(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-NeoX checkpoint in half precision with 96 positions, as transformers saves it."""
    folder = tmp_path_factory.mktemp("neox")
    torch.manual_seed(1)
    config = GPTNeoXConfig(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=96, bos_token_id=1, eos_token_id=1, initializer_range=0.3,
    )  # fmt: skip
    GPTNeoXForCausalLM(config).half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def state_spaces_folder(
    tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Return a function that writes a state-spaces checkpoint; ``changes`` override entries of its config."""

    def write(config: dict, weights_file: str = "pytorch_model.bin", **changes: object) -> Path:
        folder = tmp_path_factory.mktemp("state-spaces")
        config = config | changes
        weights = draw_weights(config)
        if weights_file == "pytorch_model.bin":
            torch.save(weights, folder / weights_file)
        else:
            save_file({name: tensor.clone() for name, tensor in weights.items()}, folder / weights_file)
        (folder / "config.json").write_text(json.dumps(config))
        tokenizer.save_pretrained(folder)
        return folder

    return write


@pytest.fixture(scope="session", params=["Mamba1", "Mamba2"])
def mamba_folder(request: pytest.FixtureRequest, state_spaces_folder: Callable[..., Path]) -> Path:
    """A Mamba-1, then a Mamba-2 checkpoint in the state-spaces layout."""
    return state_spaces_folder(MAMBA1 if request.param == "Mamba1" else MAMBA2)
