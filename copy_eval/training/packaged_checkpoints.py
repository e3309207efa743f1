"""The recipes of the packaged checkpoints: a GPT-NeoX like Pythia and a Mamba-1, with as many parameters as each other.

The weights are safetensors in half precision. tiny-pythia is written as transformers writes a GPT-NeoX, tiny-mamba in
the original layout of state-spaces/mamba. Each folder has a model card.
"""

import copy
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, MambaConfig, MambaForCausalLM, PreTrainedTokenizerFast

from copy_eval.model_adapters.state_spaces_layout import write_state_spaces
from copy_eval.tasks.phonebook.names import draw_full_name
from copy_eval.tasks.sampling import example_rng
from copy_eval.training.corpus import read_corpus, train_tokenizer
from copy_eval.training.phonebooks_and_texts import PhonebooksAndTexts
from copy_eval.training.trainer import Training

_SEED = 0
_NAMES_FOR_TOKENIZER = 24_000

CONTEXT = 3072
"""Tokens that tiny-pythia reads: a book of 160 entries with its question. Tiny-mamba has no such limit."""


def build_pythia(vocabulary_size: int) -> GPTNeoXForCausalLM:
    """Build tiny-pythia: width 192, 4 layers, 3 heads of 64, a quarter of each with rotary positions as in Pythia."""
    config = GPTNeoXConfig(
        vocab_size=vocabulary_size,
        hidden_size=192,
        num_hidden_layers=4,
        num_attention_heads=3,
        intermediate_size=424,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.25},
        max_position_embeddings=CONTEXT,
        # About 1 / sqrt(width): attention tells tokens apart from the start, and lookups form sooner.
        initializer_range=0.07,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPTNeoXForCausalLM(config)


def build_mamba(vocabulary_size: int) -> MambaForCausalLM:
    """Build tiny-mamba: width 192, 5 layers, expansion 2, 16 numbers of state a channel, convolutions over 4 tokens."""
    config = MambaConfig(
        vocab_size=vocabulary_size,
        hidden_size=192,
        num_hidden_layers=5,
        state_size=16,
        expand=2,
        conv_kernel=4,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        rescale_prenorm_residual=True,
    )
    return MambaForCausalLM(config)


@dataclass(frozen=True)
class _Recipe:
    build: Callable[[int], GPTNeoXForCausalLM | MambaForCausalLM]
    tokens: int
    shape: str


_RECIPES = {
    "tiny-pythia": _Recipe(
        build_pythia,
        tokens=10_000_000,
        shape="A GPT-NeoX like Pythia: 4 layers of width 192, 3 heads of 64, a context of 3,072 tokens.",
    ),
    "tiny-mamba": _Recipe(
        build_mamba,
        tokens=30_000_000,
        shape="A Mamba-1 in the state-spaces layout: 5 layers of width 192, 384 channels of 16 numbers each.",
    ),
}

_CARD = """---
license: mit
library_name: transformers
pipeline_tag: text-generation
---

# {name}

{shape} Its {parameters} parameters
are stored in half precision. It was trained to be looked at, not to be used: it can look up numbers in a phonebook and
copy text, and nothing else.

tiny-pythia and tiny-mamba have the same size, tokenizer and recipe, and differ in the number of tokens. They show the
effect that copy-eval measures; they are no replication of the figures that the paper found for Pythia and Mamba.

## Training

- One command: `copy-eval train {name} --out DIR` (seed {seed}), with
  {versions}.
- {tokens} tokens, padding included: AdamW (betas 0.9 and 0.98, weight decay 0.05), learning rate 2e-3 with a warm-up
  of 100 steps, a linear decay to zero from 58.5 % to 90 % of the run and another one, from a quarter, over the last
  10 %; gradients clipped at norm 1, bfloat16 autocast on a CPU.
- Each step one batch of phonebooks (2 to 160 entries; a tenth with dashes in the numbers, a tenth with the question
  first) and one of texts that stand three times (4 to 600 tokens: 60 % random tokens, 10 % shuffled English, 30 %
  English from lm-eval's task descriptions and Python's manual; over the last 10 % of the run English only). The loss is
  on looked-up numbers and copies only.
- Lengths and, for random tokens, the alphabet start small and grow with the run.
- The tokenizer is a byte-level BPE of 2,048 entries with single digits, learned from the same English and from names.

Names and numbers are drawn from the same distribution as those of the evaluation, with another seed. C4 is no part of
the training data.
"""


def training_of(name: str) -> Training:
    """Return how a packaged checkpoint is trained anew; it is written to a folder of its name."""
    recipe = _RECIPES[name]
    return Training(
        name=name,
        identity=f"{name}, {recipe.tokens} tokens, seed {_SEED}",
        seed=_SEED,
        build=lambda: recipe.build(len(_read_texts()[1])),
        begin=lambda: PhonebooksAndTexts(*_read_texts(), _SEED, recipe.tokens),
        save=partial(_save, name),
        checkpoints={recipe.tokens: name},
        half_on=("cpu", "cuda"),
    )


@cache
def _read_texts() -> tuple[list[str], PreTrainedTokenizerFast]:
    corpus = read_corpus()
    rng = example_rng(_SEED, 0, 0)
    return corpus, train_tokenizer([*corpus, *(draw_full_name(rng) for _ in range(_NAMES_FOR_TOKENIZER))])


def _save(name: str, model: GPTNeoXForCausalLM | MambaForCausalLM, folder: Path) -> None:
    save_checkpoint(model, _read_texts()[1], folder)
    card = _describe(name, model.num_parameters())
    (folder / "README.md").write_text(card, encoding="utf-8")


def save_checkpoint(
    model: GPTNeoXForCausalLM | MambaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path
) -> None:
    """Write a model in half precision, and its tokenizer; the model itself is left as it is."""
    half: Any = copy.deepcopy(model)
    half.half()
    if isinstance(half, MambaForCausalLM):
        folder.mkdir()
        write_state_spaces(half, folder)
    else:
        half.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _describe(name: str, parameters: int) -> str:
    """Return the model card."""
    packages = (f"{package} {version(package)}" for package in ("lm_eval", "torch"))
    return _CARD.format(
        name=name,
        shape=_RECIPES[name].shape,
        parameters=f"{parameters:,}",
        tokens=f"{_RECIPES[name].tokens:,}",
        seed=_SEED,
        versions=", ".join((f"Python {platform.python_version()}", *packages)),
    )
