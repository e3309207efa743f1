"""The records of the synthetic tasks as lm-eval takes them."""

from collections.abc import Callable, Mapping

from datasets import Dataset, DatasetDict

from copy_eval.tasks.alphabet import END
from copy_eval.tasks.settings import read_whole_number
from copy_eval.tasks.synthetic import Example


def build_records(metadata: Mapping[str, object], draw: Callable[[int, int], Example]) -> DatasetDict:
    """Draw the records of one task: prompt, answer without the end mark, index, and the depth where there is one.

    Args:
        metadata: the task's, in which lm-eval has mixed ``--metadata`` and the model's arguments.
        draw: from the seed and the index to an example.

    Raises:
        UserError: for a value that does not fit.
    """
    data_seed = read_whole_number(metadata, "data_seed")
    records = []
    for index in range(read_whole_number(metadata, "num_samples", minimum=1)):
        example = draw(data_seed, index)
        record = {"prompt": example.prompt, "answer": example.answer.removesuffix(END), "index": index}
        records.append(record if example.depth is None else record | {"depth": example.depth})
    return DatasetDict({"test": Dataset.from_list(records)})
