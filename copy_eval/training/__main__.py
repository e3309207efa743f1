"""``python -m copy_eval.training``: trains the checkpoints that the package carries, and writes their model cards."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import GPTNeoXForCausalLM, MambaForCausalLM, PreTrainedTokenizerFast

from copy_eval.tasks.phonebook.names import draw_full_name
from copy_eval.tasks.sampling import example_rng
from copy_eval.training.data import BatchSampler, read_corpus, train_tokenizer
from copy_eval.training.export import export_checkpoint, measure, write_card
from copy_eval.training.loop import train
from copy_eval.training.models import build_mamba, build_pythia

_NAMES_FOR_TOKENIZER = 24_000


@dataclass(frozen=True)
class _Recipe:
    build: Callable[[int], GPTNeoXForCausalLM | MambaForCausalLM]
    tokens: int
    adapter: str
    shape: str


_RECIPES = {
    "tiny-pythia": _Recipe(
        build_pythia,
        tokens=10_000_000,
        adapter="pythia",
        shape="A GPT-NeoX like Pythia: 4 layers of width 192, 3 heads of 64, a context of 3,072 tokens.",
    ),
    "tiny-mamba": _Recipe(
        build_mamba,
        tokens=30_000_000,
        adapter="mamba_ssm",
        shape="A Mamba-1 in the state-spaces layout: 5 layers of width 192, 384 channels of 16 numbers each.",
    ),
}


def main() -> None:
    """Train the named checkpoints, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m copy_eval.training", description=__doc__)
    parser.add_argument("checkpoints", nargs="*", default=[*_RECIPES], metavar="checkpoint", help=" or ".join(_RECIPES))
    parser.add_argument("--out", type=Path, required=True, help="a run that was killed goes on from what is there")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--c4", type=Path, metavar="FILE", help="JSON lines of C4, to measure copying on for the card")
    options = parser.parse_args()

    corpus = read_corpus()
    rng = example_rng(options.seed, 0, 0)
    tokenizer = train_tokenizer([*corpus, *(draw_full_name(rng) for _ in range(_NAMES_FOR_TOKENIZER))])
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.checkpoints:
        _make(name, corpus, tokenizer, options)


def _make(name: str, corpus: list[str], tokenizer: PreTrainedTokenizerFast, options: argparse.Namespace) -> None:
    recipe = _RECIPES[name]
    torch.manual_seed(options.seed)
    model = recipe.build(len(tokenizer))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{name}: {parameters / 1e6:.2f}M parameters, {recipe.tokens / 1e6:.0f}M tokens to see")
    train(
        model,
        sampler=BatchSampler(tokenizer, corpus, options.seed),
        probe=BatchSampler(tokenizer, corpus, options.seed + 1),
        tokens=recipe.tokens,
        checkpoint=options.out / f"{name}.pt",
    )
    folder, results = options.out / name, options.out / f"{name}-results"
    export_checkpoint(model, tokenizer, folder)
    measure(folder, recipe.adapter, results, options.c4)
    write_card(
        folder,
        results,
        name=name,
        shape=recipe.shape,
        adapter=recipe.adapter,
        parameters=parameters,
        tokens=recipe.tokens,
        seed=options.seed,
    )


if __name__ == "__main__":
    main()
