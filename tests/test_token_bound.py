import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from copy_eval.packaged import PACKAGED
from copy_eval.token_bound import TokenBound

TEXTS = [
    "lookup 0000000000 of the longest names",
    "Christopher Anderson: 6093237777",
    "e\u0301t\u00e9 \u6f22\u5b57   --------",
    "\u00e9" * 30,
]


def byte_level(normalizer=None, split=None) -> PreTrainedTokenizerFast:
    """A byte-level BPE that knows long words, as those of GPT-2, GPT-NeoX and their heirs do."""
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizer
    last = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.pre_tokenizer = last if split is None else pre_tokenizers.Sequence([split, last])
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(TEXTS * 9, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet))
    bpe.add_tokens([AddedToken("<|a long added token of its own|>", lstrip=True, rstrip=True)])
    return PreTrainedTokenizerFast(tokenizer_object=bpe)


UNDERSTOOD = {
    "plain": byte_level(),
    "composing": byte_level(normalizers.NFC()),
    "digits": byte_level(split=pre_tokenizers.Digits(individual_digits=True)),
    "packaged": AutoTokenizer.from_pretrained(PACKAGED / "tiny-pythia"),
}

PIECES = [
    "Christopher",
    "names",
    "0000000000",
    " ",
    "  ",
    "\n",
    "e\u0301",
    "\u00e9",
    "\u6f22",
    "<|a long added token of its own|>",
]


@pytest.mark.parametrize("name", UNDERSTOOD)
@settings(max_examples=200)
@given(text=st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=8)), max_size=40).map("".join))
@example(text="e\u0301" * 30)  # composed, it is a single token without a letter of ASCII
def test_no_text_has_fewer_tokens_than_its_bound(name, text):
    tokenizer = UNDERSTOOD[name]
    assert TokenBound(tokenizer).fewest(text) <= len(tokenizer.encode(text, add_special_tokens=False))


def test_the_bound_is_reached_by_the_token_with_most_letters():
    plain = UNDERSTOOD["plain"]
    longest = "<|a long added token of its own|>"
    assert len(plain.tokenize(longest * 3)) == TokenBound(plain).fewest(longest * 3) == 3
    # It has 23 letters.
    assert [TokenBound(plain).fewest(text) for text in ("", "0" * 23, "0" * 24, "---- " * 99)] == [0, 1, 2, 0]
    assert TokenBound(plain).fewest("half of a pair: \ud800") == 1


@pytest.mark.parametrize(
    "tokenizer",
    [
        byte_level(normalizers.Replace("a", "")),
        byte_level(normalizers.Sequence([normalizers.NFC(), normalizers.StripAccents()])),
        byte_level(split=pre_tokenizers.Split("a", "removed")),
        PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE())),
        PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))),
        None,
    ],
    ids=["letters are replaced", "accents are dropped", "letters are removed", "no bytes", "words", "none"],
)
def test_nothing_is_known_of_a_tokenizer_that_may_drop_letters(tokenizer):
    assert TokenBound(tokenizer).fewest("a" * 1000) == 0
