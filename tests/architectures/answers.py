import torch
from lm_eval.api.instance import Instance

PROMPTS = ("$abcabcabcabcabcabcab|", "$x|", "$qwertyuiopasdfg|qwertyu", "$mmmmmmmmnm|mm")
_ANSWER = 30  # tokens


def answers_in_batch_and_alone(adapter, model):
    """Return the adapter's answers to all prompts at once, and those of transformers' `generate`, one at a time."""
    settings = {"until": ["!"], "max_gen_toks": _ANSWER, "do_sample": False}
    requests = [
        Instance(request_type="generate_until", doc={}, arguments=(prompt, dict(settings)), idx=index)
        for index, prompt in enumerate(PROMPTS)
    ]
    tokenizer = adapter.tokenizer
    expected = []
    for prompt in PROMPTS:
        ids = torch.tensor([tokenizer(prompt).input_ids])
        with torch.no_grad():
            tokens = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=_ANSWER, do_sample=False)
        expected.append(tokenizer.decode(tokens[0, ids.shape[1] :], skip_special_tokens=True))
    return adapter.generate_until(requests, disable_tqdm=True), expected
