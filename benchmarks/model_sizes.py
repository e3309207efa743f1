"""Times our decoding at the sizes of published models, without their weights; meant for a GPU.

    python -m benchmarks.model_sizes --tokenizer gpt-neox-20b-tokenizer.json --csv model_sizes.csv

Contenders and columns are those of ``benchmarks.decoding``. A model has a published shape and one of two kinds of
weights:

    copier   The output projection of every layer is 0, so the next token depends on the last one alone, and the head
             lets each word of a fixed order be followed by the next. The model copies every text in that order without
             a slip, its drafts are right, and it computes as much as any model of its size.
    random   The model never copies.

Where mamba-ssm's kernels run, their answers are compared with those of transformers' Mamba on the same checkpoint in
the state-spaces layout, in float32.
"""

import argparse
import gc
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from benchmarks.decoding import (
    CONTENDERS,
    Row,
    add_shared_options,
    as_requests,
    count_samples,
    measure,
    render,
    write_csv,
)
from copy_eval.model_adapters.checkpoints import resolve_checkpoint
from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.model_adapters.state_spaces_layout import write_state_spaces

NEOX = {"model_type": "gpt_neox", "vocab_size": 50304, "max_position_embeddings": 2048}
MAMBA = {"model_type": "mamba", "vocab_size": 50280, "tie_word_embeddings": False}
SHAPES: dict[str, dict[str, Any]] = {
    "pythia-410m": NEOX
    | {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
    "pythia-1.4b": NEOX
    | {"hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 8192},
    "pythia-2.8b": NEOX
    | {"hidden_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 32, "intermediate_size": 10240},
    "mamba-370m": MAMBA | {"hidden_size": 1024, "num_hidden_layers": 48},
    "mamba-1.4b": MAMBA | {"hidden_size": 2048, "num_hidden_layers": 48},
    "mamba-2.8b": MAMBA | {"hidden_size": 2560, "num_hidden_layers": 64},
}


def main() -> None:
    """Run the benchmark that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model_sizes", description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--weights", nargs="+", choices=["copier", "random"], default=["copier", "random"])
    parser.add_argument("--tokens", type=int, default=200, help="of the text to copy")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--tokenizer", default="EleutherAI/gpt-neox-20b", help="a file, folder or hub id")
    add_shared_options(parser)
    options = parser.parse_args()

    tokenizer = load_tokenizer(options.tokenizer)
    rows: list[Row] = []
    for name in options.models:
        for weights in options.weights:
            with tempfile.TemporaryDirectory() as folder:
                rows += run_model(name, weights, tokenizer, Path(folder), options)
    write_csv(rows, options.csv)


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a ``tokenizer.json``, a folder, a packaged checkpoint or a repository on the hub."""
    if Path(name).is_file():
        return PreTrainedTokenizerFast(tokenizer_file=name, eos_token="<|endoftext|>")
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(resolve_checkpoint(name))
    return tokenizer


def run_model(
    name: str, weights: str, tokenizer: PreTrainedTokenizerBase, folder: Path, options: argparse.Namespace
) -> list[Row]:
    """Return the rows of one model; ``folder`` takes its checkpoint."""
    order = list_words(tokenizer)
    model = build_model(SHAPES[name], order if weights == "copier" else None, getattr(torch, options.dtype))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    is_mamba = SHAPES[name]["model_type"] == "mamba"
    ours = (MambaLM if is_mamba else PythiaLM)(str(folder), dtype=options.dtype, device=options.device)
    hf = HFLM(str(folder), dtype=options.dtype, device=str(ours.device))
    until = {"until": ["\n\n"], "max_gen_toks": options.tokens - 1}
    rows: list[Row] = []
    for batch_size in options.batch_sizes:
        prompts = draw_prompts(tokenizer, order, options.tokens, count_samples(options, batch_size))
        requests = as_requests(prompts, until)
        task = f"{weights}_{options.tokens}"
        # Kernels are loaded, compiled and tuned when they first run.
        measure(name, task, ours, hf, requests[:batch_size], batch_size, repeats=1)
        rows += measure(name, task, ours, hf, requests, batch_size, options.repeats)
        print(render(rows[-len(CONTENDERS) :]), flush=True)
    uses_kernels = isinstance(ours, MambaLM) and ours._kernels
    del ours, hf
    gc.collect()
    if uses_kernels:
        translated = folder / "state-spaces"
        translated.mkdir()
        write_state_spaces(model, translated)
        tokenizer.save_pretrained(translated)
        print(compare_backends(translated, requests, options.device), flush=True)
    return rows


def list_words(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the tokens that are a space and a word, in random order: a text of them has just these tokens."""
    texts = {token: str(tokenizer.decode([token])) for token in sorted(tokenizer.get_vocab().values())}
    words = [token for token, text in texts.items() if text[:1] == " " and text[1:].isalpha() and text.isascii()]
    random.Random(0).shuffle(words)
    return words


def draw_prompts(tokenizer: PreTrainedTokenizerBase, order: Sequence[int], tokens: int, count: int) -> list[str]:
    """Return prompts like those of c4_copy: a text of words in their order, twice, and its first word."""
    prompts = []
    for index in range(count):
        places = range(index * 7, index * 7 + tokens)
        chunk = [order[place % len(order)] for place in places]
        text = tokenizer.decode(chunk)
        prompts.append(f"{text}\n\n{text}\n\n{tokenizer.decode(chunk[:1])}")
    return prompts


@torch.no_grad()
def build_model(shape: dict[str, Any], order: Sequence[int] | None, dtype: torch.dtype) -> Any:
    """Return a model of this shape: a copier of texts in the ``order`` of tokens, or with random weights."""
    torch.manual_seed(0)
    options = {name: value for name, value in shape.items() if name != "model_type"}
    model: Any = AutoModelForCausalLM.from_config(AutoConfig.for_model(shape["model_type"], **options))
    if order is not None:
        for name, parameter in model.named_parameters():
            if any(part in name for part in ("attention.dense.", "mlp.dense_4h_to_h.", "mixer.out_proj.")):
                parameter.zero_()
        base = model.base_model
        norm = base.norm_f if shape["model_type"] == "mamba" else base.final_layer_norm
        words = torch.tensor(order)
        head = model.get_output_embeddings()
        head.weight.zero_()
        head.weight[words.roll(-1)] = norm(base.get_input_embeddings()(words))
    return model.to(dtype)


def compare_backends(folder: Path, requests: Sequence[Any], device: str | None) -> str:
    """Return how far mamba-ssm and transformers agree on a checkpoint in the state-spaces layout."""
    texts, logits = [], []
    for use_kernels in (True, False):
        model = MambaLM(str(folder), dtype="float32", device=device, use_kernels=use_kernels)
        texts.append(model.generate_until(list(requests), disable_tqdm=True))
        tokens = torch.tensor([model.tok_encode(requests[0].args[0])], device=model.device)
        logits.append(model._model_call(tokens).float().cpu())
        del model
        gc.collect()
    same = sum(map(str.__eq__, *texts))
    difference = (logits[0] - logits[1]).abs().max()
    return f"mamba-ssm and transformers, float32: {same}/{len(requests)} answers equal, logits within {difference:.1e}"


if __name__ == "__main__":
    main()
