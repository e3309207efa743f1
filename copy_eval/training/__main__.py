"""``python -m copy_eval.training``: trains the checkpoints that the package carries."""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import GPTNeoXForCausalLM, MambaForCausalLM

from copy_eval.tasks.phonebook.names import draw_full_name
from copy_eval.tasks.sampling import example_rng
from copy_eval.training.batches import BatchSampler
from copy_eval.training.corpus import read_corpus
from copy_eval.training.export import export_checkpoint
from copy_eval.training.loop import train
from copy_eval.training.models import build_mamba, build_pythia
from copy_eval.training.tokenizer import train_tokenizer

_BUILDERS: dict[str, Callable[[int], GPTNeoXForCausalLM | MambaForCausalLM]] = {
    "tiny-pythia": build_pythia,
    "tiny-mamba": build_mamba,
}
_TOKENS = {"tiny-pythia": 9_000_000, "tiny-mamba": 27_000_000}
_NAMES_FOR_TOKENIZER = 24_000


def main() -> None:
    """Train the named checkpoints, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m copy_eval.training", description=__doc__)
    parser.add_argument(
        "checkpoints", nargs="*", metavar="checkpoint", help=f"which ({', '.join(_BUILDERS)}; default: both)"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the checkpoints; a killed run goes on from what is there"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    corpus = read_corpus()
    rng = example_rng(arguments.seed, 0, 0)
    tokenizer = train_tokenizer([*corpus, *(draw_full_name(rng) for _ in range(_NAMES_FOR_TOKENIZER))])
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.checkpoints or _BUILDERS:
        torch.manual_seed(arguments.seed)
        model = _BUILDERS[name](len(tokenizer))
        size = sum(parameter.numel() for parameter in model.parameters())
        print(f"{name}: {size / 1e6:.2f}M parameters, {_TOKENS[name] / 1e6:.0f}M tokens to see")
        train(
            model,
            sampler=BatchSampler(tokenizer, corpus, arguments.seed),
            probe=BatchSampler(tokenizer, corpus, arguments.seed + 1),
            tokens=_TOKENS[name],
            checkpoint=arguments.out / f"{name}.pt",
        )
        export_checkpoint(model, tokenizer, arguments.out / name)


if __name__ == "__main__":
    main()
