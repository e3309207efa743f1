"""The phonebook records as lm-eval takes them."""

from collections.abc import Mapping

from datasets import Dataset, DatasetDict

from copy_eval.tasks.phonebook.generator import SHOTS, draw_example
from copy_eval.tasks.settings import read_whole_number


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
