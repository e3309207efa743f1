"""Times our decoding at the sizes of published models, without their weights; meant for a GPU.

    python -m benchmarks.model_sizes --tokenizer gpt-neox-20b-tokenizer.json --csv model_sizes.csv

Contenders and columns are those of ``benchmarks.decoding``. A model has a published shape and one of two kinds of
weights:

    copier   The output projection of every layer is 0, so the next token depends on the last one alone, and the head
             lets each word of a fixed order be followed by the next. The model copies every text in that order without
             a slip, its drafts are right, and it computes as much as any model of its size.
    random   The model never copies.

The peak memory of our decoding, with nothing else on the device, stands beside what a dry run says of it. Where
mamba-ssm's kernels run, lm-eval's own adapter ``mamba_ssm`` is a contender too, and what the kernels choose is compared
with what transformers' Mamba does on the same checkpoint in the state-spaces layout, in float32 and in bfloat16.
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
    read_peak,
    render,
    reset_peak,
    write_csv,
)
from copy_eval.model_adapters.adapter import ExactLM
from copy_eval.model_adapters.arguments import choose_device
from copy_eval.model_adapters.checkpoints import resolve_checkpoint
from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.model_adapters.state_spaces_layout import name_as_state_spaces, write_state_spaces
from copy_eval.runs.architecture import read_architecture

NEOX = {"model_type": "gpt_neox", "vocab_size": 50304, "max_position_embeddings": 2048}
MAMBA = {"model_type": "mamba", "vocab_size": 50280, "tie_word_embeddings": False}
MAMBA2 = MAMBA | {"model_type": "mamba2", "vocab_size": 50288, "n_groups": 1}
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
    "mamba2-370m": MAMBA2 | {"hidden_size": 1024, "num_hidden_layers": 48, "num_heads": 32},
    "mamba2-2.7b": MAMBA2 | {"hidden_size": 2560, "num_hidden_layers": 64, "num_heads": 80},
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
    device = choose_device(options.device)
    model = build_model(SHAPES[name], order if weights == "copier" else None, getattr(torch, options.dtype), device)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    adapter = MambaLM if SHAPES[name]["model_type"].startswith("mamba") else PythiaLM
    ours = adapter(str(folder), dtype=options.dtype, device=device)
    task, until = f"{weights}_{options.tokens}", {"until": ["\n\n"], "max_gen_toks": options.tokens - 1}
    batches = {}
    for batch_size in options.batch_sizes:
        prompts = draw_prompts(tokenizer, order, options.tokens, count_samples(options, batch_size))
        batches[batch_size] = as_requests(prompts, until)
        print(name, task, compare_memory(ours, folder, batches[batch_size], batch_size), flush=True)
    others, uses_kernels = {}, isinstance(ours, MambaLM) and ours._kernels
    if uses_kernels:
        translated = folder / "state-spaces"
        write_both_formats(model, tokenizer, translated)
        others["mamba_ssm"] = open_lm_eval_mamba(translated, options.dtype, device)
    del model
    hf = HFLM(str(folder), dtype=options.dtype, device=device)
    rows: list[Row] = []
    for batch_size, requests in batches.items():
        # Kernels are loaded, compiled and tuned when they first run.
        measure(name, task, ours, hf, requests[:batch_size], batch_size, repeats=1, others=others)
        rows += measure(name, task, ours, hf, requests, batch_size, options.repeats, others)
        print(render(rows[-len(CONTENDERS) - len(others) :]), flush=True)
    del ours, hf, others
    gc.collect()
    if uses_kernels:
        for dtype in ("float32", "bfloat16"):
            print(name, task, compare_backends(translated, requests, device, dtype), flush=True)
    return rows


def compare_memory(ours: ExactLM, folder: Path, requests: Sequence[Any], batch_size: int) -> str:
    """Return the highest memory of our decoding beside the weights and the cache that a dry run counts."""
    ours.batch_size_per_gpu = batch_size
    requests = requests[:batch_size]
    longest = max(len(ours.tok_encode(request.args[0])) for request in requests)
    known = read_architecture(str(folder), dtype=next(ours.model.parameters()).dtype)
    cache = known.cache_bytes(longest + requests[0].args[1]["max_gen_toks"])
    assert cache is not None  # of all the shapes here
    weights_mib, cache_mib = known.weights / 2**20, len(requests) * cache / 2**20
    reset_peak()
    ours.generate_until(list(requests), disable_tqdm=True)
    return (
        f"at batch {batch_size}: peak {read_peak():.0f} MiB; "
        f"by the dry run {weights_mib:.0f} MiB of weights and {cache_mib:.0f} MiB of cache"
    )


def write_both_formats(model: Any, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a checkpoint in the state-spaces layout, its weights also as a pickle, which mamba-ssm reads alone."""
    folder.mkdir()
    write_state_spaces(model, folder)
    tokenizer.save_pretrained(folder)
    torch.save(name_as_state_spaces(model.state_dict()), folder / "pytorch_model.bin")


