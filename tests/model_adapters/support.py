"""What the tests of the adapters share besides fixtures."""

import json
import shutil
import warnings
from pathlib import Path

import torch
from lm_eval.api.instance import Instance
from safetensors.torch import load_file, save_file

from copy_eval.model_adapters.adapter import ExactLM

PROMPTS = [
    "James Smith: 6093237777\nMary Lopez: 8323456789\n\nJames Smith:",
    "a",
    "the cat sat on the mat, the cat sat on",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15",
    "the dog sat on the mat, the dog sat on",
    "Anna Brown: 7015550199\nPaul Weber: 9148812036\n\nPaul Weber: 9148812036\n\nAnna Brown:",
    "é ü 漢字 🙂 mixed bytes",
]
"""Of different lengths, two of the same."""

VOCAB = 300

MAMBA1 = {
    "d_model": 32, "n_layer": 2, "vocab_size": VOCAB - 1, "ssm_cfg": {"d_state": 8}, "rms_norm": True,
    "residual_in_fp32": True, "fused_add_norm": True, "pad_vocab_size_multiple": 8,
}  # fmt: skip
MAMBA2 = MAMBA1 | {
    "d_intermediate": 0, "attn_layer_idx": [], "attn_cfg": {}, "pad_vocab_size_multiple": 16, "tie_embeddings": True,
    "ssm_cfg": {"layer": "Mamba2", "d_state": 16, "headdim": 8, "ngroups": 2},
}  # fmt: skip
"""As the config.json of state-spaces/mamba-130m and mamba2-130m, but for the sizes and the two groups."""


def make_requests(prompts, **gen_kwargs):
    """Return the requests that lm-eval would make of a task's prompts."""
    settings = {"until": ["\n"], "max_gen_toks": 12, "do_sample": False} | gen_kwargs
    return [
        Instance("generate_until", {}, (prompt, dict(settings)), index, ("some_task", index, 1))
        for index, prompt in enumerate(prompts)
    ]


def answer(model, prompts=PROMPTS, **gen_kwargs):
    """Return a model's answers to the prompts; greedy, 12 tokens or a line at most if not told otherwise."""
    return model.generate_until(make_requests(prompts, **gen_kwargs), disable_tqdm=True)


def logits_after_each(model: ExactLM, prompt: str):
    """Return a whole forward pass without a cache [token, vocab]."""
    return model._model_call(torch.tensor([model.tok_encode(prompt)]))[0]


def split_weights(folder: Path) -> Path:
    """Replace the weights file of a checkpoint by two shards and their index; return the folder."""
    path = next(path for path in folder.iterdir() if path.name in ("model.safetensors", "pytorch_model.bin"))
    safe = path.suffix == ".safetensors"
    weights = load_file(path) if safe else torch.load(path, weights_only=True)
    weight_map = {
        name: f"{path.stem}-{1 + index % 2:05}-of-00002{path.suffix}" for index, name in enumerate(sorted(weights))
    }
    for shard in set(weight_map.values()):
        tensors = {name: weights[name] for name, place in weight_map.items() if place == shard}
        (save_file if safe else torch.save)(tensors, folder / shard)
    (folder / f"{path.name}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    path.unlink()
    return folder


def cache_as_hub_repository(folder: Path, cache: Path, monkeypatch, revision: str = "main") -> str:
    """Put a checkpoint into a cache of the hub, as a download of all that loading asks for leaves it; return its id."""
    commit, repository = "0" * 40, cache / "models--someone--model"
    shutil.copytree(folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / revision).write_text(commit)
    (repository / ".no_exist" / commit).mkdir(parents=True)
    for name in ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "tokenizer.json"):
        if not (folder / name).exists():
            (repository / ".no_exist" / commit / name).touch()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    return "someone/model"


TIE = 2e-4
"""Two ways of computing a logit in float32 differ by 1e-4 at most here, so the choice between two logits that are
nearer than twice that is open."""


def assert_same_answers(model: ExactLM, prompts, answers, expected):
    """Assert that answers are equal, or part where the model's best two logits tie, which is reported as a warning."""
    for prompt, text, wanted in zip(prompts, answers, expected, strict=True):
        if text == wanted:
            continue
        same = next((i for i, pair in enumerate(zip(text, wanted, strict=False)) if pair[0] != pair[1]), None)
        place, gap = find_tie(model, prompt, min(text, wanted, key=len)[:same])
        parted = f"{text!r} is not {wanted!r} after {prompt!r}"
        assert gap < TIE, f"{parted}, and up to there the best two logits are at least {gap} apart"
        warnings.warn(f"{parted}: a tie at token {place}, the best two logits are {gap} apart", stacklevel=2)


def find_tie(model: ExactLM, prompt: str, shared: str):
    """Decode greedily by full forward passes while the text begins ``shared``.

    Returns:
        The token of the answer at which the best two logits were nearest to each other, and how near.
    """
    tokens, gaps = model.tok_encode(prompt), []
    size = len(tokens)
    # A character that is not whole yet is shown as a replacement character.
    while shared.startswith(model.tok_decode(tokens[size:]).rstrip("\ufffd")) and len(gaps) <= len(shared.encode()):
        (best, second), (chosen, _) = (top.tolist() for top in model._model_call(torch.tensor([tokens]))[0, -1].topk(2))
        gaps.append(best - second)
        tokens.append(chosen)
    return min(enumerate(gaps), key=lambda item: item[1])
