"""What the tests of the adapters share besides fixtures."""

import torch
from lm_eval.api.instance import Instance

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


def assert_same_answers(model: ExactLM, prompts, answers, expected):
    """Assert that answers are equal; where they are not, say how near to a tie the model was when they parted."""
    for prompt, text, wanted in zip(prompts, answers, expected, strict=True):
        if text == wanted:
            continue
        tokens, other = model.tok_encode(text), model.tok_encode(wanted)
        same = next((i for i, pair in enumerate(zip(tokens, other, strict=False)) if pair[0] != pair[1]), len(tokens))
        logits = model._model_call(torch.tensor([model.tok_encode(prompt) + tokens[:same]]))[0, -1]
        best, second = logits.topk(2).values.tolist()
        raise AssertionError(f"{text!r} is not {wanted!r} after {prompt!r}; the best two logits are {best}, {second}")
