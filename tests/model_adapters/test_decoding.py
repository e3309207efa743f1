"""Whatever is drafted, the answers are the model's own: those of one token at a time, of lm-eval's hf, of any batch."""

import doctest
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.models.huggingface import HFLM
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from copy_eval.errors import UserError
from copy_eval.model_adapters import decoding
from copy_eval.model_adapters.attention import AttentionRun
from copy_eval.model_adapters.decoding import StopRule
from copy_eval.model_adapters.drafting import Trust
from copy_eval.model_adapters.hybrid import HybridRun
from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.mamba_run import MambaRun
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.over_context import is_over_context
from tests.model_adapters.architectures import CONFIGS, build_model
from tests.model_adapters.support import MAMBA1, MAMBA2, PROMPTS, VOCAB, answer, assert_same_answers, logits_after_each

LLAMA = LlamaConfig(
    vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    intermediate_size=64, max_position_embeddings=256, bos_token_id=1, eos_token_id=1, initializer_range=0.3,
)  # fmt: skip


@pytest.fixture(scope="session")
def write(tokenizer, tmp_path_factory):
    """Return a function that writes a checkpoint of random weights in transformers' layout."""

    def write_model(kind, config):
        folder = tmp_path_factory.mktemp("random")
        torch.manual_seed(2)
        kind(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return write_model


@pytest.fixture(
    scope="session",
    params=[
        "neox",
        "llama",
        "mistral",
        "llama4",
        "gpt_neo",
        "mpt",
        "falcon_h1",
        "qwen3_next",
        "lfm2",
        "mamba1",
        "mamba2",
    ],
)
def checkpoint(request, neox_folder, state_spaces_folder, write):
    """Return a class of ours and a folder."""
    match request.param:
        case "neox":
            return PythiaLM, neox_folder
        case "llama":
            return PythiaLM, write(LlamaForCausalLM, LLAMA)
        case "mamba1":
            return MambaLM, state_spaces_folder(MAMBA1)
        case "mamba2":
            return MambaLM, state_spaces_folder(MAMBA2)
        case name:
            return PythiaLM, write(lambda _: build_model(name), None)


@pytest.fixture(scope="session")
def undrafted(checkpoint):
    """Return the model that decodes every token by itself, a prompt at a time."""
    kind, folder = checkpoint
    return kind(pretrained=str(folder), device="cpu", batch_size=1, draft=0)


@pytest.fixture(scope="session")
def loaded(checkpoint):
    kind, folder = checkpoint
    return kind(pretrained=str(folder), device="cpu")


@pytest.fixture
def drafted(loaded):
    """Return the same model with drafts; what earlier tests taught it about them is forgotten."""
    loaded._trust = Trust()
    return loaded


@pytest.fixture
def forward_passes(monkeypatch):
    """Count the steps of the decoding loop."""
    counts = []
    for kind in ("attention.AttentionRun", "hybrid.HybridRun", "mamba_run.MambaRun"):
        module, name = kind.split(".")
        run = getattr(__import__(f"copy_eval.model_adapters.{module}", fromlist=[name]), name)
        feed = run.feed

        def counted(self, tokens, drafts, feed=feed):
            counts.append(sum(map(len, drafts)))
            return feed(self, tokens, drafts)

        monkeypatch.setattr(run, "feed", counted)
    return counts


def draft_from(answers, spoil, monkeypatch):
    """Let drafts come from known texts, with the tokens at the places that ``spoil`` names replaced."""

    def look_up(tokens, most):
        for text in answers:
            if text[: len(tokens)] == tokens:
                rest = text[len(tokens) :][:most]
                return [token if place not in spoil(tokens) else (token + 1) % 250 for place, token in enumerate(rest)]
        return []

    monkeypatch.setattr("copy_eval.model_adapters.drafting.look_up", look_up)


def whole_texts(model, texts):
    """Return the tokens of each prompt with the model's greedy answer, straight from full forward passes."""
    wholes = []
    for prompt in texts:
        tokens = model.tok_encode(prompt)
        for _ in range(16):
            tokens = [*tokens, int(model._model_call(torch.tensor([tokens]))[0, -1].argmax())]
        wholes.append(tokens)
    return wholes


@pytest.fixture(scope="session")
def known(undrafted):
    return whole_texts(undrafted, PROMPTS)


SPOILS = {
    "nowhere": lambda _: (),
    "at once": lambda _: (0,),
    "halfway": lambda _: (5,),
    "anywhere": lambda tokens: random.Random(len(tokens)).sample(range(16), 3),
}


@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("spoil", SPOILS)
def test_a_draft_that_is_wrong_somewhere_leaves_the_answer_as_it_is(
    spoil, batch_size, drafted, undrafted, known, monkeypatch, forward_passes
):
    expected = answer(undrafted, until=[], max_gen_toks=16)
    plain_passes = len(forward_passes)
    drafted.batch_size_per_gpu = batch_size
    draft_from(known, SPOILS[spoil], monkeypatch)

    texts = answer(drafted, until=[], max_gen_toks=16)

    assert_same_answers(undrafted, PROMPTS, texts, expected)
    passes = len(forward_passes) - plain_passes
    if batch_size == 1 and spoil == "nowhere":
        assert passes == len(PROMPTS), "a draft that is right costs one forward pass"
    if batch_size == 1 and spoil == "halfway":
        assert passes < plain_passes / 2


REPEATS = [
    *PROMPTS,
    "the cat sat on the mat\n\nthe cat sat on the mat\n\nthe",
    "7 7 7 7 7 7 7 7 7",
    "dog mat dog mat dog mat dog",
]


@pytest.mark.parametrize("until", [[], ["\n"], ["t", "5"]])
def test_looked_up_drafts_leave_the_answers_as_they_are(until, drafted, undrafted, forward_passes):
    expected = answer(undrafted, REPEATS, until=until, max_gen_toks=24)
    assert not any(forward_passes)

    for batch_size in (1, 16):
        drafted.batch_size_per_gpu = batch_size
        texts = answer(drafted, REPEATS, until=until, max_gen_toks=24)
        assert_same_answers(undrafted, REPEATS, texts, expected)
    assert any(forward_passes), "nothing was drafted"


def test_a_model_with_grouped_heads_answers_like_hf(write):
    folder = str(write(LlamaForCausalLM, LLAMA))
    hf = HFLM(pretrained=folder, device="cpu", dtype="float32", batch_size=1)

    expected = answer(hf, REPEATS)

    for options in ({"batch_size": 16}, {"batch_size": 1}, {"batch_size": 1, "draft": 0}):
        model = PythiaLM(pretrained=folder, device="cpu", **options)
        assert_same_answers(model, REPEATS, answer(model, REPEATS), expected)


def test_answers_that_differ_are_excused_by_a_tie_only(neox_folder, tokenizer):
    network = AutoModelForCausalLM.from_pretrained(neox_folder, dtype=torch.float32)
    model = PythiaLM(pretrained=network, tokenizer=tokenizer)
    text = answer(model, PROMPTS[:1], until=[], max_gen_toks=1)
    chosen = int(logits_after_each(model, PROMPTS[0])[-1].argmax())
    with pytest.raises(AssertionError, match="at least"):
        assert_same_answers(model, PROMPTS[:1], text, ["Q"])

    with torch.no_grad():
        head = network.get_output_embeddings().weight
        head[tokenizer.encode("Q")[0]] = head[chosen]

    with pytest.warns(UserWarning, match="a tie at token 0"):
        assert_same_answers(model, PROMPTS[:1], text, ["Q"])


@pytest.mark.parametrize("name", CONFIGS)
def test_every_architecture_answers_like_hf(name, write):
    folder = str(write(lambda _: build_model(name), None))
    hf = HFLM(pretrained=folder, device="cpu", dtype="float32", batch_size=1, max_length=256)
    settings = {"until": [], "max_gen_toks": 24}

    expected = answer(hf, REPEATS, **settings)

    assert len(set(expected)) > 5, "answers that are all alike would compare nothing"
    for options in ({"batch_size": 8}, {"batch_size": 3}, {"batch_size": 1}, {"batch_size": 8, "draft": 0}):
        model = PythiaLM(pretrained=folder, device="cpu", max_length=256, **options)
        assert_same_answers(model, REPEATS, answer(model, REPEATS, **settings), expected)


@pytest.mark.parametrize("name", ["gpt_neo", "mpt", "gpt2", "falcon_h1"])
def test_rows_that_fill_the_context_need_no_more_slots_than_it_has(name, tokenizer, monkeypatch):
    longest = max(PROMPTS, key=lambda prompt: len(tokenizer.encode(prompt)))
    most, context = 16, len(tokenizer.encode(longest)) + 16
    size = {"mpt": "max_seq_len", "gpt2": "n_positions"}.get(name, "max_position_embeddings")
    network = build_model(name, **{size: context})
    options = {"pretrained": network, "tokenizer": tokenizer, "max_length": context}
    undrafted = PythiaLM(**options, batch_size=1, draft=0)
    expected = answer(undrafted, until=[], max_gen_toks=most)
    known = {tuple(whole[:-most]): whole for whole in whole_texts(undrafted, PROMPTS)}
    end = len(tokenizer.encode(longest)) + most

    # The longest row is nearly done when the others, whose first drafts were soon wrong, get long ones.
    def look_up(tokens, most):
        whole = next(whole for whole in known.values() if whole[: len(tokens)] == tokens)
        rest = whole[len(tokens) :]
        if tuple(tokens) in known:
            right = 12 if len(whole) == end else 2
            rest[right] = (rest[right] + 1) % 250
        return rest[:most]

    monkeypatch.setattr("copy_eval.model_adapters.drafting.look_up", look_up)
    assert_same_answers(
        undrafted, PROMPTS, answer(PythiaLM(**options, batch_size=8), until=[], max_gen_toks=most), expected
    )


@pytest.mark.parametrize(("name", "most"), [("mistral", 1), ("llama4", 1), ("gpt_neo", 1), ("bamba", 2), ("lfm2", 2)])
def test_a_batch_whose_drafts_are_right_takes_one_pass_or_with_states_two(name, most, tokenizer, monkeypatch):
    network = build_model(name)
    model = PythiaLM(pretrained=network, tokenizer=tokenizer, batch_size=8)
    known = whole_texts(model, PROMPTS)
    passes = []
    network.get_input_embeddings().register_forward_pre_hook(lambda *_: passes.append(1))

    draft_from(known, SPOILS["nowhere"], monkeypatch)
    answer(model, until=[], max_gen_toks=16)

    assert len(passes) == most


BOOK = "James Smith: 6093237777\nMary Lopez: 8323456789\n\n"
RELATED = [
    BOOK + "James Smith:", BOOK + "Mary Lopez:", BOOK + "Mary Lopez:", BOOK + "Anna Brown, whom nobody knows:",
    BOOK, BOOK + "M", "the cat sat on the mat, the cat sat on", "the dog sat on the mat, the dog sat on", "a", "a",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15", "the",
]  # fmt: skip
"""Questions about one book, two of them the same, and the book alone; a shared token; no shared token."""


@pytest.fixture
def restarts(monkeypatch):
    """Let prompts share any prefix, if only a token; return how many rows began behind one, batch by batch."""
    monkeypatch.setattr("copy_eval.model_adapters.adapter._TOKENS_OF_A_PASS", 0)
    counts = []
    for run in (AttentionRun, HybridRun, MambaRun):

        def counted(self, rows, restart=run.restart):
            counts.append(rows)
            restart(self, rows)

        monkeypatch.setattr(run, "restart", counted)
    return counts


@pytest.fixture
def short_stretches(monkeypatch):
    """Let few tokens go into a pass."""
    for module in ("forward", "mamba_run"):
        monkeypatch.setattr(f"copy_eval.model_adapters.{module}.TOKENS_AT_ONCE", 7)
        monkeypatch.setattr(f"copy_eval.model_adapters.{module}._SHORTEST", 5)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("spoil", ["nowhere", "at once", "anywhere"])
def test_a_prefix_that_is_taken_in_once_leaves_the_answers_as_they_are(
    spoil, batch_size, drafted, undrafted, monkeypatch, restarts
):
    monkeypatch.setattr(undrafted, "_shares_prefixes", False)
    expected = answer(undrafted, RELATED, until=[], max_gen_toks=16)
    assert not restarts
    drafted.batch_size_per_gpu = batch_size
    draft_from(whole_texts(undrafted, RELATED), SPOILS[spoil], monkeypatch)

    texts = answer(drafted, RELATED, until=[], max_gen_toks=16)

    assert_same_answers(undrafted, RELATED, texts, expected)
    assert sum(restarts) >= 8
    assert max(restarts) == min(batch_size, 6)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_without_drafts_a_prefix_is_shared_too(batch_size, checkpoint, undrafted, monkeypatch, restarts):
    kind, folder = checkpoint
    expected = answer(HFLM(str(folder), dtype="float32", device="cpu"), RELATED) if kind is PythiaLM else None
    monkeypatch.setattr(undrafted, "batch_size_per_gpu", batch_size)

    texts = answer(undrafted, RELATED)

    assert sum(restarts) >= 8
    monkeypatch.setattr(undrafted, "_shares_prefixes", False)
    assert_same_answers(undrafted, RELATED, texts, answer(undrafted, RELATED))
    if expected is not None:
        assert_same_answers(undrafted, RELATED, texts, expected)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("shares", [True, False])
def test_prompts_that_go_in_by_stretches_have_the_same_answers(
    shares, batch_size, drafted, undrafted, monkeypatch, restarts, request
):
    monkeypatch.setattr(undrafted, "_shares_prefixes", False)
    monkeypatch.setattr(drafted, "_shares_prefixes", shares)
    expected = answer(undrafted, RELATED, until=[], max_gen_toks=16)
    request.getfixturevalue("short_stretches")
    drafted.batch_size_per_gpu = batch_size

    texts = answer(drafted, RELATED, until=[], max_gen_toks=16)

    assert_same_answers(undrafted, RELATED, texts, expected)
    assert bool(restarts) is shares


@pytest.mark.usefixtures("short_stretches")
@pytest.mark.parametrize("name", ["llama", "bamba"])
def test_no_pass_has_more_tokens_than_go_at_once_and_logits_are_computed_where_they_are_read(name, tokenizer):
    network = build_model(name)
    model = PythiaLM(pretrained=network, tokenizer=tokenizer, batch_size=3, draft=False)
    sizes, columns = [], []
    network.get_input_embeddings().register_forward_pre_hook(lambda _, ids: sizes.append(ids[0].numel()))
    network.get_output_embeddings().register_forward_pre_hook(lambda _, hidden: columns.append(hidden[0].shape[1]))

    answer(model, RELATED)

    assert max(sizes) == 7
    assert max(columns) == 1


@pytest.mark.usefixtures("short_stretches")
def test_a_rope_that_changes_with_the_length_takes_each_prompt_as_a_whole(tokenizer, restarts):
    network = build_model("longrope")
    model = PythiaLM(pretrained=network, tokenizer=tokenizer, batch_size=1, max_length=256)
    sizes = []
    network.get_input_embeddings().register_forward_pre_hook(lambda _, ids: sizes.append(ids[0].numel()))

    answer(model, RELATED)

    assert max(sizes) >= max(len(tokenizer.encode(prompt)) for prompt in RELATED)
    assert not restarts


def test_a_prefix_that_is_not_worth_a_pass_is_not_shared(neox_folder, monkeypatch):
    model = PythiaLM(pretrained=str(neox_folder), device="cpu", batch_size=2)
    monkeypatch.setattr(AttentionRun, "restart", None)

    assert answer(model, RELATED[:2]) == [*answer(model, RELATED[:1]), *answer(model, RELATED[1:2])]


def test_a_prompt_over_the_context_shares_nothing(neox_folder, restarts):
    model = PythiaLM(pretrained=str(neox_folder), device="cpu", batch_size=4)
    long = BOOK * 4

    texts = answer(model, [long + "Mary", long + "James", *RELATED])

    assert texts[2:] == answer(model, RELATED)
    assert [is_over_context(text) for text in texts[:3]] == [True, True, False]
    assert max(restarts) <= 4


def test_a_batch_that_exceeds_the_memory_is_halved_once_and_for_all(neox_folder, monkeypatch, caplog):
    model = PythiaLM(pretrained=str(neox_folder), device="cpu", batch_size=7)
    expected = answer(model, [*PROMPTS, *PROMPTS])
    sizes, decode = [], model._decode_greedily

    def decode_three_at_most(prompts, limits, settings):
        sizes.append(len(prompts))
        if len(prompts) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(prompts, limits, settings)

    monkeypatch.setattr(model, "_decode_greedily", decode_three_at_most)

    assert answer(model, [*PROMPTS, *PROMPTS]) == expected
    assert max(sizes[1:]) <= 3
    assert caplog.text.count("out of memory with 7 prompts at once; going on with 3") == 1


def test_a_single_prompt_that_exceeds_the_memory_is_an_error_with_its_length(neox_folder, monkeypatch):
    model = PythiaLM(pretrained=str(neox_folder), device="cpu", batch_size=2)

    def fail(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    monkeypatch.setattr(model, "_decode_greedily", fail)
    with pytest.raises(UserError, match=r"single prompt of \d+ tokens"):
        answer(model, PROMPTS[:2])


@given(st.data())
def test_the_end_of_an_answer_is_where_a_token_by_token_check_finds_it(tokenizer, data):
    answer_tokens = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=30))
    until = data.draw(st.lists(st.sampled_from(["a", "e", "\n", "the", " mat", "at\n", "zzz", "77"]), max_size=2))
    known = data.draw(st.integers(0, 3))
    rule = StopRule(tokenizer, until, [1])
    window = max([len(tokenizer.encode(text)) for text in until], default=0) + 2

    def ends(size):
        tail = tokenizer.decode(answer_tokens[max(0, size - window) : size])
        return answer_tokens[size - 1] == 1 or any(text in tail for text in until)

    expected = next((size for size in range(known + 1, len(answer_tokens) + 1) if ends(size)), None)
    if not any(ends(size) for size in range(1, min(known, len(answer_tokens)) + 1)):
        assert rule.end_of(answer_tokens, known) == expected


def test_the_example_in_the_documentation_of_a_run_works():
    tried = doctest.testmod(decoding)
    assert tried.attempted > 0
    assert tried.failed == 0
