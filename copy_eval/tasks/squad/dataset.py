"""The records of one bucket as lm-eval takes them."""

import logging
from collections.abc import MutableMapping

from datasets import Dataset, DatasetDict

from copy_eval.tasks.length_tokenizer import load_length_tokenizer
from copy_eval.tasks.no_prompts import NoPromptsError
from copy_eval.tasks.sampling import draw_distinct, example_rng
from copy_eval.tasks.settings import read_optional_text, read_text, read_whole_number
from copy_eval.tasks.squad.paragraphs import read_paragraphs, render_prompt

_log = logging.getLogger(__name__)


def build_dataset(metadata: MutableMapping[str, object], length: int, below: int | None = None) -> DatasetDict:
    """Draw the records of one bucket: prompt, answer, index, tokens of the paragraph, all gold answers, its article.

    Args:
        metadata: the task's, in which lm-eval has mixed ``--metadata`` and the model's arguments. Gets ``text_source``,
            ``text_sha256``, ``length_tokenizer_sha256`` and ``available``, the paragraphs that the bucket has.
        length: the fewest tokens of a paragraph.
        below: more tokens than a paragraph may have; None for no bound.

    Raises:
        NoPromptsError: if the bucket is empty.
        UserError: for a value that does not fit, or paragraphs that cannot be had.
    """
    num_samples = read_whole_number(metadata, "num_samples", minimum=1)
    data_seed = read_whole_number(metadata, "data_seed")
    fewest = read_whole_number({"length": length}, "length", minimum=0)
    most = None if below is None else read_whole_number({"below": below}, "below", minimum=fewest + 1) - 1
    path = read_optional_text(metadata, "squad_path")
    tokenizer = load_length_tokenizer(read_text(metadata, "length_tokenizer"))
    collection = read_paragraphs(path)

    counted = [(len(tokenizer.encode(paragraph.text)), paragraph) for paragraph in collection.paragraphs]
    bucket = [item for item in counted if fewest <= item[0] and (most is None or item[0] <= most)]
    _check_size(
        len(bucket), num_samples, f"{fewest} or more" if most is None else f"{fewest} to {most}", collection.source
    )
    records = []
    # One draw without replacement: the first of more samples are those of fewer.
    drawn = draw_distinct(example_rng(data_seed, fewest, 0), len(bucket), min(num_samples, len(bucket)))
    for index, place in enumerate(drawn):
        tokens, paragraph = bucket[place]
        answers = list(paragraph.asked.answers)
        records.append(
            {
                "prompt": render_prompt(paragraph),
                "answer": answers[0],
                "index": index,
                "tokens": tokens,
                "answers": answers,
                "article": paragraph.article,
            }
        )
    metadata["text_source"] = collection.source
    metadata["text_sha256"] = collection.sha256
    metadata["length_tokenizer_sha256"] = tokenizer.sha256
    metadata["available"] = len(bucket)
    return DatasetDict({"test": Dataset.from_list(records)})


def _check_size(available: int, wanted: int, tokens: str, source: str) -> None:
    """Refuse an empty bucket; say how many paragraphs a small one has."""
    if available == 0:
        raise NoPromptsError(f"{source}: no paragraph of {tokens} tokens has two questions with an answer")
    if available < wanted:
        _log.warning(
            "%d paragraphs of %s tokens in %s: all are asked, %d were wanted", available, tokens, source, wanted
        )
