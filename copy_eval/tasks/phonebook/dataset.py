"""The phonebook records as lm-eval takes them."""

from collections.abc import Mapping, MutableMapping

from datasets import Dataset, DatasetDict

from copy_eval.tasks.length_tokenizer import load_length_tokenizer
from copy_eval.tasks.phonebook.filled_books import draw_filled_book
from copy_eval.tasks.phonebook.generator import SHOTS, draw_example
from copy_eval.tasks.settings import read_depths, read_text, read_whole_number


def build_dataset(metadata: Mapping[str, object], length: int, variant: str = "plain") -> DatasetDict:
    """Draw the records of one task: prompt, answer, index, entries of the book, depth of the entry asked for.

    Args:
        metadata: the task's, in which lm-eval has mixed ``--metadata`` and the model's arguments.
        length: entries of each book.
        variant: one of ``generator.VARIANTS``.

    Raises:
        UserError: for a value that does not fit.
    """
    num_samples = read_whole_number(metadata, "num_samples", minimum=1)
    data_seed = read_whole_number(metadata, "data_seed")
    entries = read_whole_number({"length": length}, "length", minimum=SHOTS + 1)
    records = []
    for index in range(num_samples):
        example = draw_example(data_seed, entries, index, variant)
        records.append(
            {
                "prompt": example.prompt,
                "answer": example.answer,
                "index": index,
                "entries": entries,
                "depth": example.depth,
            }
        )
    return DatasetDict({"test": Dataset.from_list(records)})


def build_filled_dataset(metadata: MutableMapping[str, object], length: int) -> DatasetDict:
    """Draw the records of books that fill a number of tokens: prompt, answer, index, entries, depth, book.

    ``depth`` is the one that was asked for; the entry is the nearest to it. ``book`` names the book, so that no two
    books of whatever seed and length share a name. The questions about one book follow one another.

    Args:
        metadata: the task's, in which lm-eval has mixed ``--metadata`` and the model's arguments. Gets
            ``length_tokenizer_sha256``.
        length: tokens that each prompt with its answer has room in.

    Raises:
        UserError: for a value that does not fit.
    """
    num_books = read_whole_number(metadata, "num_books", minimum=1)
    depths = read_depths(metadata, "depths")
    data_seed = read_whole_number(metadata, "data_seed")
    tokens = read_whole_number({"length": length}, "length", minimum=1)
    tokenizer = load_length_tokenizer(read_text(metadata, "length_tokenizer"))
    records: list[dict[str, object]] = []
    for place in range(num_books):
        book = draw_filled_book(data_seed, tokens, place, depths, tokenizer)
        for depth, (prompt, answer) in zip(depths, book.questions, strict=True):
            records.append(
                {
                    "prompt": prompt,
                    "answer": answer,
                    "index": len(records),
                    "entries": book.entries,
                    "depth": depth,
                    "book": f"{data_seed}/{tokens}/{place}",
                }
            )
    metadata["length_tokenizer_sha256"] = tokenizer.sha256
    return DatasetDict({"test": Dataset.from_list(records)})
