"""The copying records as lm-eval takes them."""

import logging
from collections.abc import MutableMapping
from functools import lru_cache

from datasets import Dataset, DatasetDict

from copy_eval.tasks.c4.chunks import draw_chunk, render_prompt, without_line_breaks
from copy_eval.tasks.c4.documents import read_corpus
from copy_eval.tasks.length_tokenizer import LengthTokenizer, encode_all, load_length_tokenizer
from copy_eval.tasks.no_prompts import NoPromptsError
from copy_eval.tasks.reproducible import find_unreproducible
from copy_eval.tasks.settings import read_optional_text, read_text, read_whole_number

_log = logging.getLogger(__name__)


def build_dataset(metadata: MutableMapping[str, object], length: int, variant: str = "plain") -> DatasetDict:
    """Draw the records of one task: prompt, answer, index, tokens of the chunk.

    Args:
        metadata: the task's, in which lm-eval has mixed ``--metadata`` and the model's arguments. Gets ``text_source``,
            ``text_sha256`` and ``length_tokenizer_sha256``, so that a result says which text was copied.
        length: tokens of each chunk.
        variant: one of ``chunks.VARIANTS``.

    Raises:
        NoPromptsError: if the text is too short.
        UserError: for a value that does not fit, or a text that cannot be had.
    """
    num_samples = read_whole_number(metadata, "num_samples", minimum=1)
    data_seed = read_whole_number(metadata, "data_seed")
    tokens = read_whole_number({"length": length}, "length", minimum=2)
    path = read_optional_text(metadata, "c4_path")
    tokenizer = load_length_tokenizer(read_text(metadata, "length_tokenizer"))
    corpus = read_corpus(path)
    texts = tuple(map(without_line_breaks, corpus.documents))
    documents = encode_all(texts, tokenizer)
    _check_fidelity(texts, tokenizer, corpus.source)
    _check_size(sum(map(len, documents)), tokens, num_samples, corpus.source)
    records = []
    for index in range(num_samples):
        prompt, answer = render_prompt(draw_chunk(data_seed, documents, tokens, index, tokenizer, variant))
        records.append({"prompt": prompt, "answer": answer, "index": index, "tokens": tokens})
    metadata["text_source"] = corpus.source
    metadata["text_sha256"] = corpus.sha256
    metadata["length_tokenizer_sha256"] = tokenizer.sha256
    return DatasetDict({"test": Dataset.from_list(records)})


@lru_cache(maxsize=2)  # one warning for all lengths of a group
def _check_fidelity(texts: tuple[str, ...], tokenizer: LengthTokenizer, source: str) -> None:
    """Warn of a length tokenizer that normalises: the chunks are not what stands in the text."""
    tokens = dict(zip(texts, encode_all(texts, tokenizer), strict=True))
    if changed := find_unreproducible(texts, tokens.__getitem__, tokenizer.decode):
        _log.warning(
            "the length tokenizer changes %d of the %d documents of %s (letters or spaces, as with Unicode "
            "normalisation or small letters): their chunks are cut from what it makes of them",
            len(changed), len(texts), source,
        )  # fmt: skip


def _check_size(available: int, length: int, num_samples: int, source: str) -> None:
    """Refuse a text shorter than one chunk; warn of one that is too short for chunks that share nothing."""
    if available < length:
        raise NoPromptsError(f"a chunk of {length} tokens needs more text than the {available} tokens of {source}")
    if available < length * num_samples:
        _log.warning(
            "%d chunks of %d tokens from the %d tokens of %s overlap: the standard errors are too small",
            num_samples, length, available, source,
        )  # fmt: skip
