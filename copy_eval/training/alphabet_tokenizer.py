"""The tokenizer of the synthetic tasks: a token for each character, and one that ends a text."""

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from copy_eval.tasks.alphabet import CHARACTERS

END_OF_TEXT = "<|endoftext|>"
"""Pads batches and fills rows; no example holds it."""

END_OF_TEXT_ID = len(CHARACTERS)
VOCABULARY_SIZE = len(CHARACTERS) + 1

TOKEN_OF = {character: token for token, character in enumerate(CHARACTERS)}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer; a character that is not one of the alphabet's becomes ``END_OF_TEXT``."""
    vocabulary = TOKEN_OF | {END_OF_TEXT: END_OF_TEXT_ID}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=END_OF_TEXT))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
    )
