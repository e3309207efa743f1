"""The records of associative recall as lm-eval takes them."""

from collections.abc import Mapping

from datasets import DatasetDict

from copy_eval.tasks.mqar.generator import draw_example
from copy_eval.tasks.settings import read_whole_number
from copy_eval.tasks.synthetic_dataset import build_records


def build_dataset(metadata: Mapping[str, object], length: int) -> DatasetDict:
    """Draw the records of one task.

    Args:
        metadata: see ``build_records``.
        length: pairs of key and value.

    Raises:
        UserError: for a value that does not fit.
    """
    pairs = read_whole_number({"length": length}, "length", minimum=1)
    return build_records(metadata, lambda data_seed, index: draw_example(data_seed, pairs, index))