def open_lm_eval_mamba(folder: Path, dtype: str, device: str) -> HFLM:
    """Return lm-eval's own adapter; its name must be free, so ``COPY_EVAL_AUTOLOAD=0`` where copy-eval is installed."""
    from lm_eval.models.mamba_lm import MambaLMWrapper

    model: HFLM = MambaLMWrapper(pretrained=str(folder), tokenizer=str(folder), dtype=dtype, device=device)
    return model


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
def build_model(shape: dict[str, Any], order: Sequence[int] | None, dtype: torch.dtype, device: str = "cpu") -> Any:
    """Return a model of this shape, on the CPU: a copier of texts in the ``order`` of tokens, or random weights.

    The weights are drawn on ``device``, which for a large model saves a minute on a GPU.
    """
    torch.manual_seed(0)
    options = {name: value for name, value in shape.items() if name != "model_type"}
    with torch.device(device):
        model: Any = AutoModelForCausalLM.from_config(AutoConfig.for_model(shape["model_type"], **options))
    if order is not None:
        for name, parameter in model.named_parameters():
            if any(part in name for part in ("attention.dense.", "mlp.dense_4h_to_h.", "mixer.out_proj.")):
                parameter.zero_()
        base = model.base_model
        norm = base.norm_f if shape["model_type"].startswith("mamba") else base.final_layer_norm
        words = torch.tensor(order, device=device)
        head = model.get_output_embeddings()
        head.weight.zero_()
        head.weight[words.roll(-1)] = norm(base.get_input_embeddings()(words))
    return model.to("cpu", dtype)


@torch.no_grad()
def compare_backends(folder: Path, requests: Sequence[Any], device: str | None, dtype: str = "float32") -> str:
    """Return how far mamba-ssm and transformers agree on a checkpoint in the state-spaces layout.

    A tie is a token whose best two logits are nearer to each other than four times the usual difference between the
    backends, or than two roundings of the dtype.
    """
    texts, logits = [], []
    for use_kernels in (True, False):
        model = MambaLM(str(folder), dtype=dtype, device=device, use_kernels=use_kernels, batch_size=len(requests))
        texts.append(model.generate_until(list(requests), disable_tqdm=True))
        tokens = (torch.tensor([model.tok_encode(request.args[0])], device=model.device) for request in requests[:4])
        logits.append(torch.cat([model._model_call(text)[0].float().cpu() for text in tokens]))
        del model
        gc.collect()
    same = sum(map(str.__eq__, *texts))
    difference = (logits[0] - logits[1]).abs()
    best, second = logits[1].topk(2).values.unbind(dim=-1)
    other = logits[0].argmax(dim=-1) != logits[1].argmax(dim=-1)
    noise = torch.maximum(
        4 * difference.square().mean().sqrt(), 2 * torch.finfo(getattr(torch, dtype)).eps * best.abs()
    )
    ties = other & (best - second <= noise)
    return (
        f"mamba-ssm and transformers, {dtype}: {same}/{len(requests)} answers equal; of {len(other)} tokens "
        f"{int(other.sum())} are chosen otherwise, {int(ties.sum())} of them at a tie; logits up to "
        f"{logits[1].abs().max():.3g} differ by {difference.mean():.1e} on average and {difference.max():.1e} at most"
    )


if __name__ == "__main__":
    main()
